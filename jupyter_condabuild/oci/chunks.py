"""The chunks of a blob: as a readable file, and decompressed.

Source: RFC 1952 for gzip; RFC 8878 for zstd.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal

from jupyter_condabuild.system.zstd import zstd

PART = 1 << 20
"""The largest number of bytes that are decompressed at once."""

_MAGIC: dict[Literal["gzip", "zstd"], bytes] = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_WINDOW: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 27}  # 128 MiB, as `zstd --long` makes


class BadCompression(Exception):
    """The bytes of a compressed file are damaged, or end too early."""


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


def compression(first: bytes) -> Literal["gzip", "zstd", ""]:
    """Returns the compression of a file with these first 4 bytes or more; empty if there is none."""
    return next((kind for kind, magic in _MAGIC.items() if first.startswith(magic)), "")


def plain(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the bytes of a tar that may be compressed with gzip or zstd, in parts of at most 1 MiB if it is.

    Memory is limited: a zstd frame with a window of more than 128 MiB is refused.

    Raises:
        BadCompression: the bytes end too early, or are not those of the compression with which they begin.
    """
    iterator = iter(chunks)
    first = next(iterator, b"")
    while len(first) < 4 and (more := next(iterator, b"")):
        first += more
    whole = chain((first,), iterator)
    match compression(first):
        case "gzip":
            return _gunzipped(whole)
        case "zstd":
            return _unzstd(whole)
    return whole


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompresses the chunks of a gzip file."""
    decompressor = zlib.decompressobj(31)
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if decompressor.eof:
                    decompressor = zlib.decompressobj(31)
                yield decompressor.decompress(data, PART)
                data = decompressor.unused_data or decompressor.unconsumed_tail
        yield decompressor.flush()
    except zlib.error as error:
        raise BadCompression(f"its gzip data are damaged ({error})") from None
    if not decompressor.eof:
        raise BadCompression("its gzip data are cut off")


def _unzstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompresses the chunks of a file of zstd frames."""
    decompressor = zstd.ZstdDecompressor(options=_WINDOW)
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if decompressor.eof:
                    decompressor = zstd.ZstdDecompressor(options=_WINDOW)
                yield decompressor.decompress(data, PART)
                while not decompressor.needs_input and not decompressor.eof:
                    yield decompressor.decompress(b"", PART)
                data = decompressor.unused_data
    except zstd.ZstdError as error:
        raise BadCompression(f"its zstd data are damaged ({error})") from None
    if not decompressor.eof:
        raise BadCompression("its zstd data are cut off")
