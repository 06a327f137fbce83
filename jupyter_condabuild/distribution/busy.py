"""Busy: the time in which at least one thread works."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Busy:
    """Measures the time in which at least one thread is in its context."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = 0
        self._since = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._since = time.monotonic()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self.seconds += time.monotonic() - self._since

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Does not count the time of a thread that is in the context."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()
