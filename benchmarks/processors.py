"""Where the processors' time goes: of the whole machine while something is done, so of a quiet machine alone."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

CORES = len(os.sched_getaffinity(0))


@dataclass
class Spent:
    """Seconds: by the clock, of all processors together by what they did, and of one other process among that."""

    clock: float = 0.0
    busy: float = 0.0
    idle: float = 0.0
    other: float = 0.0


@contextmanager
def spent(other: psutil.Process) -> Iterator[Spent]:
    """Fills in what the block takes."""
    os.sync()
    found = Spent()
    busy, idle = _machine()
    used = _used(other)
    started = time.perf_counter()
    yield found
    found.clock = time.perf_counter() - started
    after = _machine()
    found.busy, found.idle = after[0] - busy, after[1] - idle
    found.other = _used(other) - used


@contextmanager
def of_children() -> Iterator[Spent]:
    """Fills in what the children of this process that end in the block have used."""
    found = Spent()
    before = _children()
    started = time.perf_counter()
    yield found
    found.clock, found.busy = time.perf_counter() - started, _children() - before


def listener(port: int) -> psutil.Process:
    """The process that listens on a port of this machine; raises LookupError."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    raise LookupError(port)


def _machine() -> tuple[float, float]:
    fields = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    idle = fields[3] + fields[4]
    ticks = os.sysconf("SC_CLK_TCK")
    return (sum(fields[:8]) - idle) / ticks, idle / ticks


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
