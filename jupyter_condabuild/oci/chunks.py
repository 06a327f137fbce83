"""The chunks of a blob: as a readable file, and decompressed."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator


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


def decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompresses the chunks of a gzip file in parts of at most 1 MiB. Raises zlib.error."""
    decompressor = zlib.decompressobj(31)
    for chunk in chunks:
        data = chunk
        while data:
            if decompressor.eof:
                decompressor = zlib.decompressobj(31)
            yield decompressor.decompress(data, 1 << 20)
            data = decompressor.unused_data or decompressor.unconsumed_tail
    yield decompressor.flush()
    if not decompressor.eof:
        raise zlib.error("The gzip file is cut off.")
