"""One build's process: started in a session of its own, watched by whoever shares its folder, ended with all its kind.

The build outlives the server that started it. Its standard output is the events file, so no line passes through a
server and none is lost with one. That file is locked (flock) for as long as the build holds it open: whether a build
lives is asked of the file system, not of a process number that may be another's by now. The number is used for signals
alone, and only on the machine and in the process namespace where it was given.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_condabuild.server.event_log import EventLog

NICE = 10
"""How much nicer than the server a build is: kernels and the server come first."""

_OOM_SCORE = "500"  # where memory ends, the kernel ends the build before the server (proc(5))
_NOT_FOR_CHILDREN = ("JUPYTERHUB_", "JPY_", "JUPYTER_TOKEN")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TAIL = 2000


@dataclass(frozen=True)
class Workplace:
    """The folder of one build: what was asked, its events, and what it said besides them."""

    folder: Path

    @property
    def event_log(self) -> EventLog:
        """The events."""
        return EventLog(self.folder / "events.jsonl")

    @property
    def request(self) -> Path:
        """The build request."""
        return self.folder / "request.json"

    @property
    def stderr(self) -> Path:
        """What the process wrote to standard error: nothing, when all is well."""
        return self.folder / "stderr.txt"

    def prepare(self, request: Mapping[str, Any]) -> None:
        """Makes the folder, for this user alone."""
        self.folder.mkdir(mode=0o700, parents=True)
        self.request.write_text(json.dumps(request))

    @property
    def is_locked(self) -> bool:
        """Whether a process still writes the events."""
        try:
            with open(self.event_log.path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @property
    def last_words(self) -> str:
        """The end of standard error."""
        try:
            with open(self.stderr, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
                return file.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""


def machine() -> str:
    """This machine since it was started, and this namespace of process numbers in it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def uptime() -> float:
    """Seconds since the machine was started, sleep included: a clock that nobody sets."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a build inherits: the server's variables without its secrets."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_NOT_FOR_CHILDREN)}
    # A file json.py in the folder that the server was started in is no module of ours, nor of Python's.
    return {**kept, "PYTHONSAFEPATH": "1"}


def start(place: Workplace, command: str = "build", environ: Mapping[str, str] = os.environ) -> int:
    """Starts the command of a workplace and returns its process number, which is its group's and session's too."""
    words = [sys.executable, "-m", "jupyter_condabuild", command, "--request", "-", "--events", "jsonl"]
    with (
        open(place.request, "rb") as request,
        open(place.event_log.path, "ab") as events,
        open(place.stderr, "ab") as errors,
    ):
        fcntl.flock(events, fcntl.LOCK_EX)  # the process inherits the open file, and with it the lock
        process = subprocess.Popen(
            words, stdin=request, stdout=events, stderr=errors, env=environment(environ), start_new_session=True
        )
    process.returncode = 0  # it may outlive us: `reaped` asks for its status, not this object
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE))
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(_OOM_SCORE)
    return process.pid


def reaped(pid: int) -> int | None:
    """The exit status of a child of ours (negative: minus the signal) that has ended; None while it runs.

    Raises ChildProcessError for a process that is not our child.
    """
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def is_leader(pid: int) -> bool:
    """Whether a process of that number runs and leads a group: a build, as long as its workplace is locked."""
    try:
        leads = os.getpgid(pid) == pid
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:  # a system without /proc, or another user's process
        return leads
    return leads and state != "Z"


def terminate(pid: int) -> None:
    """Asks a build to end: it ends its own workers and says that it was cancelled."""
    assert pid > 1  # 0 is ourselves, and all that we started
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM)


def kill(pid: int) -> None:
    """Ends whatever is left of a build's group at once."""
    assert pid > 1
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def memory(pid: int) -> int:
    """Bytes of memory that a build's session holds at this moment."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == pid:
            total += int(fields[21]) * _PAGE
    return total
