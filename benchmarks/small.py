"""Measures the command line itself: its start, and a snapshot of many packages."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.report import markdown, seconds
from benchmarks.snapshot import make

RUNS = 7
SNAPSHOT = """
import sys, time
from pathlib import Path
from jupyter_condabuild.conda.prefix.snapshot import snapshot
started = time.perf_counter()
assert len(snapshot(Path(sys.argv[1])).records) == int(sys.argv[2])
print(time.perf_counter() - started)
"""


def run(work: Path) -> dict[str, float]:
    """Returns the best seconds of each measurement, by name."""
    return {
        "Python's own start": interpreter(),
        "`jupyter condabuild --help`": help_text(),
        "snapshot of 500 packages": snapshot(work),
    }


def text(figures: dict[str, float]) -> str:
    """Returns the result of `run` as Markdown."""
    return markdown([["work", "best"], ["---", "---"], *([name, seconds(value)] for name, value in figures.items())])


def interpreter() -> float:
    """Returns the seconds that Python needs to start and end."""
    return _best([sys.executable, "-c", "pass"])


def help_text() -> float:
    """Returns the seconds of `jupyter condabuild --help`."""
    return _best([sys.executable, "-m", "jupyter_condabuild", "--help"])


def snapshot(work: Path, packages: int = 500) -> float:
    """Returns the seconds of a snapshot of an environment whose packages have 100 files each."""
    folder = make(work / "many", packages, files=100)
    command = [sys.executable, "-c", SNAPSHOT, str(folder), str(packages)]
    return min(float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(RUNS))


def _best(command: list[str]) -> float:
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return min(seconds)
