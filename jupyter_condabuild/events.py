"""The events of a build, and their form as JSON lines. Only this module writes and reads that form."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, TextIO

from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.warning_codes import meaning_of

PhaseName = Literal["snapshot", "lock", "plan", "base", "link", "layers", "push", "load", "export"]
LayerState = Literal["reused-remote", "reused-local", "built", "pushed", "mounted"]


@dataclass(frozen=True)
class Phase:
    """A phase of the build started or ended. `seconds` is its duration; it is set when `state` is "done"."""

    type: ClassVar[str] = "phase"
    name: PhaseName
    state: Literal["started", "done"]
    seconds: float | None = None


@dataclass(frozen=True)
class Log:
    """A line of the log, without the line end."""

    type: ClassVar[str] = "log"
    text: str
    stream: Literal["stdout", "stderr"] = "stdout"


@dataclass(frozen=True)
class Progress:
    """The progress of a subject: `complete` of `total` units are done.

    `subject` is "build" for the whole job, "verify" for the layers that are verified, or the title of one layer
    or step. For one subject, `total` never changes and `complete` never falls. The subject "build" ends at its total.
    It counts the bytes of what is made, sent, loaded and written (see `progress`).
    """

    type: ClassVar[str] = "progress"
    subject: str
    complete: int
    total: int
    unit: Literal["bytes", "packages"] = "bytes"


@dataclass(frozen=True)
class Layer:
    """A layer reached a state.

    `size` is the compressed size in bytes. `key` is empty for a layer that has no packages of the lock file, such as
    the layers of the base image.
    """

    type: ClassVar[str] = "layer"
    key: str
    packages: tuple[str, ...]
    size: int
    state: LayerState


@dataclass(frozen=True)
class Warning:
    """A problem that does not stop the build, but that the user should know before sharing the image."""

    type: ClassVar[str] = "warning"
    code: str
    message: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """Returns the warning as a JSON object, with the group and the explanation of its code."""
        meaning = meaning_of(self.code)
        return {**asdict(self), "group": meaning.group, "why": meaning.page}


@dataclass(frozen=True)
class Finished:
    """The image is complete.

    `reference` is empty if the image was written only to an archive. `size`, `bytes_pushed` and `stale` are in bytes.
    `environment` is the digest of the lock file, and `command` is the default command of the image. `stale` is the
    size of the layers that later layers replace, in an image that was stacked on an earlier image. For an image that
    was verified, `proved` is the number of parts that were made again and are the same, and `unproved` is the number of
    parts that nothing can be compared with. `signature` and `signer` then say who built the image: see
    `trust.signature`. `proof` says in figures what is proved (see `jobs.proof.verdict`).
    `sent` says where the pushed bytes came from: from the ``base`` image, ``copied`` from another repository, from the
    local ``store``, or ``made`` by this build.
    If the name has images for several platforms, `digest` is that of their index, `images` has the digest of the image
    for each platform, and `shared` is the number of bytes that the images built now save because they share layers.
    `environment` and `command` are then those of the first image.
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
    signature: str = ""
    signer: str = ""
    proof: Mapping[str, Any] | None = None
    sent: Mapping[str, int] | None = None
    images: Mapping[str, str] | None = None
    shared: int = 0


@dataclass(frozen=True)
class Failed:
    """The build ended without an image. `platform` is the one to offer first, if a platform has to be named."""

    type: ClassVar[str] = "failed"
    code: str
    message: str
    hint: str = ""
    platform: str = ""

    @classmethod
    def of(cls, error: CondaBuildError) -> Failed:
        """Returns the event of an error."""
        return cls(error.code, error.message, error.hint, getattr(error, "platform", ""))

    def to_json(self) -> dict[str, str]:
        """Returns the fields as a JSON object. `platform` is there only if it says something."""
        members = {"code": self.code, "message": self.message, "hint": self.hint}
        return {**members, "platform": self.platform} if self.platform else members


@dataclass(frozen=True)
class Cancelled:
    """The user cancelled the build."""

    type: ClassVar[str] = "cancelled"


Event = Phase | Log | Progress | Layer | Warning | Finished | Failed | Cancelled
Report = Callable[[Event], None]


@contextmanager
def phase(report: Report, name: PhaseName, since: float | None = None) -> Iterator[None]:
    """Reports the start of a phase, and its end unless an exception leaves the context.

    Args:
        since: the start of the phase as a value of `time.monotonic`, if the caller has already reported the start.
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
"""The types of the events that end a build."""

_HEAD = re.compile(rb'\{"type": "[a-z]+", "seq": ([0-9]{1,18}),')


def to_json(event: Event, seq: int, at: float) -> dict[str, Any]:
    """Returns an event as a JSON object: `type`, `seq`, `time`, and the fields of the event.

    The first two members are always `type` and `seq`, in this order: `sequence_number` reads them without parsing JSON.

    Args:
        seq: the number of the event in its build, counted from 1.
        at: the time in seconds since the epoch.
    """
    members = event.to_json() if isinstance(event, Warning | Failed) else asdict(event)
    return {"type": event.type, "seq": seq, "time": round(at, 3), **members}


def encode(event: Event, seq: int, at: float) -> str:
    """Returns the JSON object of `to_json` on one line, without the line end."""
    return json.dumps(to_json(event, seq, at), ensure_ascii=False)


def sequence_number(line: bytes) -> int | None:
    """Returns the `seq` of a line that `encode` has written, or None for any other line."""
    head = _HEAD.match(line)
    return int(head[1]) if head else None


def from_json(value: Mapping[str, Any]) -> Event:
    """Returns the event of a JSON object; ignores members that this version does not know.

    Raises ValueError if the object is not an event.
    """
    kind = _TYPES.get(str(value.get("type")))
    if kind is None:
        raise ValueError(f"{str(value.get('type'))[:40]!r} is not the type of an event")
    names = {item.name for item in fields(kind)}
    members: dict[str, Any] = {
        name: tuple(item) if isinstance(item, list) else item for name, item in value.items() if name in names
    }
    try:
        return kind(**members)
    except TypeError as error:
        raise ValueError(str(error)) from None


def log_to(report: Report) -> Callable[[str], None]:
    """Returns a function that reports a text as a line of the log."""
    return lambda text: report(Log(text))


class OnceEach:
    """A `Report` that passes on each warning only once, even if several parts of a job report it. Thread-safe."""

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
    """A `Report` that writes each event as one JSON line. Thread-safe."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._seq = 0
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._seq += 1
            self._out.write(encode(event, self._seq, time.time()) + "\n")
            self._out.flush()
