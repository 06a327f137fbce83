"""The tests and the scripts leave the machine as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import missing
from tests.parts.own_engines import ENCLOSED


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for engines, which can be started here. Its name is short: the path of a socket has 107 bytes."""
    programs = ("dockerd", "podman", "docker-registry", "skopeo")
    if os.getuid() or not all(map(shutil.which, programs)):
        missing(f"Only root can start engines, and these must be installed: {', '.join(programs)}")
    with TemporaryDirectory(dir="/var/tmp") as name:
        yield Path(name)


def test_our_engines_do_not_change_the_machine(folder: Path, base_reference: str) -> None:
    """Network, mounts, control groups, /etc, /run, and the engine of the user are the same during and after.

    A container of the user keeps its network, although our engines have no bridge.
    """
    command = [*ENCLOSED, sys.executable, "-m", "tests.parts.machine", base_reference, folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_command_that_is_enclosed_ends_with_its_children_and_its_status() -> None:
    """The exit status is that of the command; a process in the background does not outlive it."""
    if os.getuid():
        missing("Only root can enclose a command")
    script = "echo $PPID; (exec setsid sleep infinity) & exit 7"
    # This returns when no process has the standard output any more.
    done = subprocess.run([*ENCLOSED, "sh", "-c", script], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (7, b"1\n")
