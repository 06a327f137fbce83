"""What a build came to, and whether it still stands: then nothing has to be read, planned or compared again.

A memory in the store belongs to the identity of a request: all that was asked, and the state of every file that the
image was made of. It stands while the registry has the image under its name, and the base's name the same base.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_condabuild.conda.fingerprint import stamp
from jupyter_condabuild.conda.listing import Listing
from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.events import Event, Finished, Layer, Log, Report, Warning, from_json, to_json
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registry import open_registry
from jupyter_condabuild.oci.retry import Patience
from jupyter_condabuild.requests.build import BuildRequest

_PACKAGE = Path(__file__).parents[1]
_ELSEWHERE = ("oci-archive", "docker-archive", "oci", "docker-daemon")


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


def may_stand(request: BuildRequest) -> bool:
    """Whether there can be a memory of such a request: of one whose image goes to a registry and is on a base there."""
    if not request.push or request.load or request.archive or request.engine != "layers":
        return False
    return not request.base.startswith(tuple(f"{kind}:" for kind in _ELSEWHERE))


def identity(request: BuildRequest, lying: Listing | None = None) -> str:
    """The same for the same request, as hexadecimal digits, as long as the files behind it are the same.

    `lying` is the listing of the environment, where there is one already.
    """
    lockfile = Path(request.lockfile).read_bytes() if request.lockfile and Path(request.lockfile).is_file() else b""
    parts = [
        json.dumps(replace(request, again=False).to_json(), sort_keys=True),
        hashlib.sha256(lockfile).hexdigest(),
        stamp(Path(request.prefix), lying) if request.prefix else "",
        *(stamp(Path(folder)) for folder in (str(_PACKAGE), request.include) if folder),
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def keep(
    request: BuildRequest,
    identity: str,
    finished: Finished,
    layers: Iterable[Layer],
    warnings: Sequence[Warning],
    base: str,
    sources: Iterable[str],
) -> None:
    """Remembers a finished build; raises the StoreErrors."""
    events: list[Event] = [*warnings, *(replace(layer, state="reused-remote") for layer in layers), finished]
    value = {
        "events": [to_json(event, seq, time.time()) for seq, event in enumerate(events, 1)],
        "base": base,
        "sources": {folder: stamp(Path(folder)) for folder in sources},
    }
    with Store(Path(request.store_dir)) as store:
        store.keep(identity, json.dumps(value).encode())


def remembered(request: BuildRequest, identity: str) -> Memory | None:
    """The memory of a request that still stands; None where there is none, or a registry will not tell."""
    with Store(Path(request.store_dir)) as store:
        memory = Memory.parse(store.memory(identity))
    if not memory or any(stamp(Path(folder)) != was for folder, was in memory.sources.items()):
        return None
    with ExitStack() as stack:
        there = [_digest(name, request, stack) for name in (request.reference, request.base)]
    return memory if there == [memory.finished.digest, memory.base] else None


def _digest(name: str, request: BuildRequest, stack: ExitStack) -> str:
    reference = Reference.parse(name)
    patience = Patience(attempts=1)
    registry = stack.enter_context(open_registry(reference, request.insecure_registries, patience=patience))
    try:
        found = registry.repository(reference.repository).head(reference.target)
    except CondaBuildError:  # the build says what is wrong
        return ""
    return str(found.digest) if found else ""
