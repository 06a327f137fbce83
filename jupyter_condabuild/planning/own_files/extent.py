"""Extent: the number and the total size of the files below a path, up to a limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jupyter_condabuild.text import counted, size_text

MOST_FILES = 20_000
"""The number of files after which the files of a folder are not counted further: it may be a disk full of data."""


class Extent(NamedTuple):
    """The number of files and their total size in bytes. If there are more files, `complete` is False."""

    files: int
    bytes: int
    complete: bool

    @classmethod
    def of(cls, path: Path, most: int = MOST_FILES) -> Extent:
        """Returns the extent of a file, or of a folder without the environments in it. It counts `most` files."""
        count = size = 0
        for file in _files(path):
            if count >= most:
                return cls(count, size, False)
            try:
                size += file.lstat().st_size
            except OSError:
                continue
            count += 1
        return cls(count, size, True)

    def __str__(self) -> str:
        text = f"{counted(self.files, 'file')}, {size_text(self.bytes)}"
        return text if self.complete else f"more than {text}"


def _files(path: Path) -> Iterator[Path]:
    if not os.path.isdir(path):
        yield path
        return
    for parent, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not os.path.isdir(os.path.join(parent, name, "conda-meta"))]
        yield from (Path(parent, name) for name in names)
