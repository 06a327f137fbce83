"""A look at an environment: what its metadata says and what lies in it, found at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jupyter_condabuild.conda.listing import Listing, listing

if TYPE_CHECKING:
    from jupyter_condabuild.conda.snapshot import Environment


class Look(NamedTuple):
    """`since` is when it began, in seconds as `time.monotonic` has them."""

    environment: Environment
    listing: Listing
    since: float


def look(prefix: Path, since: float, meanwhile: Callable[[], object]) -> Look:
    """Reads the metadata, and calls `meanwhile`, while another process walks over the environment.

    Raises PrefixError.
    """
    found: list[Environment] = []

    def read() -> None:
        from jupyter_condabuild.conda.snapshot import snapshot  # takes long, too

        found.append(snapshot(prefix))
        meanwhile()

    lying = listing(prefix, read)
    return Look(found[0], lying, since)
