"""Stamps: digests of the names, sizes and times of files. They show whether files changed, without reading a file."""

from __future__ import annotations

import hashlib
import marshal
import os
from collections.abc import Mapping
from pathlib import Path

from jupyter_condabuild.conda.prefix.listing import Listing, listing, records
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.prefix.walk import DEVICE, Status, status

_COMPARISON = 2
"""Part of every stamp of a package. Raise this number if the comparison finds more, so that it is done again."""


def stamp(folder: Path, contents: Listing | None = None) -> str:
    """Returns a digest (hexadecimal) of the name, size, mode, inode and modification time of every file but bytecode.

    The names of empty folders are included.

    Two equal stamps of a folder mean that no file was written in between, unless someone restored the times on purpose.
    Files that a listing leaves out do not count, except the records of a prefix.

    Args:
        folder: a folder, or one file.
        contents: the listing of the folder, if the caller has one.
    """
    if contents is None and not folder.is_dir():
        return hashlib.sha256(marshal.dumps([_row(folder.name, status(os.stat(folder)))], 2)).hexdigest()
    contents = contents or listing(folder)
    files = [
        (path, found and found[:DEVICE]) for path, found in contents.statuses.items() if "__pycache__/" not in path
    ]
    rows = (files, [_row(*record) for record in contents.records], sorted(contents.empty))
    return hashlib.sha256(marshal.dumps(rows, 2)).hexdigest()  # version 2 has no references: equal rows, equal bytes


def stamp_of(record: PrefixRecord, statuses: Mapping[str, Status | None]) -> str:
    """Returns the same digest of one package: of its files, with links and bytecode, and of its record."""
    files = [(path, (found := statuses.get(path)) and found[:DEVICE]) for path in record.files]
    rows = (_COMPARISON, files, _row(record.dist, status(os.stat(record.source))))
    return hashlib.sha256(marshal.dumps(rows, 2)).hexdigest()


def installation_stamp(prefix: Path) -> str:
    """Returns a digest (hexadecimal) of what every installation and removal of a package changes.

    These are the files of conda-meta, and the times of Python's site-packages folders. It takes a few milliseconds. A
    file that somebody changes in its place does not change this stamp.
    """
    folders = [(str(folder), folder.stat().st_mtime_ns) for folder in sorted(prefix.glob("lib/python*/site-packages"))]
    rows = [_row(name, status) for name, status in records(prefix)]
    return hashlib.sha256(marshal.dumps((rows, folders), 2)).hexdigest()


def _row(path: str, status: Status | None) -> tuple[str | int, ...]:
    return (path, *status[:DEVICE]) if status else (path,)
