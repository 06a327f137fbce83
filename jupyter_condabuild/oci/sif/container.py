"""The SIF format: a header, descriptors, and data objects: a definition, JSON documents, and one file system.

Source: github.com/apptainer/sif pkg/sif, version 01 of the format: all numbers are little-endian.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_condabuild.errors import BadImage

ALIGNMENT = 4096
"""A file system begins at a multiple of this number of bytes."""

_LAUNCH = b"#!/usr/bin/env run-singularity\n"
_HEADER = struct.Struct("<32s10s3s3s16sqqqqqqqq")
_DESCRIPTOR = struct.Struct("<i?IIIqqqqqqq128s384s")
_CAPACITY = 48
"""The number of descriptors for which Apptainer's own files have place: a signature is added later."""

DEFINITION, PARTITION, JSON = 0x4001, 0x4004, 0x4006
_GROUP = 0xF0000000 | 1
_SQUASHFS, _PRIMARY = 1, 2
_ARCHITECTURES = {
    "386": b"01",
    "amd64": b"02",
    "arm": b"03",
    "arm64": b"04",
    "ppc64": b"05",
    "ppc64le": b"06",
    "mips": b"07",
    "mipsle": b"08",
    "mips64": b"09",
    "mips64le": b"10",
    "s390x": b"11",
    "riscv64": b"12",
    "loong64": b"13",
}
"""The codes of processors, by their GOARCH names."""


@dataclass(frozen=True)
class Document:
    """A data object before the file system: its type (`DEFINITION` or `JSON`), its name and its bytes."""

    kind: int
    name: str
    data: bytes


def architecture(name: str) -> bytes:
    """Returns the code of a processor. Raises BadImage if the format has none for it.

    Args:
        name: the GOARCH name, such as ``amd64``.
    """
    if name not in _ARCHITECTURES:
        raise BadImage(f"A SIF cannot be for the processor {name[:40]!r}.", "Write an OCI archive: -o FILE.tar.")
    return _ARCHITECTURES[name] + b"\0"


def head(documents: Sequence[Document], size: int, processor: bytes, identity: bytes, time: int) -> bytes:
    """Returns the bytes of a SIF that come before its file system.

    Args:
        size: the size of the file system in bytes.
        processor: the code of the processor (see `architecture`).
        identity: 16 bytes that identify the SIF.
        time: the time of the SIF and of its objects, in seconds since the epoch.
    """
    start = ALIGNMENT + _CAPACITY * _DESCRIPTOR.size
    offset, descriptors = start, []
    for number, one in enumerate(documents, 1):
        length = len(one.data)
        descriptors.append(_descriptor(one.kind, number, (offset, length, length), time, one.name))
        offset += length
    padding = -offset % ALIGNMENT
    place = (offset + padding, size, size + padding)
    system = struct.pack("<ii3s", _SQUASHFS, _PRIMARY, processor)
    descriptors.append(_descriptor(PARTITION, len(documents) + 1, place, time, "", system))
    header = _HEADER.pack(
        _LAUNCH,
        b"SIF_MAGIC",
        b"01",
        processor,
        uuid.UUID(bytes=identity).bytes,
        time,
        time,
        _CAPACITY - len(descriptors),
        _CAPACITY,
        ALIGNMENT,
        _CAPACITY * _DESCRIPTOR.size,
        start,
        offset + padding + size - start,
    )
    table = b"".join(descriptors).ljust(_CAPACITY * _DESCRIPTOR.size, b"\0")
    data = b"".join(one.data for one in documents)
    return header.ljust(ALIGNMENT, b"\0") + table + data + bytes(padding)


def _descriptor(kind: int, number: int, place: tuple[int, int, int], time: int, name: str, extra: bytes = b"") -> bytes:
    """Returns a descriptor. `place` is the object's offset, its size, and its size with the bytes of its alignment."""
    return _DESCRIPTOR.pack(kind, True, number, _GROUP, 0, *place, time, time, 0, 0, name.encode(), extra)
