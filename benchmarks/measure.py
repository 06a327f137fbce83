"""A measurement: seconds, the peak memory of a tree of processes, and the bytes that went over the wire."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

INTERVAL = 0.05
"""Seconds between two looks at the memory, at least."""

SHARE = 20
"""The next look comes after so many times the time that the last one took: it must not slow down what it looks at."""


@dataclass
class Sample:
    """One run. `memory` is in bytes beyond what there was before; `moved` is in bytes, None where nothing moves."""

    seconds: float = 0.0
    memory: int = 0
    moved: int | None = None
    notes: dict[str, float] = field(default_factory=dict)


def median(samples: Sequence[Sample]) -> Sample:
    """The median of each figure."""
    moved = [sample.moved for sample in samples if sample.moved is not None]
    names = samples[0].notes
    return Sample(
        statistics.median(sample.seconds for sample in samples),
        int(statistics.median(sample.memory for sample in samples)),
        int(statistics.median(moved)) if moved else None,
        {name: statistics.median(sample.notes.get(name, 0.0) for sample in samples) for name in names},
    )


@contextmanager
def measured(pid: int, *, itself: bool = True) -> Iterator[Sample]:
    """Fills in the seconds that the block takes and the memory that the tree of `pid` has meanwhile.

    Memory is the proportional set size: pages that processes share count once. `itself` is whether `pid` counts.
    """
    os.sync()  # what was written or removed before must not be waited for now
    sample = Sample()
    end = threading.Event()
    before = tree_memory(pid, itself=itself)

    def watch() -> None:
        pause = INTERVAL
        while not end.wait(pause):
            began = time.thread_time()
            sample.memory = max(sample.memory, tree_memory(pid, itself=itself) - before)
            pause = max(INTERVAL, SHARE * (time.thread_time() - began))

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        yield sample
    finally:
        sample.seconds = time.perf_counter() - started
        end.set()
        watcher.join()


def tree_memory(pid: int, *, itself: bool = True) -> int:
    """Bytes (PSS) of a process and all below it, or of those alone."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            if itself or one != pid:
                rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) << 10
            for thread in os.listdir(f"/proc/{one}/task"):
                waiting += map(int, Path(f"/proc/{one}/task/{thread}/children").read_text().split())
        except (OSError, StopIteration):  # it has ended
            continue
    return total
