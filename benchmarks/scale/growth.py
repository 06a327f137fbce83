"""How cost grows with what is real: packages in an environment, bytes in a package, builds in the store."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.ours import Ours
from benchmarks.report import markdown, say, seconds, size
from jupyter_condabuild.oci.image import OCI_LAYER_GZIP, Descriptor, Digest
from jupyter_condabuild.oci.layer import LayerBlob
from jupyter_condabuild.oci.layout import Store
from tests.parts.channel import channel as channels
from tests.parts.channel import prefix
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata, write
from tests.parts.channel.special import LargePackage

PACKAGES = (10, 100, 500, 1000, 2000)
SIZES = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
HUGE = 4_000_000_000
BUILDS = (1, 10, 100, 1000)

CHANGED = 12
"""Layers that each build adds to the store: the mean of the simulated lab's changes."""

RUNS = 3
"""Of what leaves nothing behind; the best one counts."""


class Figure(NamedTuple):
    """Seconds on the clock, and of all processors together: those do not depend on what else the machine does."""

    seconds: float
    processor: float


@dataclass(frozen=True)
class Step:
    """Figures for one size of something."""

    count: int
    figures: dict[str, Figure]


def packages(ours: Ours, work: Path, registry: str, counts: Sequence[int] = PACKAGES) -> list[Step]:
    """Environments of many packages of three files each."""
    channel = channels.add(Channel((work / "tiny").absolute()), [Tiny(number) for number in range(max(counts))])
    steps = []
    for count in counts:
        say(f"  {count} packages")
        names = [Tiny(number).metadata.name for number in range(count)]
        made = prefix.create(work / f"env-{count}", names, channel.url, work / "pkgs")
        image = [str(made), "--base", ours.base, "-t", f"{registry}/bench/packages-{count}:1"]
        ours.forget()
        figures = {
            "cold build + push": _run(ours, ["build", *image, "--push"]),
            "plan": _best(ours, ["plan", *image]),
            "nothing changed": _best(ours, ["build", *image, "--push"]),
        }
        steps.append(Step(count, figures))
    return steps


def sizes(ours: Ours, work: Path, registry: str, counts: Sequence[int] = SIZES) -> list[Step]:
    """One package of so many bytes, about half of which can be compressed."""
    steps = []
    for count in counts:
        say(f"  {size(count)}")
        package = LargePackage(f"data-{count}", count, files=max(1, min(16, count // 250_000)))
        channel = channels.add(Channel((work / f"channel-{count}").absolute()), [package])
        made = prefix.create(work / f"env-{count}", [package.name], channel.url, work / "pkgs")
        image = [str(made), "--base", ours.base, "-t", f"{registry}/bench/size-{count}:1"]
        ours.forget()
        figures = {
            "cold build + push": _run(ours, ["build", *image, "--push"]),
            "nothing changed": _best(ours, ["build", *image, "--push"]),
        }
        steps.append(Step(count, figures))
        for folder in (channel.folder, made, work / "pkgs"):
            shutil.rmtree(folder)
    return steps


def store(ours: Ours, work: Path, registry: str, counts: Sequence[int] = BUILDS) -> list[Step]:
    """The same build with a store that other builds have filled."""
    channel = channels.add(Channel((work / "tiny").absolute()), [Tiny(number) for number in range(80)])
    made = prefix.create(work / "env", [Tiny(number).metadata.name for number in range(80)], channel.url, work / "pkgs")
    build = ["build", str(made), "--base", ours.base, "-t", f"{registry}/bench/store:1", "--push"]
    ours.forget()
    ours.run(build)
    steps, filled = [], 1
    for count in counts:
        say(f"  {count} builds")
        fill(ours.store, range(filled, count))
        filled = count
        figures = {
            "opening the store": min(_timed(lambda: Store(ours.store).close()) for _ in range(100)),
            "nothing changed": _best(ours, build),
            "prune, nothing to remove": min(_timed(lambda: _prune(ours.store)) for _ in range(RUNS)),
        }
        steps.append(Step(count, figures))
    return steps


def fill(folder: Path, builds: Sequence[int]) -> None:
    """Leaves in a store what so many builds leave there: layers, their records, what was pushed where."""
    with Store(folder) as opened:
        for build in builds:
            for number in range(CHANGED):
                content = os.urandom(2000)
                digest = Digest.of(content)
                blob = LayerBlob(Descriptor(OCI_LAYER_GZIP, digest, len(content)), digest, len(content))
                opened.put(blob.descriptor, [content])
                opened.add_layer(digest.hex, blob, [f"package-{number}-{build}-0"])
            opened.remember(f"registry.example.org/lab/{build}", digest)


@dataclass(frozen=True)
class Tiny:
    """A package of three small files."""

    number: int

    @property
    def metadata(self) -> Metadata:
        return Metadata(f"tiny-{self.number:04}", "1.0", noarch="generic")

    @property
    def key(self) -> str:
        return repr(self)

    def make(self, folder: Path) -> Path:
        """Writes the package into `folder`."""
        text = f"{self.metadata.name}\n".encode() * 50
        return write(self.metadata, [File(f"share/{self.metadata.name}/{name}.txt", text) for name in "abc"], folder)


def table(what: str, steps: Sequence[Step], show: Callable[[int], str] = "{:,}".format) -> str:
    """Seconds of each, of processors in brackets, and how many times more of those than in the step before."""
    names = list(steps[0].figures)
    lines = [[what, "times", *(f"{name}, times" for name in names)], ["---"] * (len(names) + 2)]
    for before, step in zip((None, *steps), steps, strict=False):
        growth = f"{step.count / before.count:.3g}" if before else ""
        cells = [_cell(step.figures[name], before.figures[name] if before else None) for name in names]
        lines.append([show(step.count), growth, *cells])
    return markdown(lines)


def as_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Every figure."""
    return [
        {"count": step.count, **{name: figure._asdict() for name, figure in step.figures.items()}} for step in steps
    ]


def _cell(figure: Figure, before: Figure | None) -> str:
    shown = f"{_shown(figure.seconds)} ({_shown(figure.processor)})"
    return f"{shown}, {figure.processor / before.processor:.1f}" if before else shown


def _shown(value: float) -> str:
    return seconds(value) if value >= 0.01 else f"{value * 1000:.2f} ms"


def _run(ours: Ours, command: Sequence[str]) -> Figure:
    sample = ours.run(command)
    return Figure(sample.seconds, sample.notes["processor"])


def _best(ours: Ours, command: Sequence[str]) -> Figure:
    return min(_run(ours, command) for _ in range(RUNS))


def _prune(folder: Path) -> None:
    with Store(folder) as opened:
        opened.prune(keep_bytes=1 << 62)


def _timed(work: Callable[[], object]) -> Figure:
    started, processor = time.perf_counter(), time.process_time()
    work()
    return Figure(time.perf_counter() - started, time.process_time() - processor)
