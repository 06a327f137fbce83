"""The progress of a whole job: one total, a part that never falls, and an end at the total."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_condabuild.events import Progress
from jupyter_condabuild.progress import JobProgress
from tests.parts.build_events import faults_of


@pytest.fixture(autouse=True, scope="module")
def every_report() -> Iterator[None]:
    """Reports each change, not only ten a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jupyter_condabuild.progress._EVERY_SECONDS", 0.0)
        yield


ITEMS = ("a", "b", "c")


@given(
    st.dictionaries(st.sampled_from(ITEMS), st.integers(0, 1 << 40)),
    st.lists(st.tuples(st.sampled_from((*ITEMS, "unplanned")), st.integers(-5, 1 << 41), st.integers(-5, 1 << 40))),
    st.integers(0, 10),
)
def test_any_order_of_reports_gives_a_true_stream(
    plan: dict[str, int], reports: list[tuple[str, int, int]], planned_after: int
) -> None:
    """Uploads that start again, unplanned items and a late plan change neither the total nor the direction."""
    events: list[Progress] = []
    progress = JobProgress(events.append)  # type: ignore[arg-type]
    for number, (item, complete, total) in enumerate(reports):
        if number == planned_after:
            progress.plan(plan)
        progress.reached(item, complete, total)
    progress.plan(plan)
    progress.plan({"a": 7})
    progress.finish()
    assert faults_of(events) == []
    assert bool(events) == any(plan.values()) or events[-1].total == 7


def test_bytes_that_are_sent_again_do_not_count_twice() -> None:
    """After a lost connection, the bar waits until the upload is where it was."""
    events: list[Progress] = []
    progress = JobProgress(events.append)  # type: ignore[arg-type]
    progress.plan({"a": 100, "b": 100})
    for item, complete in (("a", 80), ("a", 10), ("a", 70), ("b", 50), ("a", 90)):
        progress.reached(item, complete, 100)
    assert [event.complete for event in events] == [0, 80, 130, 140]


def test_work_before_the_plan_counts() -> None:
    """The base is sent while the environment is read: its bytes are done when the plan is made."""
    events: list[Progress] = []
    progress = JobProgress(events.append)  # type: ignore[arg-type]
    progress.done("base")
    progress.plan({"base": 40, "a": 60})
    progress.done("a")
    assert events == [Progress("build", 40, 100), Progress("build", 100, 100)]


def test_many_threads_report_at_once() -> None:
    """Each item counts once, however many threads report it."""
    events: list[Progress] = []
    progress = JobProgress(events.append)  # type: ignore[arg-type]
    progress.plan({str(number): 100 for number in range(8)})
    threads = [
        threading.Thread(target=lambda n=n: [progress.reached(str(n % 8), k, 100) for k in range(101)])
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    before = events[-1].complete
    progress.finish()
    assert before <= 800
    assert faults_of(events) == []
    assert events[-1] == Progress("build", 800, 800)
