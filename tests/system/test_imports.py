"""The package can be imported on each system, and only `jupyter_condabuild.system` knows what a system lacks."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "jupyter_condabuild"
MAY_NAME_PROC = {"receive/bubblewrap.py", "receive/kernelspecs.py", "requests/outside.py"}
"""They refuse to copy or mount folders of the system, or name the one of a sandbox, and open nothing there."""


def proc_paths(source: str) -> list[str]:
    """Returns the texts of a module that are paths in /proc; those of an f-string by their beginning."""
    texts = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return [text for text in texts if isinstance(text, str) and (text == "/proc" or text.startswith("/proc/"))]


def test_every_module_can_be_imported_without_posix() -> None:
    """No module needs a module or function of POSIX when it is imported: the program starts on Windows."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.parts.without_posix"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_only_the_part_for_systems_reads_proc() -> None:
    """macOS and Windows have no /proc."""
    found = {
        module.relative_to(PACKAGE).as_posix(): paths
        for module in PACKAGE.rglob("*.py")
        if "system" not in module.relative_to(PACKAGE).parts[0] and (paths := proc_paths(module.read_text("utf-8")))
    }
    assert found.keys() - MAY_NAME_PROC == set(), found


@pytest.mark.parametrize("source", ['open("/proc/self/maps")', 'Path(f"/proc/{pid}/exe")', 'Path("/proc")'])
def test_a_path_in_proc_is_found(source: str) -> None:
    """It is found as a text and as an f-string."""
    assert proc_paths(source)


@pytest.mark.parametrize(
    "line",
    [
        *("import fcntl", "import pwd", "from grp import getgrgid", "os.getuid()", "os.fork()", "os.killpg(pid, 9)"),
        *("import resource", "import termios", "import psutil", "signal.SIGKILL", "socket.AF_UNIX", "os.O_RDONLY"),
    ],
)
def test_the_check_of_the_style_refuses_what_windows_lacks(line: str) -> None:
    """`make lint` fails for such a line anywhere in the package but in `system`."""
    source = f"import os\nimport signal\nimport socket\n{line}\n"
    for name, refused in (("jupyter_condabuild/jobs/build.py", True), ("jupyter_condabuild/system/locks.py", False)):
        command = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", name, "-"]
        done = subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True, check=False)
        assert ("TID251" in done.stdout) is refused, done.stdout


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_the_types_are_checked_for_each_system(system: str) -> None:
    """`make lint` runs mypy for macOS and for Windows, which finds the functions that the system lacks."""
    assert f"mypy --platform {system}" in (ROOT / "Makefile").read_text("utf-8")


def test_the_command_line_starts_without_the_libraries_for_systems() -> None:
    """psutil and platformdirs are imported where they are needed: each takes about 15 ms."""
    start = "import sys; from jupyter_condabuild.cli import parser; parser('build'); "
    code = start + "print({'psutil', 'platformdirs'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
