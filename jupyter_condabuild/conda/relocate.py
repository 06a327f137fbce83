"""Files of the live prefix as they must read at the image's: its path replaced, in text and in binaries.

Source: conda's rule for binaries (conda.core.portability): a path ends at a NUL, and the room it leaves is filled with
NULs, so that the file's length and all offsets stay.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Sequence
from pathlib import Path

Replacement = tuple[bytes, bytes]


def relocated(path: Path | str, replacements: Sequence[Replacement]) -> bytes | None:
    """The file's bytes with every old path replaced by its new one; None where none occurs.

    In a binary, a new path that is longer than the old one is not written: the file stays as it is there. Only files in
    which something is replaced are held in memory. Raises OSError.
    """
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size == 0:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = [(old, new) for old, new in replacements if content.find(old) >= 0]
            if not found:
                return None
            data = content[:]
    binary = b"\0" in data
    for old, new in found:
        data = _in_binary(data, old, new) if binary else data.replace(old, new)
    return data


def _in_binary(data: bytes, old: bytes, new: bytes) -> bytes:
    if len(new) > len(old):
        return data

    def replace(match: re.Match[bytes]) -> bytes:
        text = match[0].replace(old, new)
        return text + bytes(len(match[0]) - len(text))

    return re.sub(re.escape(old) + rb"[^\0]*?(?=\0)", replace, data)


def relocated_target(target: str, replacements: Sequence[Replacement]) -> str:
    """A symlink's target, moved where it is an absolute path below one of the old ones."""
    raw = os.fsencode(target)
    for old, new in replacements:
        if raw == old or raw.startswith(old + b"/"):
            return os.fsdecode(new + raw[len(old) :])
    return target
