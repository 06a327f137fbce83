"""A process is read, limited and ended with all that it has started."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from jupyter_condabuild.system import process_tree
from jupyter_condabuild.system.running_process import RunningProcess, began

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; print('ready', flush=True); sys.stdin.read()"])
child.wait()
"""


@pytest.fixture
def parent(tmp_path: Path) -> subprocess.Popen[bytes]:
    """A process in a session of its own that has started another one."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "LAB_NAME": "a=b"},
        cwd=tmp_path,
        **process_tree.SESSION,
    )
    assert process.stdout
    assert process.stdout.readline().strip() == b"ready"
    return process


def ended(parent: subprocess.Popen[bytes]) -> None:
    """Waits for the end of the process, and of all that have its output open."""
    parent.communicate()


def test_a_group_is_killed_with_what_it_has_started(parent: subprocess.Popen[bytes]) -> None:
    """A build that is ended leaves no worker."""
    (child,) = psutil.Process(parent.pid).children()
    assert process_tree.leads_group(parent.pid)
    process_tree.kill_group(parent.pid)
    ended(parent)
    with suppress(psutil.TimeoutExpired):  # the output ends a moment before the process; nobody may collect its status
        child.wait(10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert not process_tree.leads_group(parent.pid)
    process_tree.kill_group(parent.pid)  # an ended process is no error


def test_a_process_shows_how_it_was_started(parent: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Its command line, variables, folder and program, and the processes that it has started."""
    found = RunningProcess.read(parent.pid)
    assert found.argv[1:] == ("-c", PARENT)
    assert found.variables["LAB_NAME"] == "a=b"
    assert found.folder.samefile(tmp_path)
    assert found.executable.samefile(sys.executable)
    assert not found.sees_other_files
    (child,) = found.children
    assert "sys.stdin.read()" in RunningProcess.read(child).argv[-1]
    process_tree.kill_group(parent.pid)
    ended(parent)
    with pytest.raises(ProcessLookupError):
        RunningProcess.read(parent.pid)
    assert found.children == []


def test_the_memory_of_a_tree_contains_that_of_each_process(parent: subprocess.Popen[bytes]) -> None:
    """Linux counts a session, the other systems a tree: the same processes here."""
    (child,) = psutil.Process(parent.pid).children()
    least = child.memory_info().rss
    for count in (process_tree.memory_of_session, process_tree.memory_of_tree):
        assert least < count(parent.pid) < 1 << 30
    process_tree.kill_group(parent.pid)
    ended(parent)
    assert process_tree.memory_of_tree(parent.pid) == 0


def test_a_process_is_known_by_its_number_and_its_start() -> None:
    """Another process that gets the same number later has another start."""
    assert began(os.getpid()) == began(os.getpid()) != ""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert began(child.pid) != began(os.getpid())
        child.communicate(b"\n")
    assert began(child.pid) == ""
    assert process_tree.machine() == process_tree.machine() != ""
    assert process_tree.processors() >= 1
