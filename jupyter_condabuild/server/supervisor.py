"""The supervisor: in each round it starts waiting builds, ends builds that must end, and records ended builds.

Several servers on one home folder may run rounds at the same time. The history lets one server make each change.
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
from jupyter_condabuild.system import process_tree
from jupyter_condabuild.text import seconds_text, size_text

CANCEL_SECONDS = 10.0
"""Seconds that a build may take to end after it was asked to. Then it is killed."""

ORPHAN_SECONDS = 2.0
"""Seconds without a process after which the build of another server counts as ended.

The other server, if it runs, knows the exit status and records the end before.
"""

STRANGER_SECONDS = 15.0
"""The same for a build of another machine, and for a build whose process number is not recorded."""

_MEMORY_SECONDS = 1.0
_FULL_BYTES = 1 << 20


class Supervisor:
    """Supervises the builds of a history. Only the thread that uses the history may use it.

    Args:
        folder: the folder with the builds' folders.
        clock: the current time in seconds since the epoch, for times that are shown.
        uptime: the uptime of the machine in seconds, for durations.
    """

    def __init__(
        self,
        history: BuildHistory,
        folder: Path,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = process_tree.uptime,
    ) -> None:
        self._history = history
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._uptime = uptime
        self._machine = process_tree.machine()
        self._children: dict[str, int] = {}
        self._exits: dict[str, int] = {}  # exit statuses of children whose end is not yet recorded
        # Events files that no process locks: the size, and the uptime since which the size is the same.
        self._unlocked: dict[str, tuple[int, float]] = {}
        self._memory_checked = 0.0

    def place(self, id: str) -> Workplace:
        """Returns the folder of a build."""
        return Workplace(self._folder / id)

    def round(self) -> list[Record]:
        """Supervises each build once. Returns the builds that wait or run afterwards, the oldest first."""
        check_memory = self._uptime() - self._memory_checked >= _MEMORY_SECONDS
        self._memory_checked = self._uptime() if check_memory else self._memory_checked
        any_ended = False
        for record in self._history.active():
            if record.state == "running":
                has_ended, status = self._end_of_process(record)
                if has_ended:
                    self._record_end(record, status)
                    any_ended = True
                else:
                    self._enforce_limits(record, check_memory)
        max_running = self._settings.max_concurrent_builds
        while claimed := self._history.claim(max_running, self._machine, self._clock(), self._uptime()):
            self._start(claimed)
        if any_ended:
            self.tidy()
        return self._history.active()

    def cancel(self, id: str) -> Record:
        """Asks a build to end. A build that has ended does not change. Raises NotThere."""
        before = self._history.get(id)
        if before.stop_uptime is not None:  # a second signal would disturb the build while it cleans up
            return before
        record = self._request_stop(id, Cancelled())
        pid = self._children.get(id) or record.pid
        if pid and record.state == "running" and self._can_signal(record):
            process_tree.ask_to_end(pid)
        return record

    def forget(self, id: str) -> None:
        """Removes an ended build from the history. Raises NotThere, and NotEnded if the build waits or runs."""
        record = self._history.get(id)
        if record.state in ("queued", "running"):
            raise NotEnded(f"The build {id} has not ended: it is {record.state}.")
        self._remove(record)

    def _remove(self, record: Record) -> None:
        self._history.forget(record.id)
        shutil.rmtree(self._folder / record.id, ignore_errors=True)

    def tidy(self) -> None:
        """Removes the oldest ended builds above the limits of the settings, and folders without a build."""
        folders = [entry.name for entry in os.scandir(self._folder)]
        ended = self._history.ended()
        bytes_left = self._settings.history_max_bytes
        for position, record in enumerate(ended):
            bytes_left -= _size(self._folder / record.id)
            if position >= self._settings.history_max_builds or (bytes_left < 0 and position):
                self._remove(record)
        ids = {record.id for record in (*ended, *self._history.active())}
        for name in folders:
            if name not in ids:
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

    def _can_signal(self, record: Record) -> bool:
        """Returns whether the process number is of this machine and still belongs to the build."""
        is_child = record.id in self._children
        return is_child or bool(
            record.pid
            and record.machine == self._machine
            and self.place(record.id).is_locked
            and process_tree.leads_group(record.pid)
        )

    def _end_of_process(self, record: Record) -> tuple[bool, int | None]:
        """Returns whether a running build has ended, and its exit status if this server knows it."""
        if record.id in self._exits:
            return True, self._exits[record.id]
        if pid := self._children.get(record.id):
            try:
                status = process_tree.exit_status(pid)
            except ChildProcessError:  # other code in this server collected the exit status
                del self._children[record.id]
                return False, None
            if status is None:
                return False, None
            del self._children[record.id]
            process_tree.kill_group(pid)  # the rest of its group
            self._exits[record.id] = status
            return True, status
        place = self.place(record.id)
        is_local = record.machine == self._machine
        if place.is_locked:
            self._unlocked.pop(record.id, None)
            if is_local and record.pid and not process_tree.leads_group(record.pid):
                # The build was killed, and its workers hold the lock. While one of them runs, the group is theirs.
                process_tree.kill_group(record.pid)
            return False, None
        size = place.event_log.size
        last_size, since = self._unlocked.get(record.id, (-1, 0.0))
        if size != last_size:
            self._unlocked[record.id] = (size, self._uptime())
            return False, None
        patience = ORPHAN_SECONDS if is_local and record.pid else STRANGER_SECONDS
        return self._uptime() - since >= patience, None

    def _enforce_limits(self, record: Record, check_memory: bool) -> None:
        """Kills a running build that exceeds a limit, or that was asked to end and did not."""
        if record.started_uptime is None or not self._can_signal(record):
            return
        pid = record.pid or self._children[record.id]
        limits = self._settings
        if record.stop_uptime is not None:
            if self._uptime() - record.stop_uptime > CANCEL_SECONDS:
                process_tree.kill_group(pid)
            return
        if limits.max_build_seconds and self._uptime() - record.started_uptime > limits.max_build_seconds:
            message = f"The build took longer than {seconds_text(limits.max_build_seconds)}."
            self._stop(record, pid, BuildLimit(message, "Raise c.CondaBuild.max_build_seconds, and build again."))
        if not limits.max_build_memory or not check_memory:
            return
        if (used := process_tree.memory_of_session(pid)) > limits.max_build_memory:
            message = f"The build used {size_text(used)} of memory. The limit is {size_text(limits.max_build_memory)}."
            self._stop(record, pid, BuildLimit(message, "Raise c.CondaBuild.max_build_memory, and build again."))

    def _stop(self, record: Record, pid: int, error: CondaBuildError) -> None:
        self._request_stop(record.id, _failed(error))
        # Killed, not asked to end: it would write `cancelled`, as if the user had ended it. The store stays sound.
        process_tree.kill_group(pid)

    def _request_stop(self, id: str, stop_event: Event) -> Record:
        return self._history.request_stop(id, self._uptime(), to_json(stop_event, 1, self._clock()), self._clock())

    def _record_end(self, record: Record, status: int | None) -> None:
        ending: Mapping[str, Any] = self.place(record.id).event_log.last() or {}
        if ending.get("type") not in LAST:
            ending = self._missing_ending(record, status, ending.get("seq", 0) + 1)
        state: State = "interrupted" if ending.get("code") == Interrupted.code else ending["type"]
        seconds = None
        if record.started_uptime is not None and record.machine == self._machine:
            seconds = max(0.0, round(self._uptime() - record.started_uptime, 3))
        self._history.end(record.id, state, ending, self._clock(), seconds)
        self._exits.pop(record.id, None)
        self._unlocked.pop(record.id, None)

    def _missing_ending(self, record: Record, status: int | None, seq: int) -> Mapping[str, Any]:
        """Returns the last event for a build that ended and did not write one."""
        now = self._clock()
        if record.stop_event:
            return to_json(from_json(record.stop_event), seq, now)
        return to_json(_failed(self._reason(record, status)), seq, now)

    def _reason(self, record: Record, status: int | None) -> CondaBuildError:
        """Returns the error for a build that ended, without being asked to, and did not write its last event."""
        if status is None:
            return Interrupted("The build's process is gone: the process or the machine was stopped.")
        if status < 0:
            return _killed(-status)
        for folder in (self._folder, Path(str(record.request.get("store_dir") or self._folder))):
            if _is_full(folder):
                return DiskFull(f"No space left on the disk of {folder}.")
        stderr = scrub(self.place(record.id).stderr_tail)
        detail = f": {stderr.splitlines()[-1][:500]}" if stderr else " and gave no reason"
        return Interrupted(f"The build ended with status {status}{detail}.")


def _failed(error: CondaBuildError) -> Failed:
    return Failed.of(error)


def _killed(number: int) -> Interrupted:
    with suppress(ValueError):
        name = signal.Signals(number).name
        hint = "If memory ran out, end other programs or raise the server's memory. " if name == "SIGKILL" else ""
        return Interrupted(f"The build's process was killed ({name}).", f"{hint}{Interrupted.default_hint}")
    return Interrupted(f"The build's process was killed (signal {number}).")


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _FULL_BYTES
    except OSError:
        return False


def _size(folder: Path) -> int:
    """Returns the bytes of the files in a folder that has no subfolders."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat().st_size for entry in entries)
    except OSError:
        return 0
