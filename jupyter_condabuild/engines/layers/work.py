"""The work of a build with the layers engine: what is made, sent, loaded and written, in bytes, for its progress."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from jupyter_condabuild.distribution.destinations import Destination
from jupyter_condabuild.image.base import Base
from jupyter_condabuild.image.layers import OVERLAY, ReadyLayer
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.progress import EXPORTING, LOADING, making, sending
from jupyter_condabuild.requests.build import BuildRequest

CONFIGURATION = 30_000
"""The usual size of a configuration in bytes."""

_RATIO = 0.4
"""The usual ratio of compressed bytes to bytes of files. Progress needs no better estimate: see `forecast`."""


def work(
    request: BuildRequest,
    inputs: Inputs,
    base: Base,
    destination: Destination,
    missing: Sequence[PlannedLayer],
    found: Mapping[str, ReadyLayer],
) -> dict[str, int]:
    """Returns the items of a build (see `progress.JobProgress`), with their sizes in bytes.

    Args:
        missing: the package layers that are made.
        found: the other package layers, by key.
    """
    present = destination.index.present
    made = {layer.key: max(layer.size, 1) for layer in missing} | dict(_own(request, inputs))
    items = {making(name): size for name, size in made.items()}
    if request.push:
        items |= {sending(name): size for name, size in made.items()}
        known = {str(layer.digest): layer for layer in base.layers}
        known |= {key: ready.descriptor for key, ready in found.items()}
        items |= {sending(name): blob.size for name, blob in known.items() if blob.digest not in present}
        if items:
            items[sending("configuration")] = CONFIGURATION
    size = sum(made.values()) + sum(ready.descriptor.size for ready in found.values())
    size += sum(layer.size for layer in base.layers)
    if request.load and not destination.of_several:
        items[LOADING] = size
    if request.archive and not destination.of_several:
        items[EXPORTING] = size
    return items


def _own(request: BuildRequest, inputs: Inputs) -> Iterator[tuple[str, int]]:
    """Yields the titles of the layers with the user's own files, and their approximate sizes in bytes."""
    source = inputs.carried or inputs
    environment, drift = source.environment, source.drift
    if environment and drift is not None and (drift or environment.pip):
        prefix = environment.prefix
        size = sum(entry.size for entry in (*drift.untracked, *drift.modified))
        size += sum(_size(f"{prefix}/{name}") for item in environment.pip for name in item.files)
        size += sum(_size(f"{folder}/{name}") for folder, names in inputs.own.sources.items() for name in names)
        yield OVERLAY, max(int(size * _RATIO), 1)
    if request.include:
        folder = request.include.resolve()
        root = folder if folder.is_dir() else folder.parent
        size = sum(_size(f"{root}/{name}") for name in inputs.own.included)
        yield f"files of {folder.name}", max(int(size * _RATIO), 1)


def _size(path: str) -> int:
    with suppress(OSError):
        return os.lstat(path).st_size
    return 0
