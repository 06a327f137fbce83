"""The rows of the table. Each pipeline does the same work, on the same machine, in the same run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import registry
from benchmarks.classic import Classic
from benchmarks.engine import Engine
from benchmarks.environment import Environment, updated
from benchmarks.measure import Sample, measured
from benchmarks.ours import Ours

Environments = dict[str, Environment]


@dataclass
class Row:
    """One kind of work, and its samples.

    Args:
        name: the name of the row in the table.
        target: how many times faster our pipeline should be; 0 if there is no target.
        limit: the bytes that our pipeline should not exceed, in words.
        samples: the samples by pipeline.
    """

    name: str
    target: float = 0.0
    limit: str = ""
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def add(self, pipeline: str, sample: Sample) -> None:
        """Adds a sample of a pipeline."""
        self.samples.setdefault(pipeline, []).append(sample)


def rows() -> dict[str, Row]:
    """Returns the rows by key, without samples. The targets were set before the work on the layers engine began."""
    return {
        "cold": Row("cold build + push", 15, "1.2x as many bytes"),
        "cold-lean": Row("cold build + push, without bytecode (ours: --no-bytecode)"),
        "cold-lock": Row("cold build + push, from the lock file, no package cache"),
        "unchanged": Row("nothing changed: build + push", 0, "0 bytes"),
        "small": Row("one small package changed (click): build + push", 150, "1.05x the package + 30 kB"),
        "large": Row("one large package changed (numpy): build + push"),
        "ten": Row("ten packages changed: build + push"),
        "rebase": Row("a new base image", 20, "the base's difference"),
        "fresh": Row("fresh node, cache-from, nothing changed", 25, "0 blobs"),
        "fresh-small": Row("fresh node, cache-from, click changed", 50, "as changed"),
        "second": Row("a second user's environment, own repository (cache-from; layer pool)", 10, "12 % of the bytes"),
        "pull": Row("docker pull, first", 1 / 1.2, "1.2x as many bytes"),
        "pull-small": Row("docker pull after click changed", 10, "3x the package"),
        "pull-large": Row("docker pull after numpy changed"),
        "pull-stacked": Row("docker pull after numpy changed, stacked", 10, "3x the package"),
        "load": Row("cold build, into the engine", 1.2),
        "load-small": Row("click changed, into the engine (ours: --load --stack)", 10),
        "archive": Row("cold build, to an archive"),
        "pack": Row("one file: conda-pack's .tar.gz, our archive"),
    }


def build_rows(
    pipeline: Classic | Ours, environments: Environments, repository: str, bases: tuple[str, str]
) -> Iterator[tuple[str, Sample]]:
    """Builds and pushes once for each row. Yields the key of the row, and the sample.

    Afterwards the repository has the tags `all`, `small` and `large`, and with our pipeline `stacked`.

    Args:
        bases: the base image, and a newer base image.
    """
    image = f"{repository}:latest"
    everything = environments["all"]
    build_fresh = pipeline.build_lockfile if isinstance(pipeline, Ours) else pipeline.build

    mine = environments["mine"]
    pipeline.forget()
    cold = pipeline.build(mine, image)
    yield "cold", cold
    if isinstance(pipeline, Classic) and not pipeline.bytecode:
        yield "cold-lean", cold
    registry.tag(image, "all")
    yield "unchanged", pipeline.build(mine, image)
    for name in ("small", "large", "ten"):
        mine = updated(mine, environments[name])
        yield name, pipeline.build(mine, image)
        registry.tag(image, name)
    pipeline.build(updated(mine, everything), image)
    if isinstance(pipeline, Ours):
        yield "rebase", pipeline.run(["rebase", image, "--base", bases[1]])
    else:
        yield "rebase", pipeline.build(everything, image, base=bases[1])

    cache = f"{repository}:all"
    pipeline.forget()
    yield "fresh", build_fresh(everything, f"{repository}:fresh", cache_from=cache)
    pipeline.forget()
    yield "fresh-small", build_fresh(environments["small"], f"{repository}:fresh", cache_from=cache)
    second = environments["second"], f"{repository}-second:latest"
    if isinstance(pipeline, Ours):
        pipeline.build(everything, f"{repository}:stacked")
        pipeline.build(environments["large"], f"{repository}:stacked", to=["--push", "--stack"])
        pipeline.forget()
        pipeline.build(everything, f"{repository}-first:latest", pool=f"{repository}-pool")
        pipeline.forget()
        yield "second", pipeline.build(*second, pool=f"{repository}-pool")
    else:
        pipeline.forget()
        yield "second", pipeline.build(*second, cache_from=cache)


def pull_rows(engine: Engine, repository: str, *, stacked: bool) -> Iterator[tuple[str, Sample]]:
    """Pulls the tags of `build_rows`. Yields the key of the row, and the sample.

    Args:
        engine: the engine; its images are removed first.
        stacked: whether the repository has the tag `stacked`.
    """
    engine.forget()
    yield "pull", engine.pull(f"{repository}:all")
    yield "pull-small", engine.pull(f"{repository}:small")
    engine.forget()
    engine.pull(f"{repository}:all")
    large = engine.pull(f"{repository}:large")
    yield "pull-large", large
    if stacked:
        engine.forget()
        engine.pull(f"{repository}:all")
        yield "pull-stacked", engine.pull(f"{repository}:stacked")
    else:
        yield "pull-stacked", large


def classic_outputs(
    pipeline: Classic, engine: Engine, environments: Environments, work: Path
) -> Iterator[tuple[str, Sample]]:
    """Builds images in the engine, and saves one to a file. Yields the key of the row, and the sample."""
    pipeline.forget()
    with measured(engine.pid) as sample:
        pipeline.load(environments["all"], "bench/load:latest")
    yield "load", sample
    with measured(engine.pid) as small:
        pipeline.load(environments["small"], "bench/load:small")
    yield "load-small", small
    path = work / "classic.tar"
    with measured(engine.pid) as saving:
        engine.save("bench/load:latest", path)
    path.unlink()
    yield "archive", Sample(sample.seconds + saving.seconds, max(sample.memory, saving.memory))


def our_outputs(pipeline: Ours, engine: Engine, environments: Environments, work: Path) -> Iterator[tuple[str, Sample]]:
    """Builds images into the engine, and one into a file. Yields the key of the row, and the sample."""
    environment, load = environments["all"], ["--load", "--stack"]
    engine.forget()
    pipeline.forget()
    yield "load", _without_bytes(pipeline.build(environment, "bench/load:latest", to=load))
    yield "load-small", _without_bytes(pipeline.build(environments["small"], "bench/load:latest", to=load))
    pipeline.forget()
    path = work / "ours.tar"
    sample = _without_bytes(pipeline.build(environment, "bench/load:latest", to=["-o", str(path)]))
    yield "archive", sample
    yield "pack", replace(sample, moved=path.stat().st_size)
    path.unlink()


def conda_pack(environment: Environment, work: Path) -> Sample:
    """Measures conda-pack, which writes the environment to a compressed tar."""
    program = Path(sys.executable).with_name("conda-pack")
    path = work / "pack.tar.gz"
    options = ["--force", "-q", "--ignore-missing-files", "-j", "2"]
    command = [str(program), "-p", str(environment.prefix), "-o", str(path), *options]
    with measured(os.getpid(), itself=False) as sample:
        subprocess.run(command, check=True)
    sample.moved = path.stat().st_size
    path.unlink()
    return sample


def _without_bytes(sample: Sample) -> Sample:
    sample.moved = None
    return sample
