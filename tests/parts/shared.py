"""Values that the processes of a test run make once and share (pytest-xdist starts several processes)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def shared(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], str], remove: Callable[[str], object] = str
) -> Iterator[str]:
    """Gives all processes of the run the same value.

    Args:
        factory: pytest's fixture.
        name: the name of the value; no other value of the run has it.
        make: makes the value, in a new folder. The first process calls it while the others wait.
        remove: takes the value away. The last process that has used the value calls it.
    """
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    value, users = folder / "value", folder / "users"
    with _locked(folder):
        if not value.exists():
            for part in (folder / "files", users):
                part.mkdir(parents=True)
            value.write_text(make(folder / "files"))
        (users / str(os.getpid())).touch()
        found = value.read_text()
    try:
        yield found
    finally:
        with _locked(folder):
            (users / str(os.getpid())).unlink()
            if not any(users.iterdir()):
                remove(found)
                folder.rename(folder.with_name(f"{folder.name}-{os.getpid()}"))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
