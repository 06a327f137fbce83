"""A look at an environment: what its metadata says and what lies in it, found at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jupyter_condabuild.conda.prefix.listing import Listing, listing, records
from jupyter_condabuild.conda.prefix.walk import MTIME_NS

if TYPE_CHECKING:
    from jupyter_condabuild.conda.prefix.environment import Environment


class Scan(NamedTuple):
    """`since` is when it began, in seconds as `time.monotonic` has them."""

    environment: Environment
    listing: Listing
    since: float


def scan(prefix: Path, since: float, meanwhile: Callable[[], object]) -> Scan:
    """Reads the metadata, and calls `meanwhile`, while another process walks over the environment.

    What the metadata says is never older than what lies there: a build is remembered by what lies there, and must not
    be taken for that of an environment which somebody changed after the metadata was read.

    Raises PrefixError.
    """
    from jupyter_condabuild.conda.prefix.snapshot import snapshot

    found: list[Environment] = []

    def read() -> None:
        found.append(snapshot(prefix))
        meanwhile()

    begun, before = time.time_ns(), _marks(prefix)
    lying = listing(prefix, read)
    written = any(status and status[MTIME_NS] >= begun for status in lying.statuses.values())
    if written or _marks(prefix) != before:  # somebody is at work in it
        lying = listing(prefix)
        found.append(snapshot(prefix))
    return Scan(found[-1], lying, since)


def _marks(prefix: Path) -> tuple[object, ...]:
    """What an installation or removal changes: conda's records, and the folders of Python's metadata."""
    folders = sorted(prefix.glob("lib/python*/site-packages"))
    return records(prefix), [(str(folder), folder.stat().st_mtime_ns) for folder in folders]
