"""Reads a ``.deb``: each member is checked, and each file is written under a number of its own, never under its name.

Source: deb(5); Debian Policy, section 3 and appendix B.
"""

from __future__ import annotations

import gzip
import io
import lzma
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, BinaryIO, cast

from jupyter_condabuild.errors import UnsafePackage
from jupyter_condabuild.streams import Counted, Stream
from jupyter_condabuild.system.zstd import zstd

LEAST_BYTES, RATIO = 16 << 20, 100
"""An archive may unpack to `LEAST_BYTES`, and to `RATIO` times its own size above that."""

USE_ANOTHER = "Do not use this mirror. Set another one (debian_mirrors)."
"""What to do about a mirror with such a package."""

MOST_MEMBERS = 100_000
_XZ_MEMORY = 128 << 20
_CHUNK = 1 << 18
_CONTROL_FILE = 1 << 20
_MAGIC = b"!<arch>\n"
_HEADER = 60
_DAMAGED = (tarfile.TarError, lzma.LZMAError, zstd.ZstdError, EOFError, ValueError, OverflowError, RecursionError)
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Member:
    """One path of an image, as ``usr/bin/env``.

    `kind` is ``file``, ``symlink``, ``directory`` or ``hardlink``. `mode` has no setuid and setgid bits. `source` is
    the file with the bytes; if it is empty, they are `data`. `target` is the target of a link. `owner` is the number of
    both the user and the group.
    """

    path: str
    kind: str
    mode: int
    source: str = ""
    data: bytes = b""
    target: str = ""
    owner: int = 0


@dataclass(frozen=True)
class Unpacked:
    """A package: its files for dpkg by name (``control``, ``md5sums`` …), the paths that it lists, and its members.

    `listed` also has the paths that `keeps` left out. `privileged` are the files that lost their setuid or setgid bit.
    """

    control: dict[str, bytes] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    privileged: list[str] = field(default_factory=list)


def unpack(archive: Path, folder: Path, keeps: Callable[[str], bool]) -> Unpacked:
    """Reads a package, and writes its files into a folder.

    Args:
        keeps: whether the file with a path is wanted.

    Raises UnsafePackage if the archive is damaged, too large, or has a member that no package of Debian needs.
    """
    try:
        with open(archive, "rb") as file:
            return _Reader(archive.name, archive.stat().st_size, folder, keeps).read(file)
    except _DAMAGED as error:
        raise UnsafePackage(f"{archive.name[:100]} cannot be unpacked: {str(error)[:200]}.", USE_ANOTHER) from None
    except OSError as error:
        if error.errno is None:  # gzip and zstd
            raise UnsafePackage(f"{archive.name[:100]} cannot be unpacked: {str(error)[:200]}.", USE_ANOTHER) from None
        raise


class _Reader:
    def __init__(self, name: str, size: int, folder: Path, keeps: Callable[[str], bool]) -> None:
        self._name = name[:100]
        self._size = size
        self._folder = folder
        self._keeps = keeps
        self._left = LEAST_BYTES + RATIO * size
        self._members = MOST_MEMBERS
        self._sources: dict[str, str] = {}
        self._numbers = count()
        self._unpacked = Unpacked()

    def read(self, file: BinaryIO) -> Unpacked:
        found = set()
        for name, part in _parts(file, self._size):
            kind, _, suffix = name.partition(".tar")
            if kind not in ("control", "data") or kind in found:
                continue
            found.add(kind)
            stream = cast(IO[bytes], Counted(_decompressed(part, suffix), self._spend))  # tarfile only reads it
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    self._members -= 1
                    if self._members < 0:
                        raise self._unsafe(member.name, "the package has too many members")
                    content = tar.extractfile(member) if member.isreg() else None
                    self._control(member, content) if kind == "control" else self._data(member, content)
        if found != {"control", "data"} or "control" not in self._unpacked.control:
            raise tarfile.ReadError("it is not a package of Debian")
        return self._unpacked

    def _control(self, member: tarfile.TarInfo, stream: IO[bytes] | None) -> None:
        name = member.name.removeprefix("./")
        if member.isdir():
            return
        if stream is None or not _NAME.fullmatch(name) or member.size > _CONTROL_FILE:
            raise self._unsafe(name, "it cannot be a file for dpkg")
        self._unpacked.control[name] = stream.read()

    def _data(self, member: tarfile.TarInfo, stream: IO[bytes] | None) -> None:
        path = member.name.removeprefix("./").rstrip("/")
        self._unpacked.listed.append(f"/{path or '.'}")
        if path in ("", "."):
            return
        if path.startswith("/") or {"", ".", ".."} & set(path.split("/")) or re.search(r"[\0\n]", path):
            raise self._unsafe(path, "it leads out of the image")
        if member.isdir():
            self._unpacked.members.append(Member(path, "directory", member.mode & 0o1777))
        elif not self._keeps(path):
            return
        elif member.issym():
            if not member.linkname or "\0" in member.linkname:
                raise self._unsafe(path, "it is a link without a target")
            self._unpacked.members.append(Member(path, "symlink", 0o777, target=member.linkname))
        else:
            source = self._source(member, path, stream)
            if member.mode & 0o6000:
                self._unpacked.privileged.append(path)
            self._unpacked.members.append(Member(path, "file", member.mode & 0o777, source))

    def _source(self, member: tarfile.TarInfo, path: str, stream: IO[bytes] | None) -> str:
        """Returns the file with the bytes of a file or of a hard link."""
        if member.islnk():
            source = self._sources.get(member.linkname.removeprefix("./"))
            if source is None:
                raise self._unsafe(path, "it is a hard link to a file that the package does not have")
        elif stream is None:
            raise self._unsafe(path, "it is neither a file nor a folder nor a link")
        else:
            source = f"{self._folder}/{self._name}.{next(self._numbers)}"
            with open(source, "xb") as file:
                while chunk := stream.read(_CHUNK):
                    file.write(chunk)
        self._sources[path] = source
        return source

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise UnsafePackage(
                f"{self._name} is refused: it unpacks to more than {RATIO} times its size.", USE_ANOTHER
            )

    def _unsafe(self, path: str, fault: str) -> UnsafePackage:
        return UnsafePackage(f"{self._name} contains {path[:200]!r}, which is refused: {fault}.", USE_ANOTHER)


def _parts(file: BinaryIO, whole: int) -> Iterator[tuple[str, io.BytesIO]]:
    """Yields the names and the bytes of the members of an ar archive. Raises ValueError if it is not one."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is not an ar archive")
    while header := file.read(_HEADER):
        size = header[48:58].strip()
        if len(header) != _HEADER or header[58:] != b"`\n" or not size.isdigit() or int(size) > whole:
            raise ValueError("a header is damaged")
        data = file.read(int(size))
        if len(data) != int(size):
            raise ValueError("it is cut off")
        yield header[:16].decode("ascii").strip().rstrip("/"), io.BytesIO(data)
        file.read(int(size) % 2)


def _decompressed(part: io.BytesIO, suffix: str) -> Stream:
    match suffix:
        case ".xz":
            return _Xz(part)
        case ".zst":
            return zstd.ZstdFile(part)  # takes at most 128 MiB of memory
        case ".gz":
            return gzip.GzipFile(fileobj=part)
        case "":
            return part
    raise ValueError(f"the compression {suffix[:20]!r} is not known")


class _Xz:
    """A stream of xz that takes at most `_XZ_MEMORY` bytes of memory. `lzma.open` has no such limit."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)

    def read(self, size: int) -> bytes:
        while not self._decompressor.eof:
            feed = self._file.read(_CHUNK) if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not feed:
                raise EOFError("it is cut off")
            if data := self._decompressor.decompress(feed, size):
                return data
        return b""
