"""Files to one deterministic layer: tar, gzip, digest and diff_id in one pass over the bytes.

Entries come out in the order given, owned by 0:0 unless said otherwise, in GNU tar format, whose long names may be any
bytes. Source: OCI image-spec layer.md; GNU tar manual, "Basic Tar Format"; RFC 1952 for gzip.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from jupyter_condabuild.errors import BadImage, ContentMismatch
from jupyter_condabuild.oci.image import OCI_LAYER_GZIP, Descriptor, Digest

WRITER_VERSION = 2
"""Part of every layer key: to be raised whenever the same files would be written as other bytes."""

EPOCH = 315532800
"""The modification time of every entry that has none of its own: 1980-01-01, the first that zip files can hold."""

CHUNK = 1 << 20
_BLOCK = 512
_RECORD = 20 * _BLOCK
_TYPES = {"file": b"0", "whiteout": b"0", "symlink": b"2", "directory": b"5"}
_WHITEOUT = ".wh."


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a layer.

    `path` is relative to the image's root, as os.fsdecode gives it. `kind` is file, symlink, directory or, for a path
    of a lower layer that is no more, whiteout. A file's bytes are those of `source`, a path on this machine, or `data`;
    `sha256` (hexadecimal) makes the writer check them. `mtime` is in seconds since the epoch. Where there is a `size`,
    only so many bytes of `source` are meant, from `offset` on.
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


@dataclass(frozen=True)
class LayerBlob:
    """A written layer: descriptor of the compressed bytes, diff_id of the tar, and the tar's size in bytes."""

    descriptor: Descriptor
    diff_id: Digest
    tar_size: int


def with_parents(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries sorted by path, each parent directory once before what is in it, always with the same header.

    A parent that differed from layer to layer, by its time or mode, would make equal packages unequal layers. Of
    several entries for one path the last counts, but where something lies in it a path is a folder.
    """
    last = {entry.path: entry for entry in entries}
    parents = {parent for path in last for parent in _parents(path)}
    for path in parents:
        if path not in last or last[path].kind != "directory":
            last[path] = Entry(path, "directory", 0o755)
    yield from sorted(last.values(), key=lambda entry: os.fsencode(entry.path))


def _parents(path: str) -> Iterator[str]:
    while (slash := path.rfind("/")) > 0:
        path = path[:slash]
        yield path


def file_entry(path: str, source: str, *, sha256: str = "", mtime: int = EPOCH) -> Entry:
    """An entry for what lies at `source`: a symlink, a directory, or a file with mode 0755 or 0644 by its x bit.

    Raises OSError when it cannot be read, and ContentMismatch when it is a device, socket or pipe, or anything but a
    file where `sha256` says that it should be one.
    """
    mode = os.lstat(source).st_mode
    if sha256 and not stat.S_ISREG(mode):
        raise ContentMismatch(f"{source} is not the file that the package came with.")
    if stat.S_ISLNK(mode):
        return Entry(path, "symlink", 0o777, target=os.readlink(source))
    if stat.S_ISDIR(mode):
        return Entry(path, "directory", 0o755)
    if not stat.S_ISREG(mode):
        raise ContentMismatch(f"{source} is neither file, folder nor link.", "Remove it, or move it out of the way.")
    return Entry(path, "file", 0o755 if mode & 0o111 else 0o644, mtime, source, sha256=sha256)


def write(
    entries: Iterable[Entry], out: BinaryIO, level: int = 1, progress: Callable[[int], None] | None = None
) -> LayerBlob:
    """Writes a gzip-compressed layer to `out` and returns what it is.

    `level` is isal's compression level, 0 to 3. `progress` is told the tar bytes written since the last call. Memory is
    a few chunks of 1 MiB whatever the files' sizes. Raises OSError, ContentMismatch when a file cannot be read, is not
    what its sha256 says or changes while it is read, and BadImage for a name that no image can hold.
    """
    sink = _Sink(out, level, progress or (lambda count: None))
    for entry in with_parents(entries):
        if entry.kind == "file":
            _write_file(entry, sink)
        else:
            sink.add(_header(entry, 0))
    sink.add(bytes(2 * _BLOCK))
    return sink.finish()


class _Sink:
    """Collects tar bytes into large chunks; hashes, compresses, hashes again, writes."""

    def __init__(self, out: BinaryIO, level: int, progress: Callable[[int], None]) -> None:
        from isal import isal_zlib  # not needed by those who only read layers

        self._out = out
        self._progress = progress
        self._compressor = isal_zlib.compressobj(level, isal_zlib.DEFLATED, 31)
        self._diff_id = hashlib.sha256()
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self._size = 0
        self._tar_size = 0

    def add(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= CHUNK:
            self.flush()

    def flush(self) -> None:
        chunk, self._buffer = self._buffer, bytearray()
        self._diff_id.update(chunk)
        self._tar_size += len(chunk)
        self._put(self._compressor.compress(chunk))
        self._progress(len(chunk))

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._size += len(data)
        self._out.write(data)

    @property
    def position(self) -> int:
        return self._tar_size + len(self._buffer)

    def finish(self) -> LayerBlob:
        self.add(bytes(-self.position % _RECORD))
        self.flush()
        self._put(self._compressor.flush())
        self._out.flush()
        descriptor = Descriptor(OCI_LAYER_GZIP, Digest(self._digest.hexdigest()), self._size)
        return LayerBlob(descriptor, Digest(self._diff_id.hexdigest()), self._tar_size)


def _write_file(entry: Entry, sink: _Sink) -> None:
    if not entry.source:
        sink.add(_header(entry, len(entry.data)))
        sink.add(entry.data)
        sink.add(bytes(-len(entry.data) % _BLOCK))
        return
    content = hashlib.sha256() if entry.sha256 else None
    try:
        descriptor = os.open(entry.source, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise ContentMismatch(f"{entry.source} cannot be read.", "Make it readable, or remove it.") from None
    try:
        size = left = os.fstat(descriptor).st_size if entry.size is None else entry.size
        if entry.offset:
            os.lseek(descriptor, entry.offset, os.SEEK_SET)
        sink.add(_header(entry, size))
        while left:
            chunk = os.read(descriptor, min(left, CHUNK))
            if not chunk:
                raise ContentMismatch(f"{entry.source} became shorter while it was read.", "Try again.")
            if content:
                content.update(chunk)
            sink.add(chunk)
            left -= len(chunk)
    finally:
        os.close(descriptor)
    sink.add(bytes(-size % _BLOCK))
    if content and content.hexdigest() != entry.sha256:
        raise ContentMismatch(f"{entry.source} is not the file that the package came with.")


def _header(entry: Entry, size: int) -> bytes:
    """The header block of an entry, after blocks for a name or link target of more than 100 bytes."""
    name = os.fsencode(_name(entry)) + (b"/" if entry.kind == "directory" else b"")
    target = os.fsencode(entry.target)
    extra = b""
    if len(target) > 100:
        extra += _long(b"K", target)
    if len(name) > 100:
        extra += _long(b"L", name)
    kind = _TYPES[entry.kind]
    return extra + _block(name[:100], entry.mode, entry.owner, size, entry.mtime, kind, target[:100])


def _name(entry: Entry) -> str:
    """The path, a whiteout's marked as one (layer.md, "Whiteouts"); a real file of such a name would delete another."""
    folder, slash, name = entry.path.rpartition("/")
    if entry.kind == "whiteout":
        return f"{folder}{slash}{_WHITEOUT}{name}"
    if name.startswith(_WHITEOUT):
        raise BadImage(
            f"/{entry.path} cannot be in an image: a name that begins with {_WHITEOUT} means that a file is deleted.",
            "Rename the file, or remove it.",
        )
    return entry.path


def _long(kind: bytes, text: bytes) -> bytes:
    text += b"\0"
    return _block(b"././@LongLink", 0o644, 0, len(text), 0, kind, b"") + text + bytes(-len(text) % _BLOCK)


def _block(name: bytes, mode: int, owner: int, size: int, mtime: int, kind: bytes, target: bytes) -> bytes:
    octal_size = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    head = b"%b%07o\0%b%b%011o\0" % (name.ljust(100, b"\0"), mode, _owner(owner), octal_size, mtime)
    tail = kind + target.ljust(100, b"\0") + b"ustar  \0" + bytes(247)
    checksum = sum(head) + sum(tail) + 8 * 32
    return head + b"%06o\0 " % checksum + tail


@functools.cache
def _owner(number: int) -> bytes:
    return b"%07o\0%07o\0" % (number, number)
