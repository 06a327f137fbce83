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
    """A short folder for engines, which can be started here. The path of a socket has at most 107 bytes."""
    programs = ("dockerd", "podman", "docker-registry", "skopeo")
    if os.getuid() or not all(map(shutil.which, programs)):
        missing(f"Only root can start engines, and these must be installed: {', '.join(programs)}")
    with TemporaryDirectory(dir="/var/tmp") as name:
        yield Path(name)


def test_our_engines_do_not_change_the_machine(folder: Path, base_reference: str) -> None:
    """Network, mounts, control groups, /etc, /run and the engine of the user are the same during and after the tests.

    A container of the user keeps its network, although our engines have no bridge.
    """
    command = [*ENCLOSED, sys.executable, "-m", "tests.parts.machine", base_reference, folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_an_enclosed_command_ends_with_its_children_and_its_status() -> None:
    """The exit status is that of the command. A process in the background ends with the command."""
    if os.getuid():
        missing("Only root can enclose a command")
    script = "echo $PPID; (exec setsid sleep infinity) & exit 7"
    # This call returns when no process has the standard output open.
    done = subprocess.run([*ENCLOSED, "sh", "-c", script], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (7, b"1\n")
