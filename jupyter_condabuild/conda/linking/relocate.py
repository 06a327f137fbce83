"""Replaces the path of the live prefix with the prefix of the image, in text files and in binary files.

Source: conda's rule for binary files (conda.core.portability): a path ends at a NUL byte, and a shorter new path is
filled up with NUL bytes. So the length of the file and all offsets stay the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from jupyter_condabuild.files import open_regular

Replacement = tuple[bytes, bytes]

CHUNK = 1 << 20
LONGEST = 1 << 16
"""The maximum length in bytes of a string in a binary file, with its NUL byte."""

# /opt/env2 and /opt/env.old are other folders than /opt/env
_END = rb"(?![A-Za-z0-9_\x80-\xff-]|\.[A-Za-z0-9_])"
_LOOK_AHEAD = 2


def relocated(path: Path | str, replacements: Sequence[Replacement], target: Path) -> bool:
    """Writes the file to `target` with every old path replaced by the new path.

    In a binary file, an old path stays if the new path is longer. The function holds a few chunks of 1 MiB in memory.

    Args:
        replacements: pairs of an old and a new path. If several old paths match at one place, the first pair is used.

    Returns False if there is nothing to replace. Then `target` is not written.

    Raises OSError.
    """
    with open(open_regular(path), "rb", buffering=0) as file:
        found, binary = _examine(file, [old for old, _ in replacements])
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


def _examine(file: BinaryIO, paths: Sequence[bytes]) -> tuple[bool, bool]:
    """Returns whether the file contains one of the paths, and whether the file is binary (contains a NUL byte)."""
    overlap = max(map(len, paths)) - 1
    found = binary = False
    rest = b""
    for chunk in _chunks(file):
        data = rest + chunk
        found = found or any(path in data for path in paths)
        binary = binary or b"\0" in chunk
        rest = data[-overlap:] if overlap else b""
    return found, binary


def _replace(chunks: Iterator[bytes], table: dict[bytes, bytes], binary: bool) -> Iterator[bytes]:
    """Yields the content with the paths replaced.

    A match near the end of the data may go on in the next chunk. So the data from `undecided` on waits for that chunk.
    """
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
    """Returns the target of a symbolic link, with an old path at its start replaced by the new path."""
    raw = os.fsencode(target)
    for old, new in replacements:
        if raw == old or raw.startswith(old + b"/"):
            return os.fsdecode(new + raw[len(old) :])
    return target
