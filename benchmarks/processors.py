"""Measures processor time: of the whole machine, which must do nothing else, and of child processes."""

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
    """Times in seconds.

    Args:
        clock: the duration.
        busy: the time that all processors together were busy.
        idle: the time that all processors together were idle.
        other: the part of `busy` that belongs to one other process.
    """

    clock: float = 0.0
    busy: float = 0.0
    idle: float = 0.0
    other: float = 0.0


@contextmanager
def spent(other: psutil.Process) -> Iterator[Spent]:
    """Measures the block: the times of the whole machine, and of the process `other`."""
    os.sync()
    result = Spent()
    busy, idle = _machine()
    used = _used(other)
    started = time.perf_counter()
    yield result
    result.clock = time.perf_counter() - started
    after = _machine()
    result.busy, result.idle = after[0] - busy, after[1] - idle
    result.other = _used(other) - used


@contextmanager
def of_children() -> Iterator[Spent]:
    """Measures the block: its duration, and the processor time of the child processes that end in it."""
    result = Spent()
    before = _children()
    started = time.perf_counter()
    yield result
    result.clock, result.busy = time.perf_counter() - started, _children() - before


def listener(port: int) -> psutil.Process:
    """Returns the process that listens on a TCP port of this machine. Raises LookupError if there is none."""
    for connection in psutil.net_connections("tcp"):
        at_port = connection.laddr and connection.laddr.port == port
        if connection.status == psutil.CONN_LISTEN and at_port and connection.pid:
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
