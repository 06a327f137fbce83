"""Unpacks package archives into folders of this build, and refuses members that are no plain files, folders or links.

Each member is checked before it is written: its name, its type, the folders above it, and how large the whole is.

Source: the package formats of conda (CEP 35: https://conda.org/learn/ceps/cep-0035); PEP 706 for the dangers of tar.
"""

from __future__ import annotations

import bz2
import hashlib
import os
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO, cast

from jupyter_condabuild.conda.linking import modes
from jupyter_condabuild.conda.linking.disk_places import DiskPlaces
from jupyter_condabuild.conda.paths import LONGEST_PATH, path_fault
from jupyter_condabuild.errors import LinkFailed, PackageMismatch, UnsafePackage, from_os_error
from jupyter_condabuild.files import open_regular
from jupyter_condabuild.streams import Counted, Stream
from jupyter_condabuild.system import opening
from jupyter_condabuild.system.links import make_link
from jupyter_condabuild.system.owners import others_can_write, writable_by_others
from jupyter_condabuild.system.zstd import zstd
from jupyter_condabuild.text import size_text

LEAST_BYTES, RATIO = 16 << 20, 200
"""An archive may unpack to `LEAST_BYTES`, and to `RATIO` times its own size above that.

Packages of text or debug information reach 30. No package is known that reaches 100."""

LEAST_MEMBERS, BYTES_PER_MEMBER = 2000, 48
"""An archive may have `LEAST_MEMBERS`, and one more for each `BYTES_PER_MEMBER` of its size.

The hash of each file in info/paths.json takes 32 bytes, which no compression makes smaller. The header of an empty file
and its name take more than 16."""

_CHUNK = 1 << 18
_LONGEST_HEADER = 1 << 16
_DIRECTORY = 1 << 20
_END_OF_ZIP = struct.Struct("<4s4x4xL6x")
_TEXTS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zstd.ZstdError, EOFError, ValueError, RuntimeError, OverflowError)


@dataclass(frozen=True)
class Unpacked:
    """What a file system may not keep of an archive.

    `executables` are the files with an x bit. `changed` are the files whose permissions an image does not keep (see
    `modes.shown`). `apart` and `links` are those of `Extracted`.
    """

    executables: frozenset[str]
    changed: tuple[str, ...]
    apart: Mapping[str, str]
    links: Mapping[str, str]


def unpack_all(archives: Iterable[tuple[Path, Path, str]]) -> list[Unpacked]:
    """Unpacks archives, each into its folder; the last item is its sha256. Returns the results of `unpack`."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "unpack") as threads:
        return list(threads.map(lambda arguments: unpack(*arguments), archives))


def unpack(archive: Path, folder: Path, sha256: str = "") -> Unpacked:
    """Unpacks a ``.conda`` or ``.tar.bz2`` into a new folder.

    Files get the mode 0755 or 0644 and the time of the archive, and belong to this user. A file whose name the file
    system takes for that of another file, or cannot give to a file, is put beside the folder. A symbolic link is made
    if that is possible here.

    Args:
        sha256: the hash that the archive had when it was found. It is checked again, on a copy, if another user can
            change the archive.

    Raises:
        PackageMismatch: the archive has another hash.
        UnsafePackage: a member leads out of the folder, is a device or the like, or the content is too large.
        LinkFailed: the archive is damaged.
        StoreError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True)
        with ExitStack() as stack:
            file: BinaryIO = stack.enter_context(open(open_regular(archive, follow=True), "rb"))
            if sha256 and (writable_by_others(os.fstat(file.fileno())) or others_can_write(archive.parent)):
                copy = cast(BinaryIO, stack.enter_context(TemporaryFile(dir=folder.parent)))  # has no name
                _copy(file, copy, archive, sha256)
                file = copy
            size = os.fstat(file.fileno()).st_size
            writer = _Writer(str(folder), _Budget(archive.name, size))
            for stream in _parts(file, archive.name, size):
                writer.write(stream)
            return Unpacked(frozenset(writer.executables), tuple(writer.changed), writer.apart, writer.links)
    except RecursionError:
        raise UnsafePackage(f"{archive.name} has headers inside of headers.") from None
    except _DAMAGED as error:
        raise LinkFailed(f"{archive.name} cannot be unpacked: {error}.") from None
    except OSError as error:
        if error.filename is None and error.errno is None:  # bz2 has no error of its own
            raise LinkFailed(f"{archive.name} cannot be unpacked: {error}.") from None
        raise from_os_error(error, f"unpacking {archive.name}", folder) from None


def _copy(file: BinaryIO, copy: BinaryIO, archive: Path, sha256: str) -> None:
    """Copies an archive. Raises PackageMismatch if the copy has another hash."""
    shutil.copyfileobj(file, copy, _CHUNK)
    copy.seek(0)
    if hashlib.file_digest(copy, "sha256").hexdigest() != sha256:  # type: ignore[arg-type]  # the file is readable
        raise PackageMismatch(f"{archive} was changed after its hash was checked.", "Use a package cache of your own.")


def read_files(archive: Path, names: Collection[str], most: int) -> dict[str, bytes]:
    """Returns the content of files below info/ of an archive, without unpacking it. Absent files are left out.

    Args:
        most: the maximum size of a file in bytes; a larger one is left out.

    Raises LinkFailed, UnsafePackage or OSError.
    """
    found: dict[str, bytes] = {}
    try:
        with open(open_regular(archive, follow=True), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            budget = _Budget(archive.name, size)
            with closing(_parts(file, archive.name, size, ["info-"])) as parts:
                for member, content in (item for stream in parts for item in _members(stream, budget)):
                    name = member.name.removeprefix("./")
                    if name in names and member.isreg() and member.size <= most:
                        found[name] = content().read()
                    if len(found) == len(names):
                        return found
    except _DAMAGED as error:
        raise LinkFailed(f"{archive.name} cannot be read: {error}.") from None
    return found


def _parts(
    file: BinaryIO, name: str, size: int, parts: Sequence[str] = ("pkg-", "info-")
) -> Generator[Stream, None, None]:
    """Yields the tars of an archive. Raises BadZipFile for a file of another format.

    Args:
        parts: the starts of the names of the tars in a ``.conda``.
    """
    if name.endswith(".tar.bz2"):
        with bz2.BZ2File(file) as stream:
            yield stream
        return
    file.seek(max(0, size - _END_OF_ZIP.size))
    mark, directory = _END_OF_ZIP.unpack(file.read().ljust(_END_OF_ZIP.size))
    if mark != b"PK\5\6" or directory > _DIRECTORY:
        raise zipfile.BadZipFile("it is not a conda archive")
    with zipfile.ZipFile(file) as archive:
        for part in parts:
            with _member(archive, part) as compressed, zstd.ZstdFile(compressed) as stream:
                yield stream


@contextmanager
def _member(archive: zipfile.ZipFile, part: str) -> Iterator[BinaryIO]:
    found = [item for item in archive.infolist() if item.filename.startswith(part)]
    if len(found) != 1 or not found[0].filename.endswith(".tar.zst") or found[0].compress_type != zipfile.ZIP_STORED:
        raise zipfile.BadZipFile(f"it does not have exactly one {part}….tar.zst")
    with archive.open(found[0]) as file:
        yield file  # type: ignore[misc]  # IO[bytes]


class _Header(tarfile.TarInfo):
    """A member whose long name or pax header is refused before it is read into memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        if self.type in _TEXTS and self.size > _LONGEST_HEADER:
            raise UnsafePackage(f"A member of the package has a name or a header of {size_text(self.size)}.")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]  # made to be overridden, not in typeshed


class _Budget:
    """The number of bytes and members that an archive may still have."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self._bytes = self._most_bytes = LEAST_BYTES + RATIO * size
        self._members = LEAST_MEMBERS + size // BYTES_PER_MEMBER

    def spend(self, count: int) -> None:
        self._bytes -= count
        if self._bytes < 0:
            raise UnsafePackage(
                f"{self.name} unpacks to more than {size_text(self._most_bytes)}, the most for an archive of its size."
            )

    def member(self) -> None:
        self._members -= 1
        if self._members < 0:
            raise UnsafePackage(f"{self.name} has too many members for its size.")


def _members(stream: Stream, budget: _Budget) -> Iterator[tuple[tarfile.TarInfo, Callable[[], IO[bytes]]]]:
    """Yields the members of a tar, and a function that opens a file before the next member is taken."""
    bounded = Counted(stream, budget.spend)
    with tarfile.open(fileobj=bounded, mode="r|", bufsize=_CHUNK, tarinfo=_Header) as archive:  # type: ignore[call-overload]
        for member in archive:
            budget.member()
            yield member, partial(archive.extractfile, member)
    while bounded.read(_CHUNK):  # what comes behind the tar counts, too
        pass


class _Writer:
    """Writes the members of an archive's tars below a folder."""

    def __init__(self, folder: str, budget: _Budget) -> None:
        self._budget = budget
        self._folders: set[str] = set()
        self._files: set[str] = set()
        self.links: dict[str, str] = {}
        self._unmade: set[str] = set()  # the links that are not on the disk
        self.executables: set[str] = set()
        self.changed: list[str] = []
        self._places = DiskPlaces(folder, "info")
        os.mkdir(f"{folder}/info")  # first: no other name takes its place

    @property
    def apart(self) -> Mapping[str, str]:
        return self._places.apart

    def write(self, stream: Stream) -> None:
        for member, content in _members(stream, self._budget):
            self._member(member, content)

    def _member(self, member: tarfile.TarInfo, content: Callable[[], IO[bytes]]) -> None:
        name = member.name
        while name.startswith("./"):
            name = name[2:]
        if name in ("", ".") and member.isdir():
            return
        if fault := path_fault(name):
            raise self._unsafe(name, fault)
        if member.isdir():
            self._folder(name)
            return
        folder, _, _ = name.rpartition("/")
        if folder and folder not in self._folders:
            self._folder(folder)
        if name in self._folders:
            raise self._unsafe(name, "it is a folder and a file")
        if name in self._files or (name in self.links and name not in self._unmade):
            path = self._places.of(name)
            os.unlink(path)
        else:
            path = self._places.new(name)
            if folder == "info" and name in self.apart:
                raise self._unsafe(name, "this file system takes it for another file with metadata")
        self.links.pop(name, None)  # as in every tar, the last member of a name counts
        for known in (self._files, self._unmade, self.executables):
            known.discard(name)
        if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse():
            self._file(name, member, content(), path)
            self._files.add(name)
            if member.mode & 0o111:
                self.executables.add(name)
        elif member.issym():
            target = member.linkname
            if not target or "\0" in target or len(os.fsencode(target)) > LONGEST_PATH:
                raise self._unsafe(name, "the target of the link is not a path")
            self.links[name] = target
            if not make_link(target, path):
                self._unmade.add(name)
        elif member.islnk():
            target = member.linkname.removeprefix("./")
            if target not in self._files:
                raise self._unsafe(name, "it is a hard link to a file that the package does not have")
            os.link(self._places.of(target), path, follow_symlinks=False)
            self._files.add(name)
            if target in self.executables:
                self.executables.add(name)
        else:
            raise self._unsafe(name, "it is neither a file nor a folder nor a link")

    def _file(self, name: str, member: tarfile.TarInfo, source: IO[bytes], path: str) -> None:
        if modes.is_special(member.mode) or modes.is_private(member.mode):
            self.changed.append(modes.shown(name, member.mode))
        mode = 0o755 if member.mode & 0o111 else 0o644
        descriptor = os.open(path, opening.NEW, mode)
        with open(descriptor, "wb", 0) as file:
            while chunk := source.read(_CHUNK):
                file.write(chunk)
            # Python takes a module's bytecode only if it has the time of the module
            time = min(max(int(member.mtime), 0), 1 << 33)
            os.utime(descriptor, (time, time))

    def _folder(self, name: str) -> None:
        """Makes a folder and the folders above it. None of them may be a link or a file of the package."""
        end = 0
        while end != len(name):
            end = name.find("/", end + 1)
            end = len(name) if end < 0 else end
            part = name[:end]
            if part in self._folders:
                continue
            if part in self._files or part in self.links:
                raise self._unsafe(name, f"{part!r} is a link or a file of the package")
            self._places.make_folder(part)
            self._folders.add(part)

    def _unsafe(self, name: str, fault: str) -> UnsafePackage:
        return UnsafePackage(f"{self._budget.name} contains {name[:200]!r}, which is refused: {fault}.")
