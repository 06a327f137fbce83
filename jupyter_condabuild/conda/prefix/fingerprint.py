"""Whether a folder's files changed since they were last looked at: names, sizes and times, without reading a file."""

from __future__ import annotations

import hashlib
import marshal
import os
from collections.abc import Mapping
from pathlib import Path

from jupyter_condabuild.conda.prefix.listing import Listing, listing
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.prefix.walk import DEVICE, Status, status


def stamp(folder: Path, lying: Listing | None = None) -> str:
    """A digest of every file's name, size, mode, inode and time of change, bytecode aside; hexadecimal.

    Equal stamps of a folder mean that nobody wrote to it in between, unless they took pains to hide it. What a listing
    leaves out does not count, but the records of a prefix do. `lying` is the folder's listing, where there is one.
    """
    found = lying or listing(folder)
    rows = [_row(path, status) for path, status in found.statuses.items() if "__pycache__/" not in path]
    rows += [_row(name, status) for name, status in found.records]
    return hashlib.sha256(marshal.dumps(rows, 2)).hexdigest()  # version 2 has no references: equal rows, equal bytes


def stamp_of(record: PrefixRecord, statuses: Mapping[str, Status | None]) -> str:
    """The same of one package's files, links and bytecode included, and of its record."""
    rows = [_row(path, statuses.get(path)) for path in record.files]
    rows.append(_row(record.dist, status(os.stat(record.source))))
    return hashlib.sha256(marshal.dumps(rows, 2)).hexdigest()


def _row(path: str, status: Status | None) -> tuple[str | int, ...]:
    return (path, *status[:DEVICE]) if status else (path,)
