"""Measures a block of code: its seconds, and the peak memory of a tree of processes."""

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
"""The shortest pause, in seconds, between two measurements of the memory."""

PAUSE_FACTOR = 20
"""The pause is at least this factor times the duration of the last measurement, so that measuring costs little."""


@dataclass
class Sample:
    """The figures of one run.

    Args:
        seconds: the duration.
        memory: the peak memory in bytes, minus the memory before the run.
        moved: the bytes that were pushed, pulled or written. None if the figure does not apply.
        notes: other figures by name, such as the seconds of each phase.
    """

    seconds: float = 0.0
    memory: int = 0
    moved: int | None = None
    notes: dict[str, float] = field(default_factory=dict)


def median(samples: Sequence[Sample]) -> Sample:
    """Returns a sample with the median of each figure."""
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
    """Measures the seconds of the block, and the peak memory of a tree of processes meanwhile.

    The memory is the proportional set size: pages that processes share count once.

    Args:
        pid: the root of the tree.
        itself: whether the memory of `pid` itself counts.
    """
    os.sync()  # the block must not wait for the disk writes of earlier work
    sample = Sample()
    end = threading.Event()
    before = tree_memory(pid, itself=itself)

    def watch() -> None:
        pause = INTERVAL
        while not end.wait(pause):
            began = time.thread_time()
            sample.memory = max(sample.memory, tree_memory(pid, itself=itself) - before)
            pause = max(INTERVAL, PAUSE_FACTOR * (time.thread_time() - began))

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
    """Returns the memory (PSS) in bytes of a process and its descendants, or of its descendants only."""
    total, waiting = 0, [pid]
    while waiting:
        current = waiting.pop()
        try:
            if itself or current != pid:
                rollup = Path(f"/proc/{current}/smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) << 10
            for thread in os.listdir(f"/proc/{current}/task"):
                waiting += map(int, Path(f"/proc/{current}/task/{thread}/children").read_text().split())
        except (OSError, StopIteration):  # the process has ended
            continue
    return total
