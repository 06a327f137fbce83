"""Peak memory of the whole tree of processes for one package of 2 GB, the interpreter's own taken off."""

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
    """A package of two files of a gigabyte, of which half can be compressed."""

    @property
    def metadata(self) -> Metadata:
        return Metadata("huge", "1.0", noarch="generic")

    @property
    def key(self) -> str:
        return repr(self.metadata)

    def make(self, folder: Path) -> Path:
        """Writes the package into `folder`."""
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            block = os.urandom(1 << 19) + bytes(1 << 19)
            for _ in range(SIZE // 2 // len(block)):
                file.write(block)
            file.flush()
            content = Path(file.name)
            return write(self.metadata, [File("share/1.bin", content), File("share/2.bin", content)], folder, level=1)


def run(ours: Ours, work: Path) -> dict[str, Any]:
    """Builds an image of an environment with one huge package to an archive."""
    channel = channels.add(Channel((work / "huge").absolute()), [Huge()])
    made = prefix.create(work / "huge-env", ["huge"], channel.url, work / "huge-pkgs")
    with measured(os.getpid()) as alone:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)"], check=True)
    archive = work / "huge.tar"
    sample = ours.run(["build", str(made), "--base", ours.base, "-t", "bench/huge:1", "-o", str(archive)])
    archive.unlink()
    peak = sample.memory - alone.memory
    return {"seconds": sample.seconds, "peak": peak, "limit": LIMIT}


def text(figures: dict[str, Any]) -> str:
    """What `run` found, in a sentence."""
    return (
        f"A package of {size(SIZE)} to an archive: {seconds(figures['seconds'])}, peak of the process tree beyond an "
        f"interpreter {size(figures['peak'])} (limit {size(figures['limit'])})."
    )
