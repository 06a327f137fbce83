"""A process that answers a request has a memory limit, because its input can be made to fill the memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_condabuild.errors import BuildLimit, LockfileError
from jupyter_condabuild.requests.others import DiffRequest
from jupyter_condabuild.server.command_runner import CommandRunner


async def compared(folder: Path, text: bytes, memory: int) -> None:
    """Compares a lock file with itself, in a process with this memory."""
    lock = folder / "lock.yml"
    lock.write_bytes(text)
    runner = CommandRunner(memory=memory)
    try:
        await runner.run("diff", DiffRequest(before=str(lock), after=str(lock), store_dir=folder / "store"))
    finally:
        await runner.close()


async def test_a_command_that_needs_too_much_memory_is_ended(tmp_path: Path) -> None:
    """A file of 50 MB does not fit into 60 MB. The error says so, and does not say that the file is invalid."""
    with pytest.raises(BuildLimit, match="needs more memory than it may use"):
        await compared(tmp_path, b"a: " + b"x" * 50_000_000, 60 << 20)


async def test_the_same_command_with_enough_memory_reports_the_fault(tmp_path: Path) -> None:
    """Only the limit is different."""
    with pytest.raises(LockfileError, match="is not a lock file"):
        await compared(tmp_path, b"a: " + b"x" * 50_000_000, 1 << 30)
