"""The processor's floor: one pass over the layers' tars, read, compressed and hashed on all cores, nothing else."""

from __future__ import annotations

import gzip
import hashlib
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from isal import isal_zlib

from benchmarks.environment import Environment
from benchmarks.measure import median
from benchmarks.ours import Ours
from benchmarks.report import markdown, seconds, size

CHUNK = 1 << 20


def run(ours: Ours, environment: Environment, work: Path, rounds: int) -> dict[str, Any]:
    """Measures the floor over the very tars that a build writes, and the build's own time for them."""
    samples = []
    for _ in range(rounds):
        ours.forget()
        archive = work / "floor.tar"
        samples.append(ours.build(environment, "bench/floor:1", to=["-o", str(archive)]))
        archive.unlink()
    layers = median(samples).notes["layers"]
    tars = _unpack(ours.layers(), work / "tars")
    best = min(_once(tars) for _ in range(rounds))
    total = sum(path.stat().st_size for path in tars)
    for path in tars:
        path.unlink()
    return {"tar_bytes": total, "floor": best, "layers": layers}


def text(figures: dict[str, Any]) -> str:
    """What `run` found, in Markdown."""
    total, best, layers = figures["tar_bytes"], figures["floor"], figures["layers"]
    lines = [
        ["work", "seconds", "rate"],
        ["---", "---", "---"],
        ["floor: read, isal level 1, sha256 of both forms", seconds(best), f"{total / best / 1e6:,.0f} MB/s"],
        ["our layers from a warm package cache", seconds(layers), f"{layers / best:.1f}x the floor"],
    ]
    return f"Tar bytes of all layers: {size(total)}.\n\n{markdown(lines)}"


def _unpack(blobs: list[Path], folder: Path) -> list[Path]:
    folder.mkdir()
    for blob in blobs:
        with gzip.open(blob) as source, (folder / blob.name).open("wb") as target:
            while chunk := source.read(CHUNK):
                target.write(chunk)
    return sorted(folder.iterdir(), key=lambda path: -path.stat().st_size)


def _once(tars: list[Path]) -> float:
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as pool:
        list(pool.map(_nothing, range(8)))  # the processes have started
        started = time.perf_counter()
        list(pool.map(_pass, tars))
        return time.perf_counter() - started


def _nothing(_: int) -> None:
    time.sleep(0.05)


def _pass(path: Path) -> None:
    compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    tar, compressed = hashlib.sha256(), hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            tar.update(chunk)
            compressed.update(compressor.compress(chunk))
    compressed.update(compressor.flush())
