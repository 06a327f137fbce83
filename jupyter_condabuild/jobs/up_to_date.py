"""Finds out whether the image of a finished build is up to date. If it is, a build reads, plans and compares nothing.

The local store keeps a record of the build under the identity of its request. The identity covers all options, and the
state of every file that the image was made of. The image is up to date if the registry has this image under its name,
and the base's name has the same digest as before.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.fingerprint import stamp
from jupyter_condabuild.conda.prefix.listing import Listing
from jupyter_condabuild.engines.result import BuildResult
from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.events import Event, Finished, Layer, Log, Report, Warning, from_json, to_json
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.planning.own_files.ignore_files import rules_above
from jupyter_condabuild.requests.build import BuildRequest, ImageRequest
from jupyter_condabuild.requests.job_context import JobContext

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Memory:
    """The record of a finished build: its last event, its layers and its warnings, which a later build reports again.

    `base` is the digest that the base's name had. `sources` maps the folders of editable installs, which are outside of
    the environment, to their stamps.
    """

    finished: Finished
    layers: Sequence[Layer]
    warnings: Sequence[Warning]
    base: str
    sources: Mapping[str, str]

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
        last = replace(self.finished, bytes_pushed=0, layers_reused=self.finished.layers, seconds=round(seconds, 3))
        report(last)
        return last


def applies(request: BuildRequest) -> bool:
    """Whether such builds are recorded: the layers engine makes the image, a registry is its only destination, and its
    base is in a registry.
    """
    if not request.push or request.load or request.archive or request.engine != "layers":
        return False
    return request.base.kind == "registry"


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
        *(stamp(folder) for folder in (_PACKAGE, getattr(request, "include", None)) if folder),
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def source_stamps(environment: Environment | None) -> dict[str, str]:
    """Returns the stamps of the folders of editable installs, which are outside of the environment, by folder.

    Call this before a build reads the folders, so that a file that is saved during the build counts as a change.
    """
    installed = environment.pip if environment else ()
    return {str(item.editable_source): _stamp(item.editable_source) for item in installed if item.editable_source}


def _stamp(source: Path) -> str:
    """Returns the stamp of the folder of an editable install and of the ignore files above it."""
    rules = [file.read_bytes() for file in rules_above(source)]
    return "".join([stamp(source), *(hashlib.sha256(rule).hexdigest() for rule in rules)])


def keep(
    identity: str,
    result: BuildResult,
    sources: Mapping[str, str],
    layers: Iterable[Layer],
    warnings: Sequence[Warning],
    job: JobContext,
) -> None:
    """Writes the record of a finished build to the store. Raises StoreError.

    Args:
        sources: the stamps that `source_stamps` returned.
        layers: the layers that a later build without changes reports again.
        warnings: the warnings that a later build without changes reports again.
    """
    events: list[Event] = [*warnings, *(replace(layer, state="reused-remote") for layer in layers), result.event]
    value = {
        "events": [to_json(event, seq, time.time()) for seq, event in enumerate(events, 1)],
        "base": result.base,
        "sources": dict(sources),
    }
    job.store.keep(identity, json.dumps(value).encode())


def recall(request: BuildRequest, identity: str, job: JobContext) -> Memory | None:
    """Returns the record of a build whose image is up to date; None without one, or if a registry does not answer."""
    memory = Memory.parse(job.store.memory(identity))
    if not memory or any(_stamp(Path(folder)) != before for folder, before in memory.sources.items()):
        return None
    names = [request.reference, request.base.reference]
    return memory if [_digest(name, job) for name in names] == [memory.finished.digest, memory.base] else None


def _digest(reference: Reference | None, job: JobContext) -> str:
    assert reference
    try:
        descriptor = job.repository(reference, patient=False).head(reference.target)
    except CondaBuildError:  # the build that follows reports the error
        return ""
    return str(descriptor.digest) if descriptor else ""
