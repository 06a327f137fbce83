"""Finds out whether the image of a finished build is up to date. If it is, a build reads, plans and compares nothing.

The local store keeps a record of the build under the identity of its request. The identity covers all options, and the
state of every file that the image was made of. The image is up to date if the registry has this image under its name,
and the base's name has the same digest as before.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from jupyter_condabuild.conda.prefix.fingerprint import stamp
from jupyter_condabuild.conda.prefix.listing import Listing
from jupyter_condabuild.conda.prefix.walk import MODE
from jupyter_condabuild.distribution.layer_index import current_digest
from jupyter_condabuild.engines.result import BuildResult
from jupyter_condabuild.events import Event, Finished, Layer, Log, Report, Warning, from_json, to_json
from jupyter_condabuild.planning.identity import source_stamp
from jupyter_condabuild.planning.own_files.outside_files import watched_places
from jupyter_condabuild.planning.scan import Scan
from jupyter_condabuild.requests.build import BuildRequest, ImageRequest
from jupyter_condabuild.requests.job_context import JobContext

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Memory:
    """The record of a finished build: its last event, its layers and its warnings, which a later build reports again.

    `base` is the digest that the base's name had. `sources` maps the files and folders outside of the environment that
    the image has, as those of editable installs, to their stamps. `outside` maps all other places outside of the
    environment that it uses to marks (see `_mark`).
    """

    finished: Finished
    layers: Sequence[Layer]
    warnings: Sequence[Warning]
    base: str
    sources: Mapping[str, str]
    outside: Mapping[str, str]

    @classmethod
    def parse(cls, text: bytes) -> Memory | None:
        """Returns the record that `keep` wrote as `text`. Returns None if `text` is not such a record."""
        try:
            value = json.loads(text)
            events = [from_json(event) for event in value["events"]]
            (finished,) = (event for event in events if isinstance(event, Finished))
            return cls(
                finished,
                [event for event in events if isinstance(event, Layer)],
                [event for event in events if isinstance(event, Warning)],
                str(value["base"]),
                dict(value["sources"]),
                dict(value["outside"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def report(self, report: Report, seconds: float) -> Finished:
        """Reports the record as a build that reused every layer. Returns the last event."""
        for warning in self.warnings:
            report(warning)
        report(Log("Nothing has changed since the last build."))
        for layer in self.layers:
            report(layer)
        last = replace(
            self.finished, bytes_pushed=0, layers_reused=self.finished.layers, seconds=round(seconds, 3), sent=None
        )
        report(last)
        return last


def applies(request: BuildRequest) -> bool:
    """Whether such builds are recorded: the layers engine makes the image, a registry is its only destination, its base
    is in a registry, and no packages of Debian are added, of which the mirror may have newer ones.
    """
    if not request.push or request.load or request.archive or request.engine != "layers":
        return False
    return request.base.kind == "registry" and not request.apt


def identity(request: ImageRequest, listing: Listing | None = None) -> str:
    """Returns a hexadecimal digest of a request. It is equal for equal requests as long as their files are the same.

    Args:
        listing: the listing of the environment, if it exists already.
    """
    lockfile = request.lockfile.read_bytes() if request.lockfile and request.lockfile.is_file() else b""
    options = {name: value for name, value in request.to_json().items() if name != "again"}
    parts = [
        json.dumps(options, sort_keys=True),
        hashlib.sha256(lockfile).hexdigest(),
        stamp(request.prefix, listing) if request.prefix else "",
        *(stamp(path) for path in (_PACKAGE, getattr(request, "include", None)) if path),
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


class Outside(NamedTuple):
    """The state of the files outside of an environment, as `Memory` has it."""

    sources: Mapping[str, str]
    places: Mapping[str, str]


def outside(request: BuildRequest, scan: Scan | None) -> Outside:
    """Returns the state of the files outside of the environment that it uses.

    Call this before a build reads them, so that a file that is saved during the build counts as a change.
    """
    if scan is None:
        return Outside({}, {})
    environment = scan.environment
    sources = {item.editable_source: True for item in environment.pip if item.editable_source}
    statuses = scan.listing.statuses if request.include_outside else {}
    links = [path for path, status in statuses.items() if status and stat.S_ISLNK(status[MODE])]
    places = watched_places(request, environment, links) | sources
    return Outside(
        {str(path): source_stamp(path) for path, taken in places.items() if taken},
        {str(path): _mark(path) for path, taken in places.items() if not taken},
    )


def _mark(place: Path) -> str:
    """Returns a text that changes when packages are installed in a folder or removed, or the folder itself is."""
    try:
        pth = sorted(file for file in os.listdir(place) if file.endswith(".pth"))
        return str([os.stat(path).st_mtime_ns for path in (place, *(place / file for file in pth))])
    except OSError:
        return "absent" if not os.path.lexists(place) else "present"


def keep(
    identity: str,
    result: BuildResult,
    outside: Outside,
    layers: Iterable[Layer],
    warnings: Sequence[Warning],
    job: JobContext,
) -> None:
    """Writes the record of a finished build to the store. Raises StoreError.

    Args:
        outside: the state before the build.
        layers: the layers that a later build without changes reports again.
        warnings: the warnings that a later build without changes reports again.
    """
    events: list[Event] = [*warnings, *(replace(layer, state="reused-remote") for layer in layers), result.event]
    value = {
        "events": [to_json(event, seq, time.time()) for seq, event in enumerate(events, 1)],
        "base": result.base,
        "sources": dict(outside.sources),
        "outside": dict(outside.places),
    }
    job.store.keep(identity, json.dumps(value).encode())


def recall(request: BuildRequest, identity: str, job: JobContext) -> Memory | None:
    """Returns the record of a build whose image is up to date; None without one, or if a registry does not answer."""
    memory = Memory.parse(job.store.memory(identity))
    if not memory or any(source_stamp(Path(folder)) != before for folder, before in memory.sources.items()):
        return None
    if any(_mark(Path(place)) != before for place, before in memory.outside.items()):
        return None
    names = [request.reference, request.base.reference]
    current = [current_digest(name, job) or "" for name in names]
    return memory if current == [memory.finished.digest, memory.base] else None
