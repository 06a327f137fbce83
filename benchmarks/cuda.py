"""Measures builds by the number of processors, with an environment that has the sizes of PyTorch with CUDA.

Its libraries are made of blocks: three eighths of each are random, and the rest is machine code of this machine.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.floor import compressed, unpack
from benchmarks.measure import Sample, median
from benchmarks.ours import Ours
from benchmarks.processors import CORES, Spent
from benchmarks.report import markdown, seconds, size
from tests.parts.channel import channel as channels
from tests.parts.channel import prefix
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata, write

MB = 1_000_000
COUNTS = (1, 2, 4, 8, 16, 64)
"""The numbers of processors that a build is told."""

LIBRARIES = {
    "torch": 1184, "cudnn": 640, "cublas": 540, "triton": 430, "cufft": 275, "cusolver": 210, "nccl": 210,
    "cusparse": 170, "cusparselt": 170, "nvshmem": 160, "curand": 130, "nvrtc": 90,
}  # fmt: skip
"""The large packages, and their sizes in megabytes. Two thirds of each are one file."""

SMALL = 60
"""The number of small packages. Each has 40 files of 8 kB."""

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Library:
    """A package of two files with these sizes in bytes, or of 40 files of 8 kB."""

    name: str
    sizes: tuple[int, ...]

    @property
    def metadata(self) -> Metadata:
        return Metadata(self.name, "1.0", noarch="generic")

    @property
    def key(self) -> str:
        return repr(self)

    def make(self, folder: Path) -> Path:
        """Writes the package into `folder` and returns its path."""
        source, code = random.Random(self.name), _machine_code()
        with tempfile.TemporaryDirectory(dir=folder) as name:
            files = []
            for number, total in enumerate(self.sizes):
                path = Path(name, str(number))
                with path.open("wb") as file:
                    for start in range(0, total, _BLOCK):
                        at = source.randrange(len(code) - _BLOCK)
                        block = source.randbytes(_BLOCK * 3 // 8) + code[at : at + _BLOCK * 5 // 8]
                        file.write(block[: total - start])
                files.append(File(f"lib/{self.name}/{number}.so", path))
            return write(self.metadata, files, folder, level=1)


def _machine_code() -> bytes:
    """Returns the modules in machine code of this Python."""
    folders = [Path(entry) for entry in sys.path if entry.endswith(("lib-dynload", "site-packages"))]
    paths = sorted(path for folder in folders for path in folder.rglob("*.so"))
    return b"".join(path.read_bytes() for path in paths)[: 64 << 20]


def libraries(scale: float) -> list[Library]:
    """Returns the packages; their large files are `scale` times as large as in LIBRARIES."""
    large = ((name, int(count * MB * scale)) for name, count in LIBRARIES.items())
    found = [Library(name, (total * 2 // 3, total // 3)) for name, total in large]
    return found + [Library(f"small{number}", (8_000,) * 40) for number in range(SMALL)]


def run(ours: Ours, work: Path, scale: float, rounds: int, counts: Iterable[int] = COUNTS) -> dict[str, Any]:
    """Builds an image of the environment into an archive, for each number of processors.

    Args:
        scale: the size of the large packages, relative to LIBRARIES.
        rounds: how often each row is measured; the median counts.

    Returns the bytes of the layers' tars, the processor seconds of the floor, and the figures of each row.
    """
    recipes = libraries(scale)
    channel = channels.add(Channel((work / "cuda").absolute()), recipes)
    names = [recipe.name for recipe in recipes]
    environment = prefix.create(work / "cuda-env", names, channel.url, work / "cuda-pkgs")
    command = ["build", str(environment), "--base", ours.base, "-t", "bench/cuda:1", "-o", str(work / "cuda.tar")]
    rows: dict[str, Any] = {}
    for count in counts:
        samples: list[Sample] = []
        for _ in range(rounds):
            ours.forget()
            samples.append(ours.run(command, processors=count))
            (work / "cuda.tar").unlink()
        found = median(samples)
        rows[str(count)] = {
            "layers": found.notes["layers"],
            "processor": found.notes["processor"],
            "memory": found.memory,
        }
    tars = unpack(ours.layers(), work / "tars")
    floor: list[Spent] = [compressed(tars) for _ in range(rounds)]
    return {
        "scale": scale,
        "tar_bytes": sum(path.stat().st_size for path in tars),
        "floor": min(spent.busy for spent in floor),
        "rows": rows,
        "cores": CORES,
    }


def text(figures: dict[str, Any]) -> str:
    """Returns the result of `run` as Markdown."""
    rows = [["processors", "floor", "our layers", "times the floor", "CPU of the build", "memory"], ["---"] * 6]
    for count, row in figures["rows"].items():
        floor = figures["floor"] / int(count)
        needs = f"needs {count} processors" if int(count) > figures["cores"] else ""
        times = ["", needs, ""] if needs else [seconds(floor), seconds(row["layers"]), f"{row['layers'] / floor:.2f}x"]
        rows.append([count, *times, seconds(row["processor"]), size(row["memory"])])
    return (
        f"An environment with the sizes of PyTorch with CUDA, times {figures['scale']:g}: {size(figures['tar_bytes'])} "
        f"of layers. The floor is to read, compress and hash them once. The numbers of processors are forced.\n\n"
        f"{markdown(rows)}"
    )
