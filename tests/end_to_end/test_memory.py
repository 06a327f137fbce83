"""The memory of all processes of a build stays small, for any size of a package or a file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
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
    """Returns the highest memory of a process and its descendants in bytes, sampled as often as possible."""
    highest = 0
    leader = psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        with suppress(psutil.Error):
            for one in (leader, *leader.children(recursive=True)):
                with suppress(psutil.Error):
                    total += one.memory_info().rss
        highest = max(highest, total)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    return highest


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


def test_a_package_of_2_gb(run: CommandLine, small_base: str) -> None:
    """It is fetched, unpacked, linked, packed and written to an archive as a stream."""
    (run.folder / "channel/noarch").mkdir(parents=True)
    LargePackage("large", 2 << 30, files=3).make(run.folder / "channel/noarch")
    lockfile = explicit(Channel(run.folder / "channel"), run.folder / "explicit.txt")
    highest = built(run, "--lockfile", lockfile, "--base", small_base)
    assert (run.folder / "image.tar").stat().st_size > 900 * MIB
    assert highest - interpreters(1) < ALLOWED, f"{highest / MIB:.0f} MiB"


def test_a_file_of_600_mb_without_a_package(run: CommandLine, small_base: str) -> None:
    """The memory is small even if the environment's path must be replaced in the file."""
    channel = small_channel(run.folder / "channel", [(Metadata("small", "1", noarch="generic"), [File("a", b"a")])])
    prefix = install(run.folder / "env", channel, "small")
    block = os.urandom(MIB)
    with (prefix / "data.bin").open("wb") as file:
        for _ in range(600):
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
