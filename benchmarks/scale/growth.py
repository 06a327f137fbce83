"""Measures how the cost of real builds grows with the packages, with their bytes, and with the builds in the store."""

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
"""The number of layers that each build adds to the store: the mean of the changes in the simulated lab."""

RUNS = 3
"""How often a command is measured that does not change the next measurement. The best one counts."""


class Figure(NamedTuple):
    """A duration and the processor time, in seconds. Other work on the machine hardly changes the processor time."""

    seconds: float
    processor: float


@dataclass(frozen=True)
class Step:
    """The figures by name, for one number of packages, bytes or builds."""

    count: int
    figures: dict[str, Figure]


def packages(ours: Ours, work: Path, registry: str, counts: Sequence[int] = PACKAGES) -> list[Step]:
    """Measures environments with many packages of three files each.

    Args:
        registry: the host and port of the registry.
        counts: the numbers of packages.
    """
    channel = channels.add(Channel((work / "tiny").absolute()), [Tiny(number) for number in range(max(counts))])
    steps = []
    for count in counts:
        say(f"  {count} packages")
        names = [Tiny(number).metadata.name for number in range(count)]
        environment = prefix.create(work / f"env-{count}", names, channel.url, work / "pkgs")
        image = [str(environment), "--base", ours.base, "-t", f"{registry}/bench/packages-{count}:1"]
        ours.forget()
        figures = {
            "cold build + push": _run(ours, ["build", *image, "--push"]),
            "plan": _best(ours, ["plan", *image]),
            "nothing changed": _best(ours, ["build", *image, "--push"]),
        }
        steps.append(Step(count, figures))
    return steps


def sizes(ours: Ours, work: Path, registry: str, counts: Sequence[int] = SIZES) -> list[Step]:
    """Measures environments with one package. About half of its bytes can be compressed.

    Args:
        registry: the host and port of the registry.
        counts: the sizes of the package in bytes.
    """
    steps = []
    for count in counts:
        say(f"  {size(count)}")
        package = LargePackage(f"data-{count}", count, files=max(1, min(16, count // 250_000)))
        channel = channels.add(Channel((work / f"channel-{count}").absolute()), [package])
        environment = prefix.create(work / f"env-{count}", [package.name], channel.url, work / "pkgs")
        image = [str(environment), "--base", ours.base, "-t", f"{registry}/bench/size-{count}:1"]
        ours.forget()
        figures = {
            "cold build + push": _run(ours, ["build", *image, "--push"]),
            "nothing changed": _best(ours, ["build", *image, "--push"]),
        }
        steps.append(Step(count, figures))
        for folder in (channel.folder, environment, work / "pkgs"):
            shutil.rmtree(folder)
    return steps


def store(ours: Ours, work: Path, registry: str, counts: Sequence[int] = BUILDS) -> list[Step]:
    """Measures one build with stores that other builds have filled.

    Args:
        registry: the host and port of the registry.
        counts: the numbers of builds in the store.
    """
    channel = channels.add(Channel((work / "tiny").absolute()), [Tiny(number) for number in range(80)])
    names = [Tiny(number).metadata.name for number in range(80)]
    environment = prefix.create(work / "env", names, channel.url, work / "pkgs")
    build = ["build", str(environment), "--base", ours.base, "-t", f"{registry}/bench/store:1", "--push"]
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
    """Fills a store as builds do: with layers, their records, and the images that were pushed.

    Args:
        folder: the folder of the store.
        builds: the numbers of the builds.
    """
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
        """Writes the package into `folder` and returns its path."""
        text = f"{self.metadata.name}\n".encode() * 50
        return write(self.metadata, [File(f"share/{self.metadata.name}/{name}.txt", text) for name in "abc"], folder)


def table(counted: str, steps: Sequence[Step], show: Callable[[int], str] = "{:,}".format) -> str:
    """Returns the figures as Markdown: durations, processor times in brackets, and ratios to the step before.

    Args:
        counted: the title of the first column.
        show: the text of a count.
    """
    names = list(steps[0].figures)
    lines = [[counted, "factor", *(f"{name}, factor" for name in names)], ["---"] * (len(names) + 2)]
    for before, step in zip((None, *steps), steps, strict=False):
        growth = f"{step.count / before.count:.3g}" if before else ""
        cells = [_cell(step.figures[name], before.figures[name] if before else None) for name in names]
        lines.append([show(step.count), growth, *cells])
    return markdown(lines)


def as_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Returns every figure, for JSON."""
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
