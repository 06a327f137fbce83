"""The processor's floor: one pass over the layers' tars, read, compressed and hashed on all cores, nothing else.

And Python's compiler alone, on all cores, over the modules that a build compiles: with bytecode, none can do without.
A cold build with its push is taken apart by the same figures.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from isal import isal_zlib

from benchmarks import processors
from benchmarks.environment import Environment
from benchmarks.measure import median
from benchmarks.ours import Ours
from benchmarks.processors import CORES, Spent, of_children
from benchmarks.report import markdown, seconds, size
from jupyter_condabuild.conda.linking.bytecode import Compiler, uncompiled
from jupyter_condabuild.conda.prefix.snapshot import snapshot

CHUNK = 1 << 20


def run(ours: Ours, environment: Environment, work: Path, registry: str, rounds: int) -> dict[str, Any]:
    """Measures the floor over the very tars that builds write, and the builds' own time for them.

    `registry` is the host and port of one on this machine.
    """
    with_bytecode = _measure(ours, environment, work, rounds, "--bytecode")
    without = _measure(ours, environment, work, rounds, "--no-bytecode")
    compiler = min((_compile(environment.prefix, work / "compiled") for _ in range(rounds)), key=_clock)
    pushed = []
    for number in range(rounds):
        ours.forget()
        with processors.spent(processors.listener(int(registry.rpartition(":")[2]))) as found:
            ours.build(environment, f"{registry}/bench/floor{number}:1")
        pushed.append(found)
    cold = min(pushed, key=_clock)
    return {"with": with_bytecode, "without": without, "compiler": vars(compiler), "cold": vars(cold)}


def _clock(found: Spent) -> float:
    return found.clock


def text(figures: dict[str, Any]) -> str:
    """What `run` found, in Markdown."""
    compiled, plain, compiler = figures["with"], figures["without"], figures["compiler"]["clock"]
    rows = [["", "without bytecode", "with bytecode"], ["---", "---", "---"]]
    rows.append(["tar bytes of all layers", *(size(one["tar_bytes"]) for one in (plain, compiled))])
    passes = [one["floor"]["clock"] for one in (plain, compiled)]
    rows.append(["read, isal level 1, sha256 of both forms", *map(seconds, passes)])
    rows.append(["Python's compiler, on all processors", "", seconds(compiler)])
    floors = passes[0], passes[1] + compiler
    rows.append(["the floor: all of this", *map(seconds, floors)])
    rows.append(["our layers from a warm package cache", *(seconds(one["layers"]) for one in (plain, compiled))])
    ratios = [one["layers"] / least for one, least in zip((plain, compiled), floors, strict=True)]
    rows.append(["times the floor", *(f"{ratio:.2f}x" for ratio in ratios)])
    return f"{markdown(rows)}\n\n{_apart(figures)}"


def _apart(figures: dict[str, Any]) -> str:
    cold, floor, compiler = figures["cold"], figures["with"]["floor"]["busy"], figures["compiler"]["busy"]
    rest = cold["busy"] - cold["other"] - floor - compiler
    rows = [["all processors' time of a cold build + push", "seconds"], ["---", "---"]]
    rows.append(["Python's compiler", seconds(compiler)])
    rows.append(["read, isal, sha256 of both forms", seconds(floor)])
    rows.append(["the registry", seconds(cold["other"])])
    rows.append(["idle", seconds(cold["idle"])])
    rows.append(["all else: metadata, checking files against their hashes, tar, sending, the system", seconds(rest)])
    rows.append([f"{seconds(cold['clock'])} by the clock, times {CORES}", seconds(cold["clock"] * CORES)])
    return markdown(rows)


def _measure(ours: Ours, environment: Environment, work: Path, rounds: int, option: str) -> dict[str, Any]:
    samples = []
    for _ in range(rounds):
        ours.forget()
        archive = work / "floor.tar"
        samples.append(ours.build(environment, "bench/floor:1", to=["-o", str(archive), option]))
        archive.unlink()
    tars = _unpack(ours.layers(), work / "tars")
    total = sum(path.stat().st_size for path in tars)
    best = min((_once(tars) for _ in range(rounds)), key=_clock)
    for path in tars:
        path.unlink()
    (work / "tars").rmdir()
    return {"tar_bytes": total, "floor": vars(best), "layers": median(samples).notes["layers"]}


def _unpack(blobs: list[Path], folder: Path) -> list[Path]:
    folder.mkdir()
    for blob in blobs:
        with gzip.open(blob) as source, (folder / blob.name).open("wb") as target:
            while chunk := source.read(CHUNK):
                target.write(chunk)
    return sorted(folder.iterdir(), key=lambda path: -path.stat().st_size)


def _once(tars: list[Path]) -> Spent:
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        list(pool.map(_nothing, range(8)))  # the processes have started
        started = time.perf_counter()
        busy = sum(pool.map(_pass, tars))
        return Spent(time.perf_counter() - started, busy)


def _nothing(_: int) -> None:
    time.sleep(0.05)


def _pass(path: Path) -> float:
    """Seconds of a processor."""
    started = time.process_time()
    compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    tar, compressed = hashlib.sha256(), hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            tar.update(chunk)
            compressed.update(compressor.compress(chunk))
    compressed.update(compressor.flush())
    return time.process_time() - started


def _compile(prefix: Path, folder: Path) -> Spent:
    """What it takes for the modules of all packages that come without bytecode, the largest package first."""
    packages = []
    for record in snapshot(prefix).records:
        modules = uncompiled(entry.path for entry in record.paths if entry.kind != "pyc_file")
        sources = {path: f"{prefix}/{path}" for path in modules}
        packages.append((sum(os.path.getsize(source) for source in sources.values()), record.name, sources))
    packages = sorted(packages, reverse=True)
    folder.mkdir(exist_ok=True)

    def one(package: tuple[int, str, dict[str, str]]) -> None:
        _, name, sources = package
        if sources:
            with Compiler(prefix / "bin/python") as compiler:
                compiler.compile(sources, str(folder / name), "/opt/env", 0)

    with of_children() as found, ThreadPoolExecutor(CORES) as pool:
        list(pool.map(one, packages))
    for path in folder.iterdir():
        path.unlink()
    return found
