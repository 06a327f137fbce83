"""The event types of a build, and their form as JSON lines: this module alone writes and reads it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, TextIO

PhaseName = Literal["snapshot", "lock", "plan", "base", "link", "layers", "push", "load", "export"]
LayerState = Literal["reused-remote", "reused-local", "built", "pushed", "mounted"]


@dataclass(frozen=True)
class Phase:
    """A step of the build began or ended; `seconds` is set when it is done."""

    type: ClassVar[str] = "phase"
    name: PhaseName
    state: Literal["started", "done"]
    seconds: float | None = None


@dataclass(frozen=True)
class Log:
    """A line of text for the log, without its line end."""

    type: ClassVar[str] = "log"
    text: str
    stream: Literal["stdout", "stderr"] = "stdout"


@dataclass(frozen=True)
class Progress:
    """`complete` of `total` units of a subject are done ("layers", "push", or a package's name)."""

    type: ClassVar[str] = "progress"
    subject: str
    complete: int
    total: int
    unit: Literal["bytes", "packages"] = "bytes"


@dataclass(frozen=True)
class Layer:
    """A layer reached a state; `size` is its compressed size in bytes, `key` may be empty for the base's layers."""

    type: ClassVar[str] = "layer"
    key: str
    packages: tuple[str, ...]
    size: int
    state: LayerState


@dataclass(frozen=True)
class Warning:
    """Something a person should know before they send the image to anyone."""

    type: ClassVar[str] = "warning"
    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Finished:
    """The image is complete; `reference` is empty where it went to an archive alone.

    `environment` is the lock file's digest, `command` what the image runs by default; `stale` are bytes of layers that
    later ones replace, where the image was stacked on an earlier one. Of an image that was verified, `proved` packages
    or files came out the same again, and `unproved` come from no package.
    """

    type: ClassVar[str] = "finished"
    reference: str
    digest: str
    size: int
    bytes_pushed: int
    layers: int
    layers_reused: int
    seconds: float
    archive: str = ""
    environment: str = ""
    command: tuple[str, ...] = ()
    stale: int = 0
    proved: int = 0
    unproved: int = 0


@dataclass(frozen=True)
class Failed:
    """The build ended without an image."""

    type: ClassVar[str] = "failed"
    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Cancelled:
    """The user ended the build."""

    type: ClassVar[str] = "cancelled"


Event = Phase | Log | Progress | Layer | Warning | Finished | Failed | Cancelled
Report = Callable[[Event], None]


@contextmanager
def phase(report: Report, name: PhaseName, since: float | None = None) -> Iterator[None]:
    """Reports the start of a phase, and its end unless it failed.

    `since` is when one began whose start was reported already, in seconds as `time.monotonic` has them.
    """
    started = time.monotonic() if since is None else since
    if since is None:
        report(Phase(name, "started"))
    yield
    report(Phase(name, "done", round(time.monotonic() - started, 3)))


_TYPES: Mapping[str, type[Event]] = {
    kind.type: kind for kind in (Phase, Log, Progress, Layer, Warning, Finished, Failed, Cancelled)
}
LAST = frozenset((Finished.type, Failed.type, Cancelled.type))
"""The types of the event that ends a build."""

_HEAD = re.compile(rb'\{"type": "[a-z]+", "seq": ([0-9]{1,18}),')


def to_json(event: Event, seq: int, at: float) -> dict[str, Any]:
    """One event as a JSON object: `type`, `seq` (counted from 1), `time` (seconds since the epoch), the event's fields.

    The first two members are always `type` and `seq`, in this order: `sequence_number` reads them without parsing JSON.
    """
    return {"type": event.type, "seq": seq, "time": round(at, 3), **asdict(event)}


def encode(event: Event, seq: int, at: float) -> str:
    """The JSON object of `to_json` on one line, without the line end."""
    return json.dumps(to_json(event, seq, at), ensure_ascii=False)


def sequence_number(line: bytes) -> int | None:
    """The `seq` of a line that `encode` has made; None for any other line."""
    found = _HEAD.match(line)
    return int(found[1]) if found else None


def from_json(value: Mapping[str, Any]) -> Event:
    """The event of a JSON object; members that this version does not know are left out.

    Raises ValueError for an object that is not an event.
    """
    kind = _TYPES.get(str(value.get("type")))
    if kind is None:
        raise ValueError(f"{str(value.get('type'))[:40]!r} is not the type of an event")
    known = {item.name for item in fields(kind)}
    members: dict[str, Any] = {
        name: tuple(item) if isinstance(item, list) else item for name, item in value.items() if name in known
    }
    try:
        return kind(**members)
    except TypeError as error:
        raise ValueError(str(error)) from None


class OnceEach:
    """A `Report` that passes each warning on once in a run, however many parts of a job find it; thread-safe."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._seen: set[Warning] = set()
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Warning):
            with self._lock:
                if event in self._seen:
                    return
                self._seen.add(event)
        self._report(event)


class JsonLines:
    """A `Report` that writes each event as one JSON line; safe to call from several threads."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._seq = 0
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._seq += 1
            self._out.write(encode(event, self._seq, time.time()) + "\n")
            self._out.flush()
