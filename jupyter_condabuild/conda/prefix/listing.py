"""Listing: every path of a prefix and its file status, from one walk."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

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


def listing(prefix: Path) -> Listing:
    """Walks over a prefix as `walk.walk` does."""
    before = records(prefix)
    return Listing(*walk.walk(str(prefix)), before)


class Walk:
    """A walk over a prefix that another process does. A context manager: the process does not outlive it.

    The process begins at once. If it cannot, or fails, this process walks.
    """

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        self._records = records(prefix)
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError):
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", walk.__file__, str(prefix)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            with self._process:
                self._process.kill()  # the walk over a large folder may take long

    def listing(self, meanwhile: Iterator[object]) -> Listing:
        """Waits for the end of the walk.

        Args:
            meanwhile: its items are taken while the other process walks: the first item in any case, and the next ones
                until the walk is done.
        """
        output = self._output(meanwhile)
        if not output:
            return listing(self._prefix)
        statuses, unlisted, nested, empty = marshal.loads(output)  # noqa: S302  our own data
        return Listing(statuses, unlisted, nested, empty, self._records)

    def _output(self, meanwhile: Iterator[object]) -> bytes:
        """Returns what the other process has written, or no bytes if it failed."""
        process, output = self._process, bytearray()
        if not process:
            next(meanwhile, None)
            return b""

        def read() -> None:
            assert process.stdout
            output.extend(process.stdout.read())

        reader = threading.Thread(target=read, name="walk")
        try:
            reader.start()
            for _ in meanwhile:
                if not reader.is_alive():
                    break
        except BaseException:
            process.kill()
            raise
        finally:
            if reader.ident:
                reader.join()
        return b"" if process.wait() else bytes(output)


def records(prefix: Path) -> list[tuple[str, Status]]:
    """Returns the names and statuses of the files in conda-meta, sorted by name; empty if there is no such folder."""
    try:
        with os.scandir(prefix / "conda-meta") as entries:
            return sorted((entry.name, walk.status(entry.stat())) for entry in entries)
    except OSError:
        return []
