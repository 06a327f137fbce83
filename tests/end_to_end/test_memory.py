"""Memory: whatever the size of a package or a file, the whole tree of a build's processes stays small."""

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
"""What all processes of a build may have together, beyond what their interpreters need to start."""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line; what it made is gigabytes, and goes at once."""
    yield CommandLine(tmp_path)
    shutil.rmtree(tmp_path)


def peak(process: subprocess.Popen[str]) -> int:
    """The most bytes that a process and its descendants had in memory together, sampled as fast as can be."""
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
    """What as many interpreters need that do nothing."""
    code = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return number * 1024 * int(out)


def built(run: CommandLine, *arguments: str | Path) -> int:
    """The peak of a build, which has to succeed."""
    process = run.start("build", *arguments, "-o", "image.tar", "--json")
    highest = peak(process)
    _, err = process.communicate()
    assert process.returncode == 0, err
    return highest


def test_a_package_of_2_gb(run: CommandLine, small_base: str) -> None:
    """Fetched, unpacked, linked, packed and written to an archive, all as a stream."""
    (run.folder / "channel/noarch").mkdir(parents=True)
    LargePackage("large", 2 << 30, files=3).make(run.folder / "channel/noarch")
    lockfile = explicit(Channel(run.folder / "channel"), run.folder / "explicit.txt")
    highest = built(run, "--lockfile", lockfile, "--base", small_base)
    assert (run.folder / "image.tar").stat().st_size > 900 * MIB
    assert highest - interpreters(1) < ALLOWED, f"{highest / MIB:.0f} MiB"


def test_a_file_of_600_mb_that_no_package_owns(run: CommandLine, small_base: str) -> None:
    """Even if the environment's path has to be replaced in it."""
    channel = small_channel(run.folder / "channel", [(Metadata("small", "1", noarch="generic"), [File("a", b"a")])])
    prefix = install(run.folder / "env", channel, "small")
    block = os.urandom(MIB)
    with (prefix / "data.bin").open("wb") as file:
        for _ in range(600):
            file.write(block)
        file.write(os.fsencode(prefix) + b"/share\0")
    highest = built(run, prefix, "--base", small_base)
    assert highest - interpreters(1) < ALLOWED, f"{highest / MIB:.0f} MiB"


def test_a_great_many_small_files(run: CommandLine, small_base: str) -> None:
    """Lists of names are all that grows with their number."""
    files = [File(f"share/many/{number % 100}/{number}.txt", b"%d" % number) for number in range(30_000)]
    channel = small_channel(run.folder / "channel", [(Metadata("many", "1", noarch="generic"), files)])
    lockfile = explicit(channel, run.folder / "explicit.txt")
    highest = built(run, "--lockfile", lockfile, "--base", small_base)
    assert highest - interpreters(1) < ALLOWED, f"{highest / MIB:.0f} MiB"


def test_an_environment_with_python(run: CommandLine, small_base: str, rattler_prefix: Path) -> None:
    """With as many writers as processors, each with an interpreter that compiles."""
    highest = built(run, rattler_prefix, "--base", small_base)
    writers = len(os.sched_getaffinity(0))
    assert highest - interpreters(1 + 2 * writers) < ALLOWED, f"{highest / MIB:.0f} MiB"
