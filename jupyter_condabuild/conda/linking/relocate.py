"""Files of the live prefix as they must read at the image's: its path replaced, in text and in binaries.

Source: conda's rule for binaries (conda.core.portability): a path ends at a NUL, and the room it leaves is filled with
NULs, so that the file's length and all offsets stay.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

Replacement = tuple[bytes, bytes]

CHUNK = 1 << 20
LONGEST = 1 << 16
"""Bytes that a string in a binary may have, its end included."""

# not /opt/env2 or /opt/env.old: these are other places
_END = rb"(?![A-Za-z0-9_\x80-\xff-]|\.[A-Za-z0-9_])"
_LOOK_AHEAD = 2


def relocated(path: Path | str, replacements: Sequence[Replacement], target: Path) -> bool:
    """Writes the file to `target` with every old path replaced by its new one; false, and no target, where none occurs.

    Of paths that begin alike the one that comes first in `replacements` counts. In a binary, a new path that is longer
    than the old one is not written: there the file stays as it is. Memory is some chunks of 1 MiB. Raises OSError.
    """
    with open(path, "rb", buffering=0) as file:
        found, binary = _look(file, [old for old, _ in replacements])
        if binary:
            replacements = [(old, new) for old, new in replacements if len(new) <= len(old)]
        if not found or not replacements:
            return False
        file.seek(0)
        with open(target, "wb") as out:
            for piece in _replace(_chunks(file), dict(replacements), binary):
                out.write(piece)
    return True


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(CHUNK), b"")


def _look(file: BinaryIO, paths: Sequence[bytes]) -> tuple[bool, bool]:
    """Whether one of the paths occurs, and whether the file is a binary, which is not asked where none does."""
    kept = max(map(len, paths)) - 1
    found = binary = False
    rest = b""
    for chunk in _chunks(file):
        data = rest + chunk
        found = found or any(path in data for path in paths)
        binary = binary or b"\0" in chunk
        rest = data[-kept:] if kept else b""
    return found, binary


def _replace(chunks: Iterator[bytes], table: dict[bytes, bytes], binary: bool) -> Iterator[bytes]:
    pattern = re.compile(b"(?:" + b"|".join(map(re.escape, table)) + b")" + _END)
    reach = max(map(len, table)) + _LOOK_AHEAD
    data, last = b"", False
    while not last:
        chunk = next(chunks, b"")
        data, last = data + chunk, not chunk
        done, undecided = 0, len(data) if last else max(0, len(data) - reach)
        for match in pattern.finditer(data):
            start, end = match.span()
            if start < done:
                continue
            if start >= undecided:
                break
            new = table[match[0]]
            if binary:
                end = data.find(b"\0", end)
                if end < 0 and not last and len(data) - start < LONGEST:
                    undecided = start
                    break
                if not 0 <= end <= start + LONGEST:
                    continue
                text = pattern.sub(lambda path: table[path[0]], data[start:end])
                new = text + bytes(end - start - len(text))
            yield data[done:start]
            yield new
            done = end
        undecided = max(done, undecided)
        yield data[done:undecided]
        data = data[undecided:]


def relocated_target(target: str, replacements: Sequence[Replacement]) -> str:
    """A symlink's target, moved where it is an absolute path below one of the old ones."""
    raw = os.fsencode(target)
    for old, new in replacements:
        if raw == old or raw.startswith(old + b"/"):
            return os.fsdecode(new + raw[len(old) :])
    return target
