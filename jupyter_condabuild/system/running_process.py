"""RunningProcess: what a system shows of a running process, its program, its variables, and what it has started."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunningProcess:
    """A process as it was when it was read. The paths are those that the process itself sees."""

    pid: int
    argv: tuple[str, ...]
    variables: dict[str, str]
    folder: Path
    executable: Path

    @classmethod
    def read(cls, pid: int) -> RunningProcess:
        """Raises ProcessLookupError if the process has ended, PermissionError if it belongs to another user."""
        import psutil

        with _system_errors(pid):
            process = psutil.Process(pid)
            with process.oneshot():
                argv, variables = tuple(process.cmdline()), process.environ()
                return cls(pid, argv, variables, Path(process.cwd()), Path(process.exe()))

    @property
    def children(self) -> list[int]:
        """The processes that this one has started, in the order of their numbers; none if it has ended."""
        import psutil

        try:
            with _system_errors(self.pid):
                return sorted(child.pid for child in psutil.Process(self.pid).children())
        except OSError:
            return []

    @property
    def sees_other_files(self) -> bool:
        """Whether the path of the executable names another file for this process: the process is in a container.

        Only Linux has processes that see other files.
        """
        if sys.platform != "linux":
            return False
        try:
            if os.readlink(f"/proc/{self.pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt"):
                return False
            return not os.path.samefile(f"/proc/{self.pid}/exe", self.executable)
        except FileNotFoundError:
            return True
        except OSError:
            return False


@contextmanager
def _system_errors(pid: int) -> Iterator[None]:
    """Raises the errors of psutil as those of the operating system."""
    import psutil

    try:
        yield
    except psutil.AccessDenied:
        raise PermissionError(1, "it belongs to another user", str(pid)) from None
    except psutil.Error:  # it has ended, or it ends
        raise ProcessLookupError(3, "No such process", str(pid)) from None


def began(pid: int) -> str:
    """Returns the time when a process began, in a form that only this system has; empty if the process has ended.

    On Linux it is in clock ticks since the start of the machine. Source: proc_pid_stat(5), field 22.
    """
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        except OSError:
            return ""
    import psutil

    try:
        return f"{psutil.Process(pid).create_time():.3f}"
    except psutil.Error:
        return ""
