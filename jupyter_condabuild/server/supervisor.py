"""Living builds, looked after one round at a time: starts what waits, ends what must end, records what has ended.

Several servers on one home folder may do this side by side; the history lets one of them win each step.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.errors import BuildLimit, CondaBuildError, DiskFull, Interrupted, NotEnded, from_os_error
from jupyter_condabuild.events import LAST, Cancelled, Event, Failed, from_json, to_json
from jupyter_condabuild.server import process
from jupyter_condabuild.server.history import BuildHistory, Record, State
from jupyter_condabuild.server.process import Workplace
from jupyter_condabuild.settings import Settings
from jupyter_condabuild.text import seconds_text, size_text

CANCEL_SECONDS = 10.0
"""How long a build may take to end when it is told to."""

ORPHAN_SECONDS = 2.0
"""How long a build of another server must be without a process to count as ended: its own server knows more."""

STRANGER_SECONDS = 15.0
"""The same for one that was started elsewhere, or has no process number yet."""

_MEMORY_SECONDS = 1.0
_FULL = 1 << 20


class Supervisor:
    """Looks after the builds of a history. To be used from one thread at a time, the history's."""

    def __init__(
        self,
        history: BuildHistory,
        folder: Path,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = process.uptime,
    ) -> None:
        """`folder` has the builds' folders; `clock` is for people, `uptime` for measuring."""
        self._history = history
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._uptime = uptime
        self._machine = process.machine()
        self._children: dict[str, int] = {}
        self._exits: dict[str, int] = {}  # exit statuses of children that the history does not know to have ended
        self._still: dict[str, tuple[int, float]] = {}  # size of the events, and since when no process writes them
        self._weighed = 0.0

    def place(self, id: str) -> Workplace:
        """Where a build has its files."""
        return Workplace(self._folder / id)

    def round(self) -> list[Record]:
        """Looks at every living build once, and returns those that live afterwards, the oldest first."""
        weigh = self._uptime() - self._weighed >= _MEMORY_SECONDS
        self._weighed = self._uptime() if weigh else self._weighed
        ended = False
        for record in self._history.active():
            if record.state == "running":
                over, status = self._over(record)
                if over:
                    self._end(record, status)
                    ended = True
                else:
                    self._hold(record, weigh)
        most = self._settings.max_concurrent_builds
        while claimed := self._history.claim(most, self._machine, self._clock(), self._uptime()):
            self._start(claimed)
        if ended:
            self.tidy()
        return self._history.active()

    def cancel(self, id: str) -> Record:
        """Tells a build to end; one that has ended stays as it is. Raises NotThere."""
        before = self._history.get(id)
        if before.told is not None:  # told twice, it would be disturbed while it cleans up
            return before
        record = self._tell(id, Cancelled())
        pid = self._children.get(id) or record.pid
        if pid and record.state == "running" and self._is_here(record):
            process.terminate(pid)
        return record

    def forget(self, id: str) -> None:
        """Removes an ended build from the history. Raises NotThere, and NotEnded for one that waits or runs."""
        record = self._history.get(id)
        if record.state in ("queued", "running"):
            raise NotEnded(f"The build {id} has not ended: it is {record.state}.")
        self._remove(record)

    def _remove(self, record: Record) -> None:
        self._history.forget(record.id)
        shutil.rmtree(self._folder / record.id, ignore_errors=True)

    def tidy(self) -> None:
        """Forgets the oldest ended builds, as many as are too many or have too many bytes, and folders of none."""
        folders = [entry.name for entry in os.scandir(self._folder)]
        ended = self._history.ended()
        bytes_left = self._settings.history_max_bytes
        for place, record in enumerate(ended):
            bytes_left -= _size(self._folder / record.id)
            if place >= self._settings.history_max_builds or (bytes_left < 0 and place):
                self._remove(record)
        known = {record.id for record in (*ended, *self._history.active())}
        for name in folders:
            if name not in known:
                shutil.rmtree(self._folder / name, ignore_errors=True)

    def _start(self, record: Record) -> None:
        place = self.place(record.id)
        try:
            place.prepare(record.request)
            self._children[record.id] = process.start(place, record.command)
        except OSError as error:
            self._history.end(
                record.id,
                "failed",
                to_json(_failed(from_os_error(error, "starting the build")), 1, self._clock()),
                self._clock(),
                0.0,
            )
            return
        self._history.started(record.id, self._children[record.id])

    def _is_here(self, record: Record) -> bool:
        """Whether its process number means something to us, and is still its own."""
        own = record.id in self._children
        return own or bool(
            record.pid
            and record.machine == self._machine
            and self.place(record.id).is_locked
            and process.is_leader(record.pid)
        )

    def _over(self, record: Record) -> tuple[bool, int | None]:
        """Whether a running build has ended, and with which exit status, where that can be known."""
        if record.id in self._exits:
            return True, self._exits[record.id]
        if pid := self._children.get(record.id):
            try:
                status = process.reaped(pid)
            except ChildProcessError:  # someone else in this server waited for it
                del self._children[record.id]
                return False, None
            if status is None:
                return False, None
            del self._children[record.id]
            process.kill(pid)  # what it left of its group
            self._exits[record.id] = status
            return True, status
        place = self.place(record.id)
        here = record.machine == self._machine
        if place.is_locked:
            self._still.pop(record.id, None)
            if here and record.pid and not process.is_leader(record.pid):
                process.kill(record.pid)  # workers of a build that was killed: the group is theirs while one lives
            return False, None
        size = place.event_log.size
        known, since = self._still.get(record.id, (-1, 0.0))
        if size != known:
            self._still[record.id] = (size, self._uptime())
            return False, None
        patience = ORPHAN_SECONDS if here and record.pid else STRANGER_SECONDS
        return self._uptime() - since >= patience, None

    def _hold(self, record: Record, weigh: bool) -> None:
        """Holds a running build to its limits, and to its end where it was told to end."""
        if record.began is None or not self._is_here(record):
            return
        pid = record.pid or self._children[record.id]
        limits = self._settings
        if record.told is not None:
            if self._uptime() - record.told > CANCEL_SECONDS:
                process.kill(pid)
            return
        if limits.max_build_seconds and self._uptime() - record.began > limits.max_build_seconds:
            taken = f"The build took longer than {seconds_text(limits.max_build_seconds)}."
            self._stop(record, pid, BuildLimit(taken, "Raise c.CondaBuild.max_build_seconds, and build again."))
        elif limits.max_build_memory and weigh and (used := process.memory(pid)) > limits.max_build_memory:
            taken = f"The build took {size_text(used)} of memory, and may take {size_text(limits.max_build_memory)}."
            self._stop(record, pid, BuildLimit(taken, "Raise c.CondaBuild.max_build_memory, and build again."))

    def _stop(self, record: Record, pid: int, why: CondaBuildError) -> None:
        self._tell(record.id, _failed(why))
        process.kill(pid)  # the store is sound at any moment; asked to end, it would say that a person cancelled it

    def _tell(self, id: str, verdict: Event) -> Record:
        return self._history.tell(id, self._uptime(), to_json(verdict, 1, self._clock()), self._clock())

    def _end(self, record: Record, status: int | None) -> None:
        said = self.place(record.id).event_log.last()
        ending: Mapping[str, Any] = said or {}
        if ending.get("type") not in LAST:
            ending = self._verdict(record, status, ending.get("seq", 0) + 1)
        state: State = "interrupted" if ending.get("code") == Interrupted.code else ending["type"]
        seconds = None
        if record.began is not None and record.machine == self._machine:
            seconds = max(0.0, round(self._uptime() - record.began, 3))
        self._history.end(record.id, state, ending, self._clock(), seconds)
        self._exits.pop(record.id, None)
        self._still.pop(record.id, None)

    def _verdict(self, record: Record, status: int | None, seq: int) -> Mapping[str, Any]:
        """The last event of a build that ended without one."""
        now = self._clock()
        if record.verdict:
            return to_json(from_json(record.verdict), seq, now)
        return to_json(_failed(self._reason(record, status)), seq, now)

    def _reason(self, record: Record, status: int | None) -> CondaBuildError:
        """Why a build ended that did not say so itself."""
        if status is None:
            return Interrupted("The build's process is gone: it, or the machine, was stopped.")
        if status < 0:
            return _killed(-status)
        for folder in (self._folder, Path(str(record.request.get("store_dir") or self._folder))):
            if _is_full(folder):
                return DiskFull(f"No space left on the disk of {folder}.")
        words = scrub(self.place(record.id).last_words)
        why = f": {words.splitlines()[-1][:500]}" if words else ", and did not say why"
        return Interrupted(f"The build ended with status {status}{why}.")


def _failed(error: CondaBuildError) -> Failed:
    return Failed(error.code, error.message, error.hint)


def _killed(number: int) -> Interrupted:
    with suppress(ValueError):
        name = signal.Signals(number).name
        hint = "If memory ran out, end other programs or raise the server's memory. " if name == "SIGKILL" else ""
        return Interrupted(f"The build's process was killed ({name}).", f"{hint}{Interrupted.default_hint}")
    return Interrupted(f"The build's process was killed (signal {number}).")


def _is_full(folder: Path) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _FULL


def _size(folder: Path) -> int:
    """Bytes of the files in a folder that has no folders."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat().st_size for entry in entries)
    except OSError:
        return 0
