"""A lock on a file is held by several processes or by one, and ends with its process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jupyter_condabuild.system import locks

HOLD = """
import os, sys
from jupyter_condabuild.system import locks
file = os.open(sys.argv[1], os.O_RDWR)
print(getattr(locks, sys.argv[2])(file), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """An open file with a few bytes."""
    (tmp_path / "lock").write_bytes(b"text")
    descriptor = os.open(tmp_path / "lock", os.O_RDWR)
    yield descriptor
    os.close(descriptor)


@contextmanager
def held(path: Path, how: str) -> Iterator[None]:
    """A process that holds a lock of a file until the end of the block."""
    command = [sys.executable, "-c", HOLD, str(path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline().strip() in (b"True", b"None")
        try:
            yield
        finally:
            process.communicate()


def test_a_shared_lock_keeps_others_from_owning_the_file(file: int, tmp_path: Path) -> None:
    """Others can share it. When the other process has ended, the file can be owned."""
    with held(tmp_path / "lock", "share"):
        assert not locks.try_own(file)
        assert locks.try_share(file)
    assert locks.try_own(file)


def test_a_file_has_one_owner(file: int, tmp_path: Path) -> None:
    """Nobody else can share the lock or own the file, but everybody can read the file."""
    with held(tmp_path / "lock", "try_own"):
        assert not locks.try_own(file)
        assert not locks.try_share(file)
        assert (tmp_path / "lock").read_bytes() == b"text"
    assert locks.try_share(file)


def test_a_refused_request_can_be_followed_by_a_shared_lock(file: int, tmp_path: Path) -> None:
    """A store that cannot be pruned stays open."""
    with held(tmp_path / "lock", "share"):
        assert not locks.try_own(file)
        locks.share(file)
    with held(tmp_path / "lock", "share"):
        pass
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock"), "try_own"]
    assert subprocess.run(command, input=b"", capture_output=True).stdout.strip() == b"False"
