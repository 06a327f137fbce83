"""How a build divides the processors among the processes that write layers, and among the threads of each process."""

from __future__ import annotations

from dataclasses import dataclass

MOST_WORKERS = 4
"""More processes are not started. The environment of the benchmarks (1.1 GB) needs 275 MB with 16 processors and four
processes, and 324 MB with six. With one process for each processor, 16 processors needed 441 MB."""

MOST_THREADS = 4
"""The threads that compress a layer. One thread hashes a tar as fast as three compress it: 1,440 and 570 MB/s each."""

MOST_AT_ONCE = 3
"""The processes of one worker that compile modules at the same time."""

LEAST_FOR_THREADS = 4 << 20
"""The bytes of archives up to which threads cost more time than they save."""


@dataclass(frozen=True)
class Share:
    """The processors of a build, and the number of processes that write its layers."""

    processors: int
    workers: int

    @classmethod
    def of(cls, processors: int, layers: int) -> Share:
        """Returns the share for a number of layers that are written at the same time."""
        return cls(processors, max(1, min(processors, layers, MOST_WORKERS)))

    @property
    def at_once(self) -> int:
        """The number of processes in which one worker compiles modules."""
        return min(MOST_AT_ONCE, -(-self.processors // self.workers))

    def threads(self, size: int, total: int) -> int:
        """Returns the number of threads for a layer, so that all layers that begin together end together.

        Args:
            size: the bytes of the layer's archives.
            total: the bytes of the archives of all layers that are written at the same time.
        """
        if size <= LEAST_FOR_THREADS:
            return 1
        evenly = -(-self.processors // self.workers)
        return min(MOST_THREADS, max(evenly, -(-size * self.processors // total)))
