"""How long a registry's temporary failures are borne: exponential waits with jitter, or what the registry asks for."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from jupyter_condabuild.errors import RegistryError

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How often and how long a request is tried again; times in seconds, clock and sleep replaceable by tests."""

    attempts: int = 6
    first: float = 0.5
    longest: float = 60.0
    total: float = 240.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random


class Pauses:
    """The waits of one operation: exponential with jitter, or as long as the registry asked for."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failures = 0
        self._started = patience.clock()

    def progressed(self) -> None:
        """Something was achieved since the last failure: the count of failures and the time start afresh."""
        self._failures = 0
        self._started = self._patience.clock()

    def after(self, error: RegistryError) -> None:
        """Waits, or raises the error when it is not temporary or patience has come to its end."""
        patience = self._patience
        self._failures += 1
        wait = min(patience.longest, patience.first * 2 ** (self._failures - 1)) * (0.5 + patience.jitter() / 2)
        wait = max(wait, error.retry_after or 0.0)
        left = patience.total - (patience.clock() - self._started)
        if not error.temporary or self._failures >= patience.attempts or wait > min(left, patience.longest):
            raise error
        patience.sleep(wait)


def patiently(patience: Patience, attempt: Callable[[], T]) -> T:
    """The result of an attempt, tried again after temporary errors as patience allows."""
    pauses = Pauses(patience)
    while True:
        try:
            return attempt()
        except RegistryError as error:
            pauses.after(error)
