"""The processors of a build are divided among processes and threads, whatever the number of processors."""

from __future__ import annotations

import pytest

from jupyter_condabuild.engines.layers.shares import LEAST_FOR_THREADS, MOST_THREADS, MOST_WORKERS, Share

MB = 1_000_000


@pytest.mark.parametrize(
    ("processors", "layers", "workers"), [(1, 50, 1), (2, 50, 2), (16, 50, MOST_WORKERS), (64, 1, 1), (4, 0, 1)]
)
def test_few_processes_do_the_work(processors: int, layers: int, workers: int) -> None:
    """There are at most as many processes as processors and layers, and never so many that they need much memory."""
    assert Share.of(processors, layers).workers == workers


def test_a_large_layer_gets_its_part_of_the_processors() -> None:
    """A package with half of the bytes is not compressed by one processor while the others wait."""
    assert Share.of(16, 50).threads(2_000 * MB, 4_000 * MB) == MOST_THREADS
    assert Share.of(4, 50).threads(2_000 * MB, 4_000 * MB) == 2
    assert Share.of(2, 50).threads(1_000 * MB, 4_000 * MB) == 1
    assert Share.of(2, 1).threads(1_000 * MB, 1_000 * MB) == 2


def test_a_small_layer_is_compressed_by_one_thread() -> None:
    """Threads would cost more time than they save."""
    assert Share.of(16, 1).threads(LEAST_FOR_THREADS, LEAST_FOR_THREADS) == 1


@pytest.mark.parametrize("processors", [1, 2, 4, 8, 16, 64])
def test_few_processes_compile_at_the_same_time(processors: int) -> None:
    """All processors compile, up to a number of processes that needs little memory."""
    share = Share.of(processors, 50)
    assert min(processors, 2 * MOST_WORKERS) <= share.workers * share.at_once <= 3 * MOST_WORKERS
