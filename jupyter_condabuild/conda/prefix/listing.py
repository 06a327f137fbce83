"""Listing: every path of a prefix and its file status, from one walk."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jupyter_condabuild.conda.prefix import walk
from jupyter_condabuild.conda.prefix.walk import Status


class Listing(NamedTuple):
    """All paths of a prefix that are not folders, relative to the prefix.

    A path may contain any bytes, decoded with `os.fsdecode`. `statuses` maps each path to its file status, or to None
    if the status is not available. `unlisted` are the folders that cannot be read. `nested` are the environments inside
    this one. The listing contains no path below these folders. `empty` are the folders without content. `records` are
    the names and statuses of the files in conda-meta, as they were before the walk.
    """

    statuses: Mapping[str, Status | None]
    unlisted: Sequence[str]
    nested: Sequence[str]
    empty: Sequence[str]
    records: Sequence[tuple[str, Status]]

    def of_macos(self, recorded: Iterable[str]) -> Listing:
        """Returns the listing with the names that records have: HFS+ lists another form of accents than was written."""
        import unicodedata  # only environments of macOS need it

        here = {unicodedata.normalize("NFC", path): path for path in self.statuses if not path.isascii()}
        if not here:
            return self
        statuses = dict(self.statuses)
        for path in recorded:
            if not path.isascii() and path not in statuses:
                listed = here.get(unicodedata.normalize("NFC", path))
                if listed in statuses:
                    statuses[path] = statuses.pop(listed)
        return self._replace(statuses=statuses)


def listing(prefix: Path, meanwhile: Iterator[object] | None = None) -> Listing:
    """Walks over a prefix as `walk.walk` does.

    Args:
        meanwhile: if given, another process walks, and this process takes items from `meanwhile` at the same time: the
            first item in any case, and the next ones until the walk is done. If the other process fails, this process
            walks.
    """
    before = records(prefix)
    output = _walk_in_process(prefix, meanwhile) if meanwhile else b""
    statuses, unlisted, nested, empty = marshal.loads(output) if output else walk.walk(str(prefix))  # noqa: S302  our own data
    return Listing(statuses, unlisted, nested, empty, before)


def records(prefix: Path) -> list[tuple[str, Status]]:
    """Returns the names and statuses of the files in conda-meta, sorted by name; empty if there is no such folder."""
    try:
        with os.scandir(prefix / "conda-meta") as entries:
            return sorted((entry.name, walk.status(entry.stat())) for entry in entries)
    except OSError:
        return []


def _walk_in_process(prefix: Path, meanwhile: Iterator[object]) -> bytes:
    """Returns the output of the walk as a program, or no bytes if the program failed."""
    command = [sys.executable, "-I", "-S", "-B", walk.__file__, str(prefix)]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        next(meanwhile, None)
        return b""
    output = bytearray()

    def read() -> None:
        assert process.stdout
        output.extend(process.stdout.read())

    reader = threading.Thread(target=read, name="walk")
    with process:
        try:
            reader.start()
            for _ in meanwhile:
                if not reader.is_alive():
                    break
        except BaseException:
            process.kill()  # the walk over a large folder may take long
            raise
        finally:
            if reader.ident:
                reader.join()
    return b"" if process.returncode else bytes(output)
