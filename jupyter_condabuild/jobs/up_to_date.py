"""Whether the image of a finished build is up to date: then nothing is read, planned or compared again.

The local store keeps a memory of the build under the identity of its request: all that was asked, and the state of
every file that the image was made of. The image is up to date while the registry has it under its name, and the base's
name still means the same base.
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
from jupyter_condabuild.requests.build import BuildRequest, ImageRequest
from jupyter_condabuild.requests.job_context import JobContext

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Memory:
    """A finished build: its last event, its layers and warnings, to be reported again when it is asked for again.

    `base` is the digest that the base's name had; `sources` are the stamps of folders outside of the environment that
    came into the image, those of editable installs.
    """

    finished: Finished
    layers: Sequence[Layer]
    warnings: Sequence[Warning]
    base: str
    sources: Mapping[str, str]

    @classmethod
    def parse(cls, text: bytes) -> Memory | None:
        """The memory that `keep` has written as `text`; None for any other text."""
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
        """Tells of it as of a build that reused everything; returns its last event."""
        for warning in self.warnings:
            report(warning)
        report(Log("Nothing has changed since the last build."))
        for layer in self.layers:
            report(layer)
        last = replace(self.finished, bytes_pushed=0, layers_reused=self.finished.layers, seconds=round(seconds, 3))
        report(last)
        return last


def applies(request: BuildRequest) -> bool:
    """Whether such a build is remembered: its image goes to a registry alone, on a base that lies in a registry."""
    if not request.push or request.load or request.archive or request.engine != "layers":
        return False
    return request.base.kind == "registry"


def identity(request: ImageRequest, listing: Listing | None = None) -> str:
    """Hexadecimal digits, equal for equal requests as long as the files behind the requests are the same.

    Args:
        listing: that of the environment, where there is one already.
    """
    lockfile = request.lockfile.read_bytes() if request.lockfile and request.lockfile.is_file() else b""
    asked = {name: value for name, value in request.to_json().items() if name != "again"}
    parts = [
        json.dumps(asked, sort_keys=True),
        hashlib.sha256(lockfile).hexdigest(),
        stamp(request.prefix, listing) if request.prefix else "",
        *(stamp(folder) for folder in (_PACKAGE, getattr(request, "include", None)) if folder),
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def source_stamps(environment: Environment | None) -> dict[str, str]:
    """The stamps of the folders of editable installs, which lie outside of the environment, by folder.

    To be taken before a build reads the folders: a file that is saved during the build then counts as a change.
    """
    installed = environment.pip if environment else ()
    return {str(one.editable_source): stamp(one.editable_source) for one in installed if one.editable_source}


def keep(
    identity: str,
    result: BuildResult,
    sources: Mapping[str, str],
    layers: Iterable[Layer],
    warnings: Sequence[Warning],
    job: JobContext,
) -> None:
    """Remembers a finished build; raises the StoreErrors.

    Args:
        sources: the stamps of `source_stamps`.
        layers: the events that a later build without changes reports again, as `warnings` are.
    """
    events: list[Event] = [*warnings, *(replace(layer, state="reused-remote") for layer in layers), result.event]
    value = {
        "events": [to_json(event, seq, time.time()) for seq, event in enumerate(events, 1)],
        "base": result.base,
        "sources": dict(sources),
    }
    job.store.keep(identity, json.dumps(value).encode())


def recall(request: BuildRequest, identity: str, job: JobContext) -> Memory | None:
    """The memory of a build whose image is up to date; None where there is none, or a registry does not answer."""
    memory = Memory.parse(job.store.memory(identity))
    if not memory or any(stamp(Path(folder)) != was for folder, was in memory.sources.items()):
        return None
    names = [request.reference, request.base.reference]
    return memory if [_digest(name, job) for name in names] == [memory.finished.digest, memory.base] else None


def _digest(reference: Reference | None, job: JobContext) -> str:
    assert reference
    try:
        found = job.repository(reference, patient=False).head(reference.target)
    except CondaBuildError:  # the build that follows says what is wrong
        return ""
    return str(found.digest) if found else ""
