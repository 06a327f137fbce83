"""Streams of bytes that somebody else made, and that are counted while they are read, so that a limit can end them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Stream(Protocol):
    """A stream that can be read once."""

    def read(self, size: int, /) -> bytes:
        """Returns the next bytes, at most `size` of them; none at the end."""
        ...


class Counted:
    """A stream that tells how many bytes were read.

    Args:
        spend: called with the number of bytes of each read. It may raise an error, which ends the reading.
    """

    def __init__(self, stream: Stream, spend: Callable[[int], None]) -> None:
        self._stream = stream
        self._spend = spend

    def read(self, size: int) -> bytes:
        """Returns the next bytes, at most `size` of them; none at the end."""
        data = self._stream.read(size)
        self._spend(len(data))
        return data
