"""The supervision of running builds, with the clocks of a test, for any change of clocks and for several servers."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from jupyter_condabuild.events import Finished, Log, encode
from jupyter_condabuild.server.history import BuildHistory, Record
from jupyter_condabuild.server.process import Workplace
from jupyter_condabuild.server.supervisor import ORPHAN_SECONDS, STRANGER_SECONDS, Supervisor
from jupyter_condabuild.settings import Settings
from jupyter_condabuild.system import process_tree
from tests.parts.jupyter_process import until

NOBODY = 2**22 + 1  # no process has this number: it is above the kernel's limit (proc(5), pid_max)


class Desk:
    """A supervisor with a history, and with clocks that a test sets.

    `clock` is the machine's; `uptime` always advances.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.clock = 1_000_000.0
        self.uptime = 5000.0
        self.folder = folder / "builds"
        self.folder.mkdir()
        self.history = BuildHistory(folder / "history.sqlite")
        self.supervisor = Supervisor(
            self.history, self.folder, Settings(**settings), lambda: self.clock, lambda: self.uptime
        )

    def running(self, id: str, *, machine: str = "", pid: int | None = NOBODY) -> Workplace:
        """Makes a build that another server started: its folder, without a process."""
        self.history.enter(id, id, {"store_dir": ""}, {}, self.clock, 1000)
        claimed = self.history.claim(1000, machine or process_tree.machine(), self.clock, self.uptime)
        assert claimed
        assert claimed.id == id
        if pid:
            self.history.started(id, pid)
        place = self.supervisor.place(id)
        place.prepare({})
        return place

    def ended(self, id: str, size: int = 100) -> None:
        """Makes an ended build with so many bytes of events."""
        place = self.running(id)
        line = encode(Log("x" * size), 1, self.clock)
        place.event_log.path.write_text(f"{line}\n")
        self.history.end(id, "failed", {"type": "failed", "seq": 2}, self.clock, 1.0)

    def state(self, id: str) -> Record:
        """Returns the state of a build in the history."""
        return self.history.get(id)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A supervisor with the default settings."""
    return Desk(tmp_path)


@pytest.fixture
def held(desk: Desk) -> Iterator[BinaryIO]:
    """The events file of a running build `a`, locked as its process locks it."""
    place = desk.running("a")
    with open(place.event_log.path, "ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def test_a_clock_that_is_set_back_changes_neither_order_nor_duration(desk: Desk, held: BinaryIO) -> None:
    """The duration of a build is measured by a monotonic clock. Builds are listed in the order of their arrival."""
    desk.clock -= 500_000
    desk.ended("b")
    desk.uptime += 90
    done = Finished("r", "sha256:0", 1, 1, 1, 1, 1.0)
    held.write(f"{encode(done, 1, desk.clock)}\n".encode())
    held.close()
    desk.supervisor.round()
    desk.uptime += ORPHAN_SECONDS
    assert desk.supervisor.round() == []
    assert desk.state("a").state == "finished"
    assert desk.state("a").seconds == 90 + ORPHAN_SECONDS
    assert desk.state("a").ended == 500_000.0
    assert [record.id for record in desk.history.recent(10)] == ["b", "a"]


def test_a_clock_that_is_set_forward_ends_no_build(tmp_path: Path) -> None:
    """The time limit is measured by the same monotonic clock."""
    desk = Desk(tmp_path, max_build_seconds=60)
    place = desk.running("a")
    with open(place.event_log.path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        desk.clock += 1e9
        assert [record.stop_uptime for record in desk.supervisor.round()] == [None]


def test_a_build_runs_as_long_as_a_process_locks_its_events(desk: Desk, held: BinaryIO) -> None:
    """A build may be silent for any time. A build is not reported as ended at the first check."""
    for _ in range(3):
        desk.uptime += 10_000
        assert [record.id for record in desk.supervisor.round()] == ["a"]
    held.close()
    desk.supervisor.round()
    desk.uptime += ORPHAN_SECONDS / 2
    assert [record.id for record in desk.supervisor.round()] == ["a"]
    desk.uptime += ORPHAN_SECONDS
    desk.supervisor.round()
    assert desk.state("a").state == "interrupted"


def test_a_build_on_another_machine_gets_more_time_and_no_signal(desk: Desk) -> None:
    """Its lock may be invisible here. It runs as long as its events grow, and its process number is not used here."""
    place = desk.running("far", machine="elsewhere", pid=os.getpid())
    for seq in range(1, 4):
        with place.event_log.path.open("a") as file:
            file.write(encode(Log("alive"), seq, 1.0) + "\n")
        desk.supervisor.round()
        desk.uptime += STRANGER_SECONDS - 1
        assert [record.id for record in desk.supervisor.round()] == ["far"]
    assert desk.supervisor.cancel("far").stop_uptime is not None
    desk.uptime += 1
    assert desk.supervisor.round() == []
    assert desk.state("far").state == "cancelled"
    assert desk.state("far").ending == {"type": "cancelled", "seq": 4, "time": desk.clock}


def test_a_build_without_a_stored_process_number_is_cancelled_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was full at its start. The signal goes to the build, and not to the server and its other processes."""
    monkeypatch.setattr(desk.history, "started", lambda id, pid: 1 / 0)
    desk.history.enter("a", "a", {}, {}, 1.0, 10)
    with pytest.raises(ZeroDivisionError):
        desk.supervisor.round()
    assert desk.state("a").pid is None
    assert desk.supervisor.cancel("a").stop_uptime is not None
    until(lambda: not desk.supervisor.round())
    assert desk.state("a").state in ("cancelled", "failed")


def test_a_build_gets_one_signal_to_end(desk: Desk, held: BinaryIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second signal would disturb its clean-up."""
    told: list[int] = []
    monkeypatch.setattr(process_tree, "ask_to_end", told.append)
    monkeypatch.setattr(process_tree, "leads_group", lambda pid: True)
    for _ in range(3):
        assert desk.supervisor.cancel("a").stop_uptime == desk.uptime
    assert told == [NOBODY]


def test_ended_builds_are_kept_up_to_a_number_and_a_size(tmp_path: Path) -> None:
    """The oldest are removed first.

    The newest is kept for any size. Running builds do not count. Other folders are removed.
    """
    desk = Desk(tmp_path, history_max_builds=3)
    living = desk.running("living")
    for number in range(5):
        desk.ended(f"b{number}")
    (desk.folder / "stray").mkdir()
    desk.supervisor.tidy()
    assert [record.id for record in desk.history.recent(10)] == ["b4", "b3", "b2", "living"]
    assert sorted(path.name for path in desk.folder.iterdir()) == ["b2", "b3", "b4", "living"]
    assert living.request.exists()
    small = Supervisor(desk.history, desk.folder, Settings(history_max_bytes=300))
    small.tidy()
    assert [record.id for record in desk.history.recent(10)] == ["b4", "living"]
    desk.ended("huge", 100_000)
    small.tidy()
    assert [record.id for record in desk.history.recent(10)] == ["huge", "living"]


def test_a_build_that_cannot_start_has_failed(tmp_path: Path) -> None:
    """The error names the reason. The next build is not delayed."""
    desk = Desk(tmp_path)
    desk.folder.rmdir()
    desk.folder.write_text("in the way")
    desk.history.enter("a", "a", {}, {}, 1.0, 10)
    assert desk.supervisor.round() == []
    ending = desk.state("a").ending
    assert ending
    assert (desk.state("a").state, ending["code"]) == ("failed", "store_error")
    assert json.dumps(dict(ending))
