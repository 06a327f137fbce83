"""Reads the files of a tar or of a folder without unpacking them. Names of files are checked before they are used.

Source: POSIX pax interchange format (IEEE Std 1003.1-2017, pax), GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.files import open_regular
from jupyter_condabuild.system.opening import read_at

CHUNK = 1 << 20
MOST_ENTRIES = 20_000
"""The largest number of files in a tar."""
MOST_EXTENDED = 1 << 20
"""The largest size of an extended header, in bytes."""

EXTENDED = {
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}
"""The types of entries that describe the next entry."""

OF_THE_NEXT_FILE = (b"path", b"linkpath", b"size", b"uid", b"gid", b"SCHILY.xattr.", b"LIBARCHIVE.xattr.")
"""The prefixes of the records in an extended header that describe a file: its name, owner and attributes."""

_BLOCK = 512
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz", b"BZh": "bzip2"}


class Files(Protocol):
    """A collection of regular files, found by name. `where` is the path of the tar or folder for error messages."""

    where: str

    def size(self, name: str) -> int | None:
        """Returns the size of a file in bytes, or None if there is no regular file with this name."""
        ...

    def read(self, name: str) -> Iterator[bytes]:
        """Yields the bytes of a file in chunks. Several threads may read at the same time.

        Raises BadImage if the file cannot be read.
        """
        ...

    def close(self) -> None:
        """Closes the tar. Nothing can be read afterwards."""
        ...


class TarFiles:
    """The regular files of a tar. Only the headers are read to find them.

    Links and devices are ignored, so no file outside the tar can be reached through them.

    Args:
        file: the open tar.
        where: the path of the tar for error messages.

    Raises:
        BadImage: the file is not a tar, is compressed or incomplete, or has a name that leads out of the tar or that
            occurs twice.
    """

    def __init__(self, file: BinaryIO, where: str) -> None:
        self.where = where
        self._file = file
        self._places = dict(_scan(file.fileno(), where))

    def size(self, name: str) -> int | None:
        place = self._places.get(name)
        return None if place is None else place[1]

    def read(self, name: str) -> Iterator[bytes]:
        offset, size = self._places[name]
        end = offset + size
        while offset < end:
            chunk = _pread(self._file.fileno(), min(CHUNK, end - offset), offset, self.where)
            if not chunk:
                raise _short(self.where)
            offset += len(chunk)
            yield chunk

    def close(self) -> None:
        self._file.close()


class FolderFiles:
    """The regular files of a folder. Symbolic links are ignored."""

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._folder = folder

    def size(self, name: str) -> int | None:
        try:
            status = os.lstat(self._folder / name)
        except OSError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def read(self, name: str) -> Iterator[bytes]:
        try:
            fd = open_regular(self._folder / name)
        except OSError as error:
            raise BadImage(f"{self._folder / name} cannot be read: {error.strerror}.") from None
        with open(fd, "rb", buffering=0) as file:
            offset = 0
            while chunk := _pread(file.fileno(), CHUNK, offset, self.where):
                offset += len(chunk)
                yield chunk

    def close(self) -> None:
        pass


def _scan(fd: int, where: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yields the name, offset and size of each regular file. Removes the ``./`` that some tars put before each name."""
    end = os.fstat(fd).st_size
    seen: set[str] = set()
    extended: dict[str, str] = {}
    offset = 0
    while header := _pread(fd, _BLOCK, offset, where):
        if len(header) < _BLOCK:
            raise _short(where)
        if not any(header):
            return
        try:
            member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise BadImage(_not_a_tar(header, offset, where)) from None
        size = size_of(member, extended, where)
        offset += _BLOCK
        if size > end - offset:
            raise _short(where)
        if member.type in EXTENDED:
            if size > MOST_EXTENDED:
                raise BadImage(f"{where} has a file name or header of {size} bytes, which is too long.")
            extended |= extended_header(member.type, _pread(fd, size, offset, where), where)
        else:
            name = _name(extended.get("path", member.name), where)
            if member.type in tarfile.REGULAR_TYPES and member.type != tarfile.GNUTYPE_SPARSE:
                if name in seen:
                    raise BadImage(f"{where} contains the file {name!r} twice.")
                yield name, (offset, size)
            if not member.isdir():
                seen.add(name)
            if len(seen) > MOST_ENTRIES:
                raise BadImage(f"{where} is not the archive of an image: it contains more than {MOST_ENTRIES} files.")
            extended = {}
        offset += size + -size % _BLOCK


def size_of(member: tarfile.TarInfo, extended: dict[str, str], where: str) -> int:
    """Returns the number of bytes after the header. A type without content has none, whatever its header says.

    Raises BadImage for a size that is not valid, and for a sparse file, whose real size nothing bounds.
    """
    if member.type == tarfile.GNUTYPE_SPARSE:
        raise BadImage(f"{where} contains a sparse file.")
    if member.type not in EXTENDED and member.type not in tarfile.REGULAR_TYPES:
        return 0
    text = extended.get("size")
    if text is not None and member.type not in EXTENDED:
        if not text.isascii() or not text.isdigit() or len(text) > 19:
            raise BadImage(f"{where} is not a valid tar: {text[:40]!r} is not a size.")
        return int(text)
    if member.size < 0:
        raise BadImage(f"{where} is not a valid tar: a file has a negative size.")
    return member.size


def extended_header(kind: bytes, data: bytes, where: str) -> dict[str, str]:
    """Returns the members of an extended header that `OF_THE_NEXT_FILE` names, which apply to the next file.

    Raises BadImage.
    """
    if kind in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        text = data.rstrip(b"\0").decode(errors="surrogateescape")
        return {"path" if kind == tarfile.GNUTYPE_LONGNAME else "linkpath": text}
    if kind not in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
        return {}
    values = {}
    while data:
        length, space, _ = data.partition(b" ")
        if not space or not length.isdigit() or len(length) > 7 or not len(length) + 2 < int(length) <= len(data):
            raise BadImage(f"{where} is not a valid tar: an extended header is damaged.")
        key, _, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        if key.startswith(b"GNU.sparse."):
            raise BadImage(f"{where} contains a sparse file.")
        if key.startswith(OF_THE_NEXT_FILE):
            values[key.decode(errors="surrogateescape")] = value.decode(errors="surrogateescape")
        data = data[int(length) :]
    return values


def _name(name: str, where: str) -> str:
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise BadImage(f"{where} contains the name {name[:200]!r}, which leads out of the archive.")
    return name.rstrip("/")


def _not_a_tar(header: bytes, offset: int, where: str) -> str:
    if offset:
        return f"{where} is not a valid tar: there is no header at byte {offset}."
    for magic, name in _COMPRESSED.items():
        if header.startswith(magic):
            return f"{where} is compressed with {name}. Decompress it first."
    return f"{where} is not a tar archive."


def _short(where: str) -> BadImage:
    return BadImage(f"{where} is incomplete.", "Make or copy the archive again.")


def _pread(fd: int, size: int, offset: int, where: str) -> bytes:
    try:
        return read_at(fd, size, offset)
    except OSError as error:
        raise BadImage(f"{where} cannot be read: {error.strerror}.") from None
