"""How processes are started so that they can be ended with all that they have started, and what they use."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

NICE = 10
"""The nice value of a build, added to the server's: kernels and the server have priority."""

_OOM_SCORE = "500"  # when memory runs out, Linux kills the build before the server (proc(5), oom_score_adj)

if sys.platform == "win32":
    GROUP: dict[str, Any] = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    SESSION: dict[str, Any] = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    WITHOUT_MEMORY: tuple[int, ...] = ()
    CAN_FORK = False
    _started: dict[int, subprocess.Popen[bytes]] = {}

    def let_run(process: subprocess.Popen[bytes]) -> None:
        """Lets a process run on when this one ends, at a lower priority. `exit_status` asks for its end."""
        import psutil

        _started[process.pid] = process
        with suppress(psutil.Error):
            psutil.Process(process.pid).nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)

    def exit_status(pid: int) -> int | None:
        """Returns the exit status of a child process, or None while it runs.

        Raises ChildProcessError for a process that is not a child of this process.
        """
        if pid not in _started:
            raise ChildProcessError(pid)
        return _started[pid].poll()  # it stays open, so that no other process gets its number

    def leads_group(pid: int) -> bool:
        """Returns whether the process runs."""
        import psutil

        return psutil.pid_exists(pid)

    def ask_to_end(pid: int) -> None:
        """Kills the process and all that it has started: without a console, a process of Windows hears no request."""
        kill_group(pid)

    def kill_group(pid: int) -> None:
        """Kills a process and all processes that it has started, directly or not."""
        assert pid > 1
        import psutil

        for process in _tree(pid):
            with suppress(psutil.Error):
                process.kill()

else:
    GROUP: dict[str, Any] = {"process_group": 0}
    """Options of `subprocess.Popen` for a process that does not get the Ctrl-C of this one."""

    SESSION: dict[str, Any] = {"start_new_session": True}
    """Options of `subprocess.Popen` for a process that has no terminal, and that outlives this one."""

    WITHOUT_MEMORY = (-signal.SIGABRT, -signal.SIGKILL, -signal.SIGSEGV)
    """The exit statuses of a process without memory: libraries abort the process, or the kernel kills it."""

    CAN_FORK = True
    """Whether a process can make a copy of itself."""

    def let_run(process: subprocess.Popen[bytes]) -> None:
        """Lets a process run on when this one ends, at a lower priority. `exit_status` asks for its end."""
        process.returncode = 0  # `exit_status` collects the exit status: Popen must neither collect it nor warn
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE))
            Path(f"/proc/{process.pid}/oom_score_adj").write_text(_OOM_SCORE)

    def exit_status(pid: int) -> int | None:
        """Returns the exit status of a child process (minus the signal's number after a signal), None while it runs.

        Raises ChildProcessError for a process that is not a child of this process, or whose status was returned.
        """
        done, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if done else None

    def leads_group(pid: int) -> bool:
        """Returns whether the process runs and is the leader of its group."""
        try:
            leads = os.getpgid(pid) == pid
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except ProcessLookupError:
            return False
        except OSError:  # a system without /proc, or another user's process
            return leads
        return leads and state != "Z"

    def ask_to_end(pid: int) -> None:
        """Asks a process of a session to end, so that it can clean up."""
        assert pid > 1  # 0 means the process group of this process
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)

    def kill_group(pid: int) -> None:
        """Kills all processes of the group that a process leads."""
        assert pid > 1
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _tree(pid: int) -> Iterator[Any]:
    """Yields a process and all processes that it has started, directly or not; none if it has ended."""
    import psutil

    with suppress(psutil.Error):
        first = psutil.Process(pid)
        yield from (*first.children(recursive=True), first)


def end_after(parent: int) -> None:
    """Waits until the process `parent` has ended, then asks this process, its child, to end. It is for a thread."""
    while os.getppid() == parent:
        time.sleep(1)
    ask_to_end(os.getpid())


def interrupt_below(pid: int) -> None:
    """Sends SIGINT to all processes that a process has started, directly or not, and not to the process itself."""
    import psutil

    for process in _tree(pid):
        with suppress(psutil.Error):
            if process.pid != pid:
                process.send_signal(signal.SIGINT)


def memory_of_tree(pid: int) -> int:
    """Returns the resident memory, in bytes, of a process and of those that it has started, directly or not."""
    import psutil

    total = 0
    for process in _tree(pid):
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total


if sys.platform == "linux":

    def memory_of_session(pid: int) -> int:
        """Returns the resident memory, in bytes, of the processes of the session that a process leads.

        On other systems than Linux, a process whose parent has ended is not counted.
        """
        total, page = 0, os.sysconf("SC_PAGE_SIZE")
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == pid:
                total += int(fields[21]) * page
        return total

else:
    memory_of_session = memory_of_tree


def machine() -> str:
    """Returns an identifier of this machine, its current boot, and the namespace of process numbers."""
    if sys.platform == "linux":
        with suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    import psutil

    return f"{socket.gethostname()} {psutil.boot_time():.0f}"


def uptime() -> float:
    """Returns the seconds since the machine was started, including sleep. Setting the clock does not change it."""
    if sys.platform == "win32":
        return time.monotonic()  # Windows counts the time that it sleeps (QueryPerformanceCounter)
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def processors() -> int:
    """Returns the number of processors that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
