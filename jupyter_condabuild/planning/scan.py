"""The scan of an environment: its metadata and the listing of its files, read at the same time."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from jupyter_condabuild.conda.prefix.fingerprint import installation_stamp
from jupyter_condabuild.conda.prefix.listing import Listing, Walk, listing
from jupyter_condabuild.conda.prefix.walk import MTIME_NS

if TYPE_CHECKING:
    from jupyter_condabuild.conda.prefix.environment import Environment


_CLOCK_TICK_NS = 1_000_000_000
"""The kernel gives files the time of its last clock tick, which comes late on a busy machine. In nanoseconds."""


class Scan(NamedTuple):
    """The result of a scan. `since` is the time of its start, in seconds of `time.monotonic`."""

    environment: Environment
    listing: Listing
    since: float


class Scanner:
    """A scan of an environment that has begun: another process walks over it. A context manager.

    If the environment changes during the scan, its metadata and its files are read again, so that the metadata is never
    older than the listing. The reason: `jobs.up_to_date` finds an earlier build by the listing. An image that was made
    from older metadata must not count as the image of the changed environment.
    """

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        self.since = time.monotonic()
        self._started_ns, self._before = time.time_ns() - _CLOCK_TICK_NS, installation_stamp(prefix)
        self._walk = Walk(prefix)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._walk.__exit__(*error)

    def scan(self, meanwhile: Iterable[object], without: Collection[str] = ()) -> Scan:
        """Reads the metadata of the environment, and waits for the end of the walk.

        Args:
            meanwhile: its items are taken after the metadata is read, until the walk is done.
            without: the names of editable installs to leave out.

        Raises PrefixError.
        """
        from jupyter_condabuild.conda.prefix.snapshot import snapshot

        environments: list[Environment] = []

        def read() -> Iterator[object]:
            environments.append(snapshot(self._prefix, without))
            yield None
            yield from meanwhile

        files = self._walk.listing(read())
        written = any(status and status[MTIME_NS] >= self._started_ns for status in files.statuses.values())
        if written or installation_stamp(self._prefix) != self._before:  # the environment changed during the scan
            files = listing(self._prefix)
            environments.append(snapshot(self._prefix, without))
        return Scan(environments[-1], files, self.since)
