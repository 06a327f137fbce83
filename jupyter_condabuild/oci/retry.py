"""Repeats requests after temporary failures of a registry, with exponential backoff and jitter.

If the registry asks for a longer wait (``Retry-After``), the wait is as long as the registry asks.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from jupyter_condabuild.errors import RegistryError, RegistryUnreachable

T = TypeVar("T")

SLOW_SECONDS = 60.0
"""The time over which the speed of an answer is measured."""


@dataclass(frozen=True)
class Patience:
    """The number of repetitions of a request, and the pauses between them. All times are in seconds.

    Args:
        attempts: the largest number of attempts, including the first one.
        first: the wait after the first failure. Each further failure doubles it. Jitter shortens it by up to one half.
        longest: the longest wait. If the registry asks for a longer one, the request is not repeated.
        total: the time limit of the operation. A wait that would exceed it is not begun.
        answer: the longest wait for the next bytes of an answer; None for that of every request.
        clock: returns a time. Tests replace it.
        sleep: waits. Tests replace it.
        jitter: returns a random number from 0 to 1. Tests replace it.
    """

    attempts: int = 6
    first: float = 0.5
    longest: float = 60.0
    total: float = 240.0
    answer: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random


class Pauses:
    """The waits of one operation. It counts the failures and measures the time of the operation."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failures = 0
        self._started = patience.clock()

    def progressed(self) -> None:
        """Resets the number of failures and the time. Called when the operation made progress after a failure."""
        self._failures = 0
        self._started = self._patience.clock()

    def after(self, error: RegistryError) -> None:
        """Waits before the next attempt. Raises `error` if it is not temporary or no attempt is left."""
        patience = self._patience
        self._failures += 1
        wait = min(patience.longest, patience.first * 2 ** (self._failures - 1)) * (0.5 + patience.jitter() / 2)
        wait = max(wait, error.retry_after or 0.0)
        left = patience.total - (patience.clock() - self._started)
        if not error.temporary or self._failures >= patience.attempts or wait > min(left, patience.longest):
            raise error
        patience.sleep(wait)


def patiently(patience: Patience, attempt: Callable[[], T]) -> T:
    """Returns the result of `attempt`. Repeats it after temporary errors as `patience` allows."""
    pauses = Pauses(patience)
    while True:
        try:
            return attempt()
        except RegistryError as error:
            pauses.after(error)


def timely(
    pieces: Iterator[bytes], clock: Callable[[], float], least: int, late: RegistryUnreachable
) -> Iterator[bytes]:
    """Yields the pieces of an answer. Raises `late` if they come so slowly that the answer may have no end.

    A limit for the wait for the next piece is not enough: a registry can send one byte at a time. Only the time counts
    in which a piece is waited for.

    Args:
        clock: returns a time in seconds.
        least: the bytes per second that must come, on average over `SLOW_SECONDS`.
    """
    waited, received = 0.0, 0
    while True:
        begun = clock()
        piece = next(pieces, None)
        if piece is None:
            return
        waited += clock() - begun
        received += len(piece)
        if waited >= SLOW_SECONDS:
            if received < least * waited:
                raise late
            waited, received = 0.0, 0
        yield piece
