"""The memory of all processes of a build stays small, for any size of a package or a file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.parts.builds import explicit, install, small_channel
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.channel.special import LargePackage
from tests.parts.command_line import CommandLine

MIB = 1 << 20
ALLOWED = 300 * MIB
"""The limit for all processes of a build together, without the memory that their interpreters need to start."""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line. Its results are gigabytes, and are deleted at once."""
    yield CommandLine(tmp_path)
    shutil.rmtree(tmp_path)


def peak(process: subprocess.Popen[str]) -> int:
    """Returns the highest memory of a process and its descendants in bytes.

    It is the largest sum of the maxima of the processes that live at the same time (VmHWM, proc_pid_status(5)). So no
    maximum between two samples is missed, and few samples are enough.
    """
    highest = 0
    while process.poll() is None:
        highest = max(highest, high_water(process.pid))
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    return highest


def high_water(pid: int) -> int:
    """Returns the highest memory in bytes of a process and of each living descendant."""
    total = 0
    with suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        total = int(found[1]) * 1024 if found else 0
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            total += sum(high_water(int(child)) for child in children.read_text().split())
    return total


def interpreters(number: int) -> int:
    """Returns the memory of the same number of idle interpreters."""
    code = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return number * 1024 * int(out)


def built(run: CommandLine, *arguments: str | Path) -> int:
    """Returns the highest memory of a build, which must succeed."""
    process = run.start("build", *arguments, "-o", "image.tar", "--json")
    highest = peak(process)
    _, err = process.communicate()
    assert process.returncode == 0, err
    return highest


def test_a_package_of_1_gb(run: CommandLine, small_base: str) -> None:
    """The package is fetched, unpacked, linked, packed and written as a stream. Each file is larger than ALLOWED."""
    (run.folder / "channel/noarch").mkdir(parents=True)
    LargePackage("large", 1 << 30, files=3).make(run.folder / "channel/noarch")
    lockfile = explicit(Channel(run.folder / "channel"), run.folder / "explicit.txt")
    highest = built(run, "--lockfile", lockfile, "--base", small_base)
    assert (run.folder / "image.tar").stat().st_size > 450 * MIB
    assert highest - interpreters(1) < ALLOWED, f"{highest / MIB:.0f} MiB"


def test_a_file_of_400_mb_without_a_package(run: CommandLine, small_base: str) -> None:
    """The memory is small even if the environment's path must be replaced in the file."""
    channel = small_channel(run.folder / "channel", [(Metadata("small", "1", noarch="generic"), [File("a", b"a")])])
    prefix = install(run.folder / "env", channel, "small")
    block = os.urandom(MIB)
    with (prefix / "data.bin").open("wb") as file:
        for _ in range(400):
            file.write(block)
        file.write(os.fsencode(prefix) + b"/share\0")
    highest = built(run, prefix, "--base", small_base)
    assert highest - interpreters(1) < ALLOWED, f"{highest / MIB:.0f} MiB"


def test_very_many_small_files(run: CommandLine, small_base: str) -> None:
    """Only lists of names grow with the number of files."""
    files = [File(f"share/many/{number % 100}/{number}.txt", b"%d" % number) for number in range(30_000)]
    channel = small_channel(run.folder / "channel", [(Metadata("many", "1", noarch="generic"), files)])
    lockfile = explicit(channel, run.folder / "explicit.txt")
    highest = built(run, "--lockfile", lockfile, "--base", small_base)
    assert highest - interpreters(1) < ALLOWED, f"{highest / MIB:.0f} MiB"


def test_an_environment_with_python(run: CommandLine, small_base: str, rattler_prefix: Path) -> None:
    """There are as many writers as processors. Each has an interpreter that compiles."""
    highest = built(run, rattler_prefix, "--base", small_base)
    writers = len(os.sched_getaffinity(0))
    assert highest - interpreters(1 + 2 * writers) < ALLOWED, f"{highest / MIB:.0f} MiB"
