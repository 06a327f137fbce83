"""Writes files into one deterministic layer: tar, gzip, digest and diff_id are made in one pass over the bytes.

The entries of the tar are sorted by path. The owner is 0:0 unless the entry has another one. The format is GNU tar,
because its long names may contain any bytes.

Source: OCI image-spec layer.md; GNU tar manual, "Basic Tar Format"; RFC 1952 for gzip.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from jupyter_condabuild.errors import BadImage, ContentMismatch
from jupyter_condabuild.oci.gzip_blocks import GzipBlocks
from jupyter_condabuild.oci.image import OCI_LAYER_GZIP, Descriptor, Digest
from jupyter_condabuild.system.beneath import BeneathFolder
from jupyter_condabuild.system.names import name_bytes

WRITER_VERSION = 3
"""Part of every layer key. Raise this number with every change that writes the same files as other bytes."""

EPOCH = 315532800
"""Default modification time of an entry, in seconds since the epoch: 1980-01-01, the earliest time in a zip file."""

_BLOCK = 512
_RECORD = 20 * _BLOCK
_TYPES = {"file": b"0", "whiteout": b"0", "hardlink": b"1", "symlink": b"2", "directory": b"5"}
_WHITEOUT = ".wh."
_OUTSIDE = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)|\0")  # empty, absolute, or with a part "", "." or ".."
_TRY_AGAIN = "Try again when no program writes the file."


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a layer.

    Args:
        path: the path relative to the root of the image, as os.fsdecode returns it.
        kind: ``file``, ``symlink``, ``directory``, ``hardlink``, or ``whiteout``, which deletes the path of a lower
            layer.
        mode: the permission bits.
        mtime: the modification time in seconds since the epoch.
        source: the path on this machine of the file that has the bytes. If it is empty, the bytes are `data`.
        data: the bytes of a file without `source`.
        target: the target of a symbolic link; the path of a file of the layer that comes before a hard link.
        sha256: the hash of the file in hexadecimal digits. If it is given, the writer checks the bytes of `source`.
        owner: the number of both the user and the group.
        offset: where the bytes begin in `source`. Used together with `size`.
        size: how many bytes of `source` are written; None for the whole file.
        root: a folder above `source`. No folder between the two may be a symbolic link.
    """

    path: str
    kind: str = "file"
    mode: int = 0o644
    mtime: int = EPOCH
    source: str = ""
    data: bytes = b""
    target: str = ""
    sha256: str = ""
    owner: int = 0
    offset: int = 0
    size: int | None = None
    root: str = ""


@dataclass(frozen=True)
class LayerBlob:
    """A written layer: the descriptor of the compressed bytes, the diff_id of the tar, the size of the tar in bytes."""

    descriptor: Descriptor
    diff_id: Digest
    tar_size: int


def with_parents(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yields the entries sorted by path. Each parent directory comes once, before its content.

    A parent directory without an entry of its own has the same header in every layer. If its time or mode differed,
    equal packages would give different layers. If several entries have the same path, the last one is used. A path
    that has entries below it is always written as a directory.
    """
    last = {entry.path: entry for entry in entries}
    parents = {parent for path in last for parent in _parents(path)}
    for path in parents:
        if path not in last or last[path].kind != "directory":
            last[path] = Entry(path, "directory", 0o755)
    yield from sorted(last.values(), key=lambda entry: name_bytes(entry.path))


def _parents(path: str) -> Iterator[str]:
    while (slash := path.rfind("/")) > 0:
        path = path[:slash]
        yield path


def file_entry(
    path: str, source: str, *, sha256: str = "", mtime: int = EPOCH, root: str = "", executable: bool | None = None
) -> Entry:
    """Returns the entry for a file, directory or symbolic link of this machine.

    A file gets the mode 0755 if it is executable, else 0644.

    Args:
        path: the path in the image, relative to its root.
        source: the path on this machine.
        sha256: the hash of the file, if `source` must be a regular file with this hash.
        mtime: the modification time of a file, in seconds since the epoch.
        root: a folder above `source`. No folder between the two may be a symbolic link.
        executable: whether the file is executable. None: it is if one of its x bits is set; not every file system has
            them.

    Raises:
        OSError: `source` cannot be read.
        ContentMismatch: `source` is a device, socket or pipe, or `sha256` is given and it is not a regular file.
    """
    mode = os.lstat(source).st_mode
    if sha256 and not stat.S_ISREG(mode):
        raise ContentMismatch(f"{source} is not the file that the package contains.")
    if stat.S_ISLNK(mode):
        return Entry(path, "symlink", 0o777, target=os.readlink(source))
    if stat.S_ISDIR(mode):
        return Entry(path, "directory", 0o755)
    if not stat.S_ISREG(mode):
        raise ContentMismatch(
            f"{source} is not a file, a folder or a symbolic link.", "Remove it, or move it to another folder."
        )
    executable = bool(mode & 0o111) if executable is None else executable
    return Entry(path, "file", 0o755 if executable else 0o644, mtime, source, sha256=sha256, root=root)


def write(
    entries: Iterable[Entry],
    out: BinaryIO,
    level: int = 1,
    progress: Callable[[int], None] | None = None,
    threads: int = 1,
) -> LayerBlob:
    """Writes a gzip-compressed layer to `out` and returns its description.

    The memory use is a few blocks of 1 MiB, and two for each thread, whatever the sizes of the files.

    Args:
        entries: the content of the layer, in any order.
        out: a file that is open for writing.
        level: the compression level of isal, 0 to 3.
        progress: called with the number of tar bytes since the last call.
        threads: how many threads compress. The bytes are the same for any number.

    Raises:
        OSError: a file cannot be opened or read, or `out` cannot be written.
        ContentMismatch: a file may not be read, does not match its sha256, or changes while it is read.
        BadImage: the name of an entry is not possible in an image, or leads out of it.
    """
    with BeneathFolder() as folder, GzipBlocks(out, level, threads, progress or (lambda count: None)) as sink:
        for entry in with_parents(entries):
            if entry.kind == "file":
                _write_file(entry, sink, folder)
            else:
                sink.add(_header(entry, 0))
        sink.add(bytes(2 * _BLOCK))
        sink.add(bytes(-sink.position % _RECORD))
        written = sink.finish()
    descriptor = Descriptor(OCI_LAYER_GZIP, written.digest, written.size)
    return LayerBlob(descriptor, written.content_digest, written.content_size)


def _write_file(entry: Entry, sink: GzipBlocks, folder: BeneathFolder) -> None:
    if not entry.source:
        sink.add(_header(entry, len(entry.data)))
        sink.add(entry.data)
        sink.add(bytes(-len(entry.data) % _BLOCK))
        return
    hasher = hashlib.sha256() if entry.sha256 else None
    fd, before = _open(entry, folder)
    try:
        size = left = before.st_size if entry.size is None else entry.size
        if entry.offset:
            os.lseek(fd, entry.offset, os.SEEK_SET)
        sink.add(_header(entry, size))
        while left:
            count = sink.read(fd, left, hasher)
            if not count:
                raise ContentMismatch(f"{entry.source} became shorter while it was being read.", _TRY_AGAIN)
            left -= count
        after = before if hasher else os.fstat(fd)
    finally:
        os.close(fd)
    sink.add(bytes(-size % _BLOCK))
    if hasher:
        sink.settle()
        if hasher.hexdigest() != entry.sha256:
            raise ContentMismatch(f"{entry.source} is not the file that the package contains.")
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise ContentMismatch(f"{entry.source} changed while it was being read.", _TRY_AGAIN)


def _open(entry: Entry, folder: BeneathFolder) -> tuple[int, os.stat_result]:
    try:
        return folder.open(entry.source, entry.root)
    except PermissionError:
        raise ContentMismatch(f"{entry.source} cannot be read.", "Make it readable, or remove it.") from None
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.ENXIO):
            error.filename = entry.source
            raise
        raise ContentMismatch(
            f"{entry.source} is not a regular file, or a folder of its path is a symbolic link.", _TRY_AGAIN
        ) from None


def _header(entry: Entry, size: int) -> bytes:
    """Returns the header block of an entry. Blocks for a name or link target of more than 100 bytes come before it."""
    name = name_bytes(_name(entry)) + (b"/" if entry.kind == "directory" else b"")
    target = name_bytes(entry.target)
    extra = b""
    if len(target) > 100:
        extra += _long(b"K", target)
    if len(name) > 100:
        extra += _long(b"L", name)
    kind = _TYPES[entry.kind]
    return extra + _block(name[:100], entry.mode, entry.owner, size, entry.mtime, kind, target[:100])


def _name(entry: Entry) -> str:
    """Returns the path of an entry in the tar. The name of a whiteout gets a prefix (layer.md, "Whiteouts").

    Raises BadImage if the name of any other entry begins with the prefix: it would delete a file of a lower layer.
    Raises BadImage if the path leads out of the image: a program that unpacks the layer could write there.
    """
    if _OUTSIDE.search(entry.path) or "\0" in entry.target:
        raise BadImage(f"{entry.path[:200]!r} cannot be a path of an image.", "Rename the file, or remove it.")
    folder, slash, name = entry.path.rpartition("/")
    if entry.kind == "whiteout":
        return f"{folder}{slash}{_WHITEOUT}{name}"
    if name.startswith(_WHITEOUT):
        raise BadImage(
            f"/{entry.path} cannot be in an image: a name that begins with {_WHITEOUT} marks a deleted file.",
            "Rename the file, or remove it.",
        )
    return entry.path


def _long(kind: bytes, text: bytes) -> bytes:
    text += b"\0"
    return _block(b"././@LongLink", 0o644, 0, len(text), 0, kind, b"") + text + bytes(-len(text) % _BLOCK)


def _block(name: bytes, mode: int, owner: int, size: int, mtime: int, kind: bytes, target: bytes) -> bytes:
    octal_size = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    head = b"%b%07o\0%b%b%011o\0" % (name.ljust(100, b"\0"), mode, _owner(owner), octal_size, mtime)
    tail, tail_sum = _tail(kind, target)
    return b"%b%06o\0 %b" % (head, sum(head) + tail_sum + 8 * 32, tail)


@functools.lru_cache(16)
def _tail(kind: bytes, target: bytes) -> tuple[bytes, int]:
    """Returns the end of a header, and the sum of its bytes. Nearly all headers have the same one, that of a file."""
    tail = kind + target.ljust(100, b"\0") + b"ustar  \0" + bytes(247)
    return tail, sum(tail)


@functools.cache
def _owner(number: int) -> bytes:
    return b"%07o\0%07o\0" % (number, number)
