"""The files and folders about which a person can choose whether the image gets them, as JSON objects."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.prefix.drift import Drift
from jupyter_condabuild.conda.prefix.drift_report import DriftEntry
from jupyter_condabuild.conda.prefix.outside import distributions_in
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.planning.own_files.extent import MOST_FILES, Extent
from jupyter_condabuild.planning.own_files.outside_files import OutsideFiles
from jupyter_condabuild.text import as_unicode

MOST_PATHS = 1000
"""The highest number of paths that are listed for each kind of drift. All paths are counted."""


def choices(inputs: Inputs) -> dict[str, Any]:
    """Returns the members of a snapshot about what the environment has besides its packages."""
    drift, own = inputs.described[1] or Drift(), inputs.own
    sources = [DriftEntry(str(path), size) for path, size in own.excluded.items()]
    return {
        "drift": _drift(drift),
        "editables": list(_editables(inputs)),
        "excluded": _paths([*drift.excluded, *sources]),
        "credentials": [as_unicode(str(path)) for path in own.left_out[:MOST_PATHS]],
        "secrets": [
            {"path": as_unicode(str(found.path)), "line": found.line, "kind": found.kind} for found in own.findings
        ],
        "outside": list(_outside(own.outside)),
    }


def _editables(inputs: Inputs) -> Iterator[dict[str, Any]]:
    """Yields the editable installs, first those that go into the image."""
    environment, _ = inputs.described
    for state, items in (("taken", environment.pip), ("excluded", environment.left_out)) if environment else ():
        for item in items:
            if item.editable_source:
                names = inputs.own.sources.get(item.editable_source, ())
                yield {
                    "name": item.package.name,
                    "path": as_unicode(str(item.editable_source)),
                    "state": state,
                    "files": len(names),
                    "bytes": sum(_size(item.editable_source / name) for name in names),
                }


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _outside(outside: OutsideFiles) -> Iterator[dict[str, Any]]:
    """Yields the places outside of the environment. At most `MOST_FILES` files are counted in all of them together."""
    taken = [item.place for item in outside.taken]
    rest = MOST_FILES
    for state, places in (("left", outside.left), ("taken", taken), ("excluded", outside.excluded)):
        for place in places[:MOST_PATHS]:
            extent = Extent.of(place.path, rest)
            rest -= extent.files
            yield {
                "path": as_unicode(str(place.path)),
                "kind": place.kind,
                "source": as_unicode(place.source),
                "link": as_unicode(place.link),
                "state": state,
                "files": extent.files,
                "bytes": extent.bytes,
                "complete": extent.complete,
                "packages": [f"{item.package.name} {item.package.version}" for item in distributions_in(place)],
            }


def _drift(drift: Drift) -> dict[str, Any]:
    return {
        "modified": _paths(drift.modified),
        "missing": _paths(drift.missing),
        "untracked": _paths(drift.untracked),
        "empty": _paths([DriftEntry(path, kind="directory") for path in drift.empty]),
    }


def _paths(entries: Sequence[DriftEntry]) -> dict[str, Any]:
    return {
        "count": len(entries),
        "bytes": sum(entry.size for entry in entries),
        "first": [
            {"path": as_unicode(entry.path), "size": entry.size, "package": entry.package}
            for entry in entries[:MOST_PATHS]
        ],
    }
