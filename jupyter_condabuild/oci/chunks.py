"""Makes a readable file from the chunks of a blob."""

from __future__ import annotations

import io
from collections.abc import Iterator


def as_file(chunks: Iterator[bytes]) -> io.BufferedReader:
    """Returns a file that can be read once, from beginning to end. Reading raises the errors that `chunks` raises."""
    return io.BufferedReader(_Chunks(chunks), 1 << 20)


class _Chunks(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer)  # type: ignore[arg-type]
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
