"""Limits that the system sets for processes. A system without such a limit has none, and nothing is limited there."""

from __future__ import annotations

import sys
from contextlib import suppress

if sys.platform == "win32":

    def write_no_core() -> None:
        """Does nothing: Windows writes the memory of a process only where an administrator has asked for it."""

else:
    import resource

    def write_no_core() -> None:
        """Lets no core file of this process be written: it would contain the logins that are in its memory."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def limit_memory(pid: int, limit: int) -> None:
    """Limits the memory that a process can write, in bytes. Only Linux can limit another process (prlimit(2))."""
    if sys.platform == "linux":
        with suppress(OSError):  # the process has ended
            resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
