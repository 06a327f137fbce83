"""Listing: what lies in a prefix, every path and its status, found in one walk."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jupyter_condabuild.conda.prefix import walk
from jupyter_condabuild.conda.prefix.walk import Status


class Listing(NamedTuple):
    """The paths of a prefix but folders, relative to it (any bytes, as `os.fsdecode` has them).

    `statuses` are None where there is none to be had. `unlisted` are folders that cannot be read, `nested`
    environments inside this one, both without what is in them. `records` are the files in conda-meta, by name, as they
    were before the walk.
    """

    statuses: Mapping[str, Status | None]
    unlisted: Sequence[str]
    nested: Sequence[str]
    records: Sequence[tuple[str, Status]]


def listing(prefix: Path, meanwhile: Callable[[], object] | None = None) -> Listing:
    """Walks a prefix as `walk.walk` does; with `meanwhile`, in another process while that is called here."""
    found = records(prefix)
    answer = _walked_beside(prefix, meanwhile) if meanwhile else b""
    statuses, unlisted, nested = marshal.loads(answer) if answer else walk.walk(str(prefix))  # noqa: S302  our own
    return Listing(statuses, unlisted, nested, found)


def records(prefix: Path) -> list[tuple[str, Status]]:
    """The files in conda-meta, sorted by name; none where there is no such folder."""
    try:
        with os.scandir(prefix / "conda-meta") as entries:
            return sorted((entry.name, walk.status(entry.stat())) for entry in entries)
    except OSError:
        return []


def _walked_beside(prefix: Path, meanwhile: Callable[[], object]) -> bytes:
    """What the walk says as a program; nothing where it could not be run."""
    command = [sys.executable, "-I", "-S", "-B", walk.__file__, str(prefix)]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        meanwhile()
        return b""
    with process:
        assert process.stdout
        try:
            meanwhile()
            answer = process.stdout.read()
        except BaseException:
            process.kill()  # it may be walking over a whole machine
            raise
    return b"" if process.returncode else answer
