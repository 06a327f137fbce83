"""Replaces the path of the live prefix with the prefix of the image, in text files and in binary files.

Source: conda's rule for binary files (conda.core.portability): a path ends at a NUL byte, and a shorter new path is
filled up with NUL bytes. So the length of the file and all offsets stay the same. Other than there, a path stays if the
bytes up to the NUL are no text: such a file (a pickle, bytecode) says in another way how long the path is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from jupyter_condabuild.files import open_regular

Replacement = tuple[bytes, bytes]

CHUNK = 1 << 20
LONGEST = 1 << 16
"""The maximum length in bytes of a string in a binary file, with its NUL byte."""

# /opt/env2 and /opt/env.old are other folders than /opt/env
_END = rb"(?![A-Za-z0-9_+~\x80-\xff-]|\.[A-Za-z0-9_])"
_ENDS_UTF_16 = (
    rb"(?![A-Za-z0-9_+~-]\0|\.\0[A-Za-z0-9_]\0)",  # little-endian
    rb"(?!\0[A-Za-z0-9_+~-]|\0\.\0[A-Za-z0-9_])",  # big-endian
)
_LOOK_AHEAD = 4
# /mnt/opt/env is another folder than /opt/env; ../../opt/env and file://localhost/opt/env may be the same
_LONGER = re.compile(rb"/(?!(?:\.+|localhost)\Z)[A-Za-z0-9_.+~@\x80-\xff-]+\Z")
_LONGEST_NAME = 256
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


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
    """Returns whether the file contains one of the paths, and whether the file is binary.

    A file with a NUL byte is binary, except UTF-16 text with a byte order mark.
    """
    overlap = max(map(len, paths)) - 1
    last_names = {re.split(rb"/|%2[Ff]", path)[-1].strip(b"\0") for path in paths}  # few: faster than all paths
    found = binary = wide = False
    rest = b""
    for chunk in _chunks(file):
        data = rest + chunk
        if not found and any(name in data for name in last_names):
            found = any(path in data for path in paths)
        binary = binary or b"\0" in chunk
        wide = wide or (not rest and chunk.startswith(_BYTE_ORDER_MARKS))
        rest = data[-overlap:] if overlap else b""
    return found, binary and not wide


def _pattern(table: Mapping[bytes, bytes]) -> re.Pattern[bytes]:
    ends = {old: _END if b"\0" not in old else _ENDS_UTF_16[old.startswith(b"\0")] for old in table}
    return re.compile(b"|".join(re.escape(old) + end for old, end in ends.items()))


def _replace(chunks: Iterator[bytes], table: dict[bytes, bytes], binary: bool) -> Iterator[bytes]:
    """Yields the content with the paths replaced.

    A match near the end of the data may go on in the next chunk. So the data from `undecided` on waits for that chunk.
    `before` are the bytes before the data.
    """
    pattern = _pattern(table)
    reach = max(map(len, table)) + _LOOK_AHEAD
    data, before, last = b"", b"", False

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
            if _is_longer(match, before):
                continue
            new = table[match[0]]
            if binary:
                end = _end_of_string(data, end, wide=b"\0" in match[0])
                if end < 0 and not last and len(data) - start < LONGEST:
                    undecided = start
                    break
                if not 0 <= end <= start + LONGEST or not _is_text(data[start:end], wide=b"\0" in match[0]):
                    continue
                text = pattern.sub(lambda path: path[0] if _is_longer(path) else table[path[0]], data[start:end])
                new = text + bytes(end - start - len(text))
            yield data[done:start]
            yield new
            done = end
        undecided = max(done, undecided)
        yield data[done:undecided]
        before = (before + data[:undecided])[-_LONGEST_NAME:]
        data = data[undecided:]


def _is_longer(match: re.Match[bytes], before: bytes = b"") -> bool:
    """Whether a match is a part of a longer path, to another folder. `before` are the bytes before the string."""
    start = match.start()
    above = match.string[max(0, start - _LONGEST_NAME) : start]
    return _LONGER.search((before if start < _LONGEST_NAME else b"") + above) is not None


def _end_of_string(data: bytes, end: int, *, wide: bool) -> int:
    """Returns the position of the NUL that ends a string; -1 if there is none. `wide`: in UTF-16, it has two bytes."""
    start = end
    while (end := data.find(b"\0\0" if wide else b"\0", end)) >= 0 and wide and (end - start) % 2:
        end += 1
    return end


def _is_text(string: bytes, *, wide: bool) -> bool:
    return _NO_TEXT.search(string.replace(b"\0", b"") if wide else string) is None


def relocated_target(target: str, replacements: Sequence[Replacement]) -> str:
    """Returns the target of a symbolic link, with an old path at its start replaced by the new path."""
    raw = os.fsencode(target)
    for old, new in replacements:
        if raw == old or raw.startswith(old + b"/"):
            return os.fsdecode(new + raw[len(old) :])
    return target


def relocated_text(text: str, replacements: Sequence[Replacement]) -> str:
    """Returns a text with every old path replaced by the new path; see `relocated`."""
    if not replacements:
        return text
    return os.fsdecode(b"".join(_replace(iter([os.fsencode(text)]), dict(replacements), binary=False)))
