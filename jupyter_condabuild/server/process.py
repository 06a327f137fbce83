"""The process of a build: its folder, its start in a session of its own, and signals to its process group.

A build continues when the server that started it ends. Its standard output is the events file, so a server that ends
loses no event. The process holds a lock (flock) on that file while it runs. The lock shows whether a build runs: a
process number may belong to another process by now. The number is used for signals only, on the machine and in the
process namespace that assigned it.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
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

from jupyter_condabuild.files import open_private
from jupyter_condabuild.server.event_log import EventLog

NICE = 10
"""The nice value of a build, added to the server's: kernels and the server have priority."""

_OOM_SCORE = "500"  # when memory runs out, Linux kills the build before the server (proc(5), oom_score_adj)
_SECRET_VARIABLES = ("JUPYTERHUB_", "JPY_", "JUPYTER_TOKEN")  # the beginnings of their names
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STDERR_BYTES = 2000


@dataclass(frozen=True)
class Workplace:
    """The folder of one build. It has the request, the events file and the standard error of the process."""

    folder: Path

    @property
    def event_log(self) -> EventLog:
        """The events file, to which the process writes its standard output."""
        return EventLog(self.folder / "events.jsonl")

    @property
    def request(self) -> Path:
        """The file with the JSON object of the request."""
        return self.folder / "request.json"

    @property
    def stderr(self) -> Path:
        """The file with the standard error of the process. It is empty unless something went wrong."""
        return self.folder / "stderr.txt"

    def prepare(self, request: Mapping[str, Any]) -> None:
        """Makes the folder, readable for this user only, and writes the request."""
        self.folder.mkdir(mode=0o700, parents=True)
        with open(self.request, "w", opener=open_private) as file:
            json.dump(request, file)

    @property
    def is_locked(self) -> bool:
        """Whether a process has the events file open for writing: the build runs."""
        try:
            with open(self.event_log.path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @property
    def stderr_tail(self) -> str:
        """The last 2000 bytes of the standard error as text. Empty if there is no such file."""
        try:
            with open(self.stderr, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _STDERR_BYTES))
                return file.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""


def machine() -> str:
    """Returns an identifier of this machine, its current boot, and the namespace of process numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def uptime() -> float:
    """Returns the seconds since the machine was started, including sleep. Setting the clock does not change it."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment variables for a build: those of the server without the server's secrets."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_SECRET_VARIABLES)}
    # Without PYTHONSAFEPATH, `python -m` imports modules (for example a user's json.py) from the working directory.
    return {**kept, "PYTHONSAFEPATH": "1"}


def start(place: Workplace, command: str = "build", environ: Mapping[str, str] = os.environ) -> int:
    """Starts a command with the request of `place`.

    Returns the process number, which is also the number of the process group and of the session.
    """
    arguments = [sys.executable, "-m", "jupyter_condabuild", command, "--request", "-", "--events", "jsonl"]
    with (
        open(place.request, "rb") as request,
        open(place.event_log.path, "ab", opener=open_private) as events,
        open(place.stderr, "ab", opener=open_private) as errors,
    ):
        fcntl.flock(events, fcntl.LOCK_EX)  # the process inherits the open file and its lock
        process = subprocess.Popen(
            arguments, stdin=request, stdout=events, stderr=errors, env=environment(environ), start_new_session=True
        )
    process.returncode = 0  # `reaped` collects the exit status: Popen must neither collect it nor warn
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE))
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(_OOM_SCORE)
    return process.pid


def reaped(pid: int) -> int | None:
    """Returns the exit status of a child process (minus the signal's number after a signal), or None while it runs.

    Raises ChildProcessError for a process that is not a child of this process.
    """
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def is_leader(pid: int) -> bool:
    """Returns whether the process runs and is the leader of its group. A build is, while its events file is locked."""
    try:
        leads = os.getpgid(pid) == pid
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:  # a system without /proc, or another user's process
        return leads
    return leads and state != "Z"


def terminate(pid: int) -> None:
    """Asks a build to end. It ends its worker processes and writes the event `cancelled`."""
    assert pid > 1  # 0 means the process group of this server
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM)


def kill(pid: int) -> None:
    """Kills all processes of a build's group."""
    assert pid > 1
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def limit_memory(pid: int, limit: int) -> None:
    """Limits the memory that a process can write, in bytes. A system without prlimit(2) has no such limit."""
    if hasattr(resource, "prlimit"):
        with suppress(OSError):  # the process has ended
            resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))


def memory(pid: int) -> int:
    """Returns the resident memory, in bytes, of all processes in a build's session."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == pid:
            total += int(fields[21]) * _PAGE_BYTES
    return total
