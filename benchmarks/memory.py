"""Measures the peak memory of a build with one package of 2 GB, without the memory of a Python interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import measured
from benchmarks.ours import Ours
from benchmarks.report import seconds, size
from tests.parts.channel import channel as channels
from tests.parts.channel import prefix
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata, write

SIZE = 2 << 30
LIMIT = 300_000_000


@dataclass(frozen=True)
class Huge:
    """A package of two files of one gigabyte each. Half of each file can be compressed."""

    @property
    def metadata(self) -> Metadata:
        return Metadata("huge", "1.0", noarch="generic")

    @property
    def key(self) -> str:
        return repr(self.metadata)

    def make(self, folder: Path) -> Path:
        """Writes the package into `folder` and returns its path."""
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            block = os.urandom(1 << 19) + bytes(1 << 19)
            for _ in range(SIZE // 2 // len(block)):
                file.write(block)
            file.flush()
            content = Path(file.name)
            return write(self.metadata, [File("share/1.bin", content), File("share/2.bin", content)], folder, level=1)


def run(ours: Ours, work: Path) -> dict[str, Any]:
    """Builds an image of an environment with one huge package into an archive.

    Returns the seconds, the peak memory and its limit, in bytes.
    """
    channel = channels.add(Channel((work / "huge").absolute()), [Huge()])
    environment = prefix.create(work / "huge-env", ["huge"], channel.url, work / "huge-pkgs")
    with measured(os.getpid()) as interpreter:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)"], check=True)
    archive = work / "huge.tar"
    sample = ours.run(["build", str(environment), "--base", ours.base, "-t", "bench/huge:1", "-o", str(archive)])
    archive.unlink()
    peak = sample.memory - interpreter.memory
    return {"seconds": sample.seconds, "peak": peak, "limit": LIMIT}


def text(figures: dict[str, Any]) -> str:
    """Returns the result of `run` as a sentence."""
    return (
        f"A build of one package of {size(SIZE)} into an archive takes {seconds(figures['seconds'])}. The peak memory "
        f"of its processes, without that of a Python interpreter, is {size(figures['peak'])} "
        f"(limit {size(figures['limit'])})."
    )
