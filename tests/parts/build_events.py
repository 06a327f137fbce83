"""The events of an invented build, a clock for it, and the check of any stream of events."""

from __future__ import annotations

from collections.abc import Iterable

from jupyter_condabuild.events import Event, Finished, Layer, Log, Phase, Progress, Warning

DIGEST = "sha256:" + "9a2f" * 16
DONE = Finished("registry.lab.org/team/env:v1", DIGEST, 330_000_000, 2_900_000, 76, 70, 17.8)
WARNING = Warning("pip-without-hash", "Two packages were installed by pip without a hash.", "Reinstall them.")
START: list[Event] = [
    Phase("snapshot", "started"),
    Phase("snapshot", "done", 0.42),
    WARNING,
    Phase("layers", "started"),
    *(Layer(f"k{number}", (f"p{number}",), 1000, "reused-remote") for number in range(70)),
    Log("Linking 6 packages."),
    Progress("build", 10_000_000, 40_000_000),
    Progress("numpy", 1_000_000, 6_200_000),
    Progress("click and 12 more", 0, 900_000),
]


class Clock:
    """A clock whose seconds pass on request."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def faults_of(events: Iterable[Event]) -> list[str]:
    """Returns what is wrong with the progress in a stream: a total that changes, a part that falls, a wrong end."""
    faults: list[str] = []
    last: dict[str, Progress] = {}
    finished = True
    for event in events:
        finished = isinstance(event, Finished) or finished
        if not isinstance(event, Progress):
            continue
        before = last.get(event.subject)
        if before and event.total != before.total:
            faults.append(f"the total of {event.subject} was {before.total} and is {event.total}")
        if before and event.complete < before.complete:
            faults.append(f"{event.subject} fell from {before.complete} to {event.complete} of {event.total}")
        if event.complete > event.total:
            faults.append(f"{event.subject} has {event.complete} of {event.total}")
        last[event.subject] = event
    whole = last.get("build")
    if whole and finished and whole.complete != whole.total:
        faults.append(f"the build ended at {whole.complete} of {whole.total}")
    return faults
