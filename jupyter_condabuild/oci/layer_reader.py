"""Reads the entries of a layer as a stream, and bounds what a hostile layer can make it keep in memory.

Python's tarfile is not used for this: it reads extended headers of any size, and takes quadratic time for some of them
(CVE-2024-6232).

Source: OCI image-spec layer.md; POSIX pax interchange format (IEEE Std 1003.1-2017, pax).
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator

from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.oci.chunks import BadCompression, as_file, plain
from jupyter_condabuild.oci.files import EXTENDED, MOST_EXTENDED, extended_header, size_of
from jupyter_condabuild.oci.image import BlobSource, Descriptor

CHUNK = 1 << 20
MOST_ENTRIES = 5_000_000
"""The largest number of entries in a layer."""

_BLOCK = 512


def entries(
    source: BlobSource, layer: Descriptor, limit: int | None = None
) -> Iterator[tuple[tarfile.TarInfo, io.BufferedIOBase | None]]:
    """Yields the entries of a layer, each with its bytes if it is a regular file.

    The bytes must be read before the next entry. The layer's digest is verified after the last entry.

    Args:
        limit: the largest number of bytes of the layer after decompression; None for any number.

    Raises:
        BadImage: the layer is neither a tar nor a tar in gzip or zstd, or it has more than `limit` bytes, more than
            `MOST_ENTRIES` entries, or extended headers of more than `MOST_EXTENDED` bytes before one entry.
        ContentMismatch: the layer differs from its descriptor.
    """
    where = f"The layer {layer.digest}"
    chunks = source.read(layer)
    try:
        file = as_file(_limited(plain(chunks), limit, where))
        yield from _entries(file, where)
        while file.read(CHUNK):
            pass
    except BadCompression as error:
        raise BadImage(f"{where} cannot be decompressed: {error}.") from None
    for _ in chunks:
        pass  # the digest is verified with the last chunk


def _limited(parts: Iterable[bytes], limit: int | None, where: str) -> Iterator[bytes]:
    """Yields the parts of a tar that are not empty. Raises BadImage after `limit` bytes."""
    size = 0
    for part in parts:
        size += len(part)
        if limit is not None and size > limit:
            raise BadImage(f"{where} has more than {limit} bytes after decompression.")
        if part:
            yield part


def _entries(file: io.BufferedReader, where: str) -> Iterator[tuple[tarfile.TarInfo, io.BufferedIOBase | None]]:
    extended: dict[str, str] = {}
    count = kept = 0
    while any(header := _exactly(file, _BLOCK, where)):
        try:
            member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise BadImage(f"{where} is not a tar: {error}.") from None
        count += 1
        if count > MOST_ENTRIES:
            raise BadImage(f"{where} has more than {MOST_ENTRIES} entries.")
        size = size_of(member, extended, where)
        if member.type in EXTENDED:
            kept += size
            if kept > MOST_EXTENDED:
                raise BadImage(f"{where} has extended headers of {kept} bytes before one entry.")
            extended |= extended_header(member.type, _exactly(file, size, where), where)
        else:
            content = _Content(file, size, where)
            member.size = size
            member.name = extended.get("path", member.name).rstrip("/")
            member.linkname = extended.get("linkpath", member.linkname)
            member.uid = _owner(extended.get("uid"), where, member.uid)
            member.gid = _owner(extended.get("gid"), where, member.gid)
            member.pax_headers = {name: value for name, value in extended.items() if ".xattr." in name}
            yield member, io.BufferedReader(content, CHUNK) if member.isreg() else None
            content.skip()
            extended, kept = {}, 0
        _exactly(file, -size % _BLOCK, where)


def _owner(text: str | None, where: str, given: int) -> int:
    """Returns the number of a user or group of an extended header, or the number that the header has."""
    if text is None:
        return given
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise BadImage(f"{where} is not a valid tar: {text[:40]!r} is not the number of a user.")
    return int(text)


def _exactly(file: io.BufferedReader, size: int, where: str) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise BadImage(f"{where} is cut off.")
    return data


class _Content(io.RawIOBase):
    """The bytes of one file of a tar that is read as a stream."""

    def __init__(self, file: io.BufferedReader, size: int, where: str) -> None:
        self._file = file
        self._left = size
        self._where = where

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer)[: self._left]  # type: ignore[arg-type]
        count = self._file.readinto(target)
        if not count and self._left:
            raise BadImage(f"{self._where} is cut off.")
        self._left -= count
        return count

    def skip(self) -> None:
        """Reads and discards the bytes that are left."""
        while self._left:
            self._left -= len(_exactly(self._file, min(CHUNK, self._left), self._where))
