"""Measures the least processor time that a build needs: to read, compress and hash the tars of the layers on all cores.

With bytecode, a build also needs the time of Python's compiler for the modules of noarch packages, measured alone on
all cores. The same figures show where the processor time of a cold build with its push goes.
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
    """Measures the floor with the tars that builds write, and the time of the builds.

    Args:
        registry: the host and port of a registry on this machine.
        rounds: how often each figure is measured. The median counts for the time of our layers, else the best figure.
    """
    with_bytecode = _measure(ours, environment, work, rounds, "--bytecode")
    without = _measure(ours, environment, work, rounds, "--no-bytecode")
    compiler = min((_compile(environment.prefix, work / "compiled") for _ in range(rounds)), key=_clock)
    pushed = []
    for number in range(rounds):
        ours.forget()
        with processors.spent(processors.listener(int(registry.rpartition(":")[2]))) as spent:
            ours.build(environment, f"{registry}/bench/floor{number}:1")
        pushed.append(spent)
    cold = min(pushed, key=_clock)
    return {"with": with_bytecode, "without": without, "compiler": vars(compiler), "cold": vars(cold)}


def _clock(spent: Spent) -> float:
    return spent.clock


def text(figures: dict[str, Any]) -> str:
    """Returns the result of `run` as Markdown."""
    compiled, plain, compiler = figures["with"], figures["without"], figures["compiler"]["clock"]
    rows = [["", "without bytecode", "with bytecode"], ["---", "---", "---"]]
    rows.append(["tar bytes of all layers", *(size(variant["tar_bytes"]) for variant in (plain, compiled))])
    passes = [variant["floor"]["clock"] for variant in (plain, compiled)]
    rows.append(["read, isal level 1, sha256 of tar and gzip", *map(seconds, passes)])
    rows.append(["Python's compiler, on all processors", "", seconds(compiler)])
    floors = passes[0], passes[1] + compiler
    rows.append(["the floor: the sum of these", *map(seconds, floors)])
    layers = [variant["layers"] for variant in (plain, compiled)]
    rows.append(["our layers from a warm package cache", *map(seconds, layers)])
    ratios = [ours / floor for ours, floor in zip(layers, floors, strict=True)]
    rows.append(["times the floor", *(f"{ratio:.2f}x" for ratio in ratios)])
    return f"{markdown(rows)}\n\n{_cold_build(figures)}"


def _cold_build(figures: dict[str, Any]) -> str:
    """Returns a table of the processor time of a cold build with its push."""
    cold, floor, compiler = figures["cold"], figures["with"]["floor"]["busy"], figures["compiler"]["busy"]
    rest = cold["busy"] - cold["other"] - floor - compiler
    rows = [["processor time of a cold build + push, all processors", "seconds"], ["---", "---"]]
    rows.append(["Python's compiler", seconds(compiler)])
    rows.append(["read, isal, sha256 of tar and gzip", seconds(floor)])
    rows.append(["the registry", seconds(cold["other"])])
    rows.append(["idle", seconds(cold["idle"])])
    rows.append(["other: metadata, checking files against their hashes, tar, sending, the system", seconds(rest)])
    rows.append([f"total: {seconds(cold['clock'])} by the clock, times {CORES}", seconds(cold["clock"] * CORES)])
    return markdown(rows)


def _measure(ours: Ours, environment: Environment, work: Path, rounds: int, option: str) -> dict[str, Any]:
    samples = []
    for _ in range(rounds):
        ours.forget()
        archive = work / "floor.tar"
        samples.append(ours.build(environment, "bench/floor:1", to=["-o", str(archive), option]))
        archive.unlink()
    tars = unpack(ours.layers(), work / "tars")
    total = sum(path.stat().st_size for path in tars)
    best = min((compressed(tars) for _ in range(rounds)), key=_clock)
    for path in tars:
        path.unlink()
    (work / "tars").rmdir()
    return {"tar_bytes": total, "floor": vars(best), "layers": median(samples).notes["layers"]}


def unpack(blobs: list[Path], folder: Path) -> list[Path]:
    """Decompresses layers into a folder. Returns the paths of the tars, the largest first."""
    folder.mkdir()
    for blob in blobs:
        with gzip.open(blob) as source, (folder / blob.name).open("wb") as target:
            while chunk := source.read(CHUNK):
                target.write(chunk)
    return sorted(folder.iterdir(), key=lambda path: -path.stat().st_size)


def compressed(tars: list[Path]) -> Spent:
    """Measures to read, compress and hash tars with a process for each processor."""
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        list(pool.map(_wait, range(8)))  # starts the processes before the measurement
        started = time.perf_counter()
        busy = sum(pool.map(_compress, tars))
        return Spent(time.perf_counter() - started, busy)


def _wait(_: int) -> None:
    time.sleep(0.05)


def _compress(path: Path) -> float:
    """Reads, compresses and hashes a tar. Returns the processor time in seconds."""
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
    """Compiles the modules of all packages that come without bytecode. Begins with the largest package."""
    packages = []
    for record in snapshot(prefix).records:
        modules = uncompiled(entry.path for entry in record.paths if entry.kind != "pyc_file")
        sources = {path: f"{prefix}/{path}" for path in modules}
        packages.append((sum(os.path.getsize(source) for source in sources.values()), record.name, sources))
    packages = sorted(packages, reverse=True)
    folder.mkdir(exist_ok=True)

    def compile_package(package: tuple[int, str, dict[str, str]]) -> None:
        _, name, sources = package
        if sources:
            with Compiler(prefix / "bin/python", CORES) as compiler:
                compiler.compile(sources, str(folder / name), "/opt/env", 0)

    with of_children() as spent, ThreadPoolExecutor(CORES) as pool:
        list(pool.map(compile_package, packages))
    for path in folder.iterdir():
        path.unlink()
    return spent
