"""Decodes BuildKit's trace: the state of the steps of a build while it runs.

The module decodes the protobuf wire format itself, because the trace needs only a few fields of three flat messages.
So no protobuf package is needed.

Source: message StatusResponse in github.com/moby/buildkit, api/services/control/control.proto, in the wire format of
protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jupyter_condabuild.errors import EngineFault

Value = int | bytes


@dataclass(frozen=True)
class Vertex:
    """A step of a build. `started` and `completed` are in seconds since the epoch, or None until they are known."""

    digest: str
    name: str
    cached: bool = False
    started: float | None = None
    completed: float | None = None
    error: str = ""


@dataclass(frozen=True)
class VertexStatus:
    """The progress of a part of a step, such as the download of a layer. `total` is 0 if the total is unknown."""

    vertex: str
    id: str
    current: int = 0
    total: int = 0
    completed: bool = False


@dataclass(frozen=True)
class VertexLog:
    """Output of a step. `data` is not always a whole line. `stream` is 1 for standard output, 2 for standard error."""

    vertex: str
    stream: int
    data: bytes


@dataclass(frozen=True)
class Trace:
    """One message of the trace."""

    vertexes: tuple[Vertex, ...]
    statuses: tuple[VertexStatus, ...]
    logs: tuple[VertexLog, ...]

    @classmethod
    def parse(cls, data: bytes) -> Trace:
        """Decodes a message. Raises EngineFault if the bytes are not a valid message."""
        vertexes, statuses, logs = [], [], []
        try:
            for number, value in _fields(data):
                if not isinstance(value, bytes):
                    continue
                if number == 1:
                    vertexes.append(_vertex(value))
                elif number == 2:
                    statuses.append(_status(value))
                elif number == 3:
                    logs.append(_log(value))
        except (ValueError, IndexError, TypeError, AttributeError):
            raise EngineFault("The engine's report on the build cannot be read.") from None
        return cls(tuple(vertexes), tuple(statuses), tuple(logs))


def _vertex(data: bytes) -> Vertex:
    fields = dict(_fields(data))
    return Vertex(
        _text(fields.get(1)),
        _text(fields.get(3)),
        bool(fields.get(4)),
        _time(fields.get(5)),
        _time(fields.get(6)),
        _text(fields.get(7)),
    )


def _status(data: bytes) -> VertexStatus:
    fields = dict(_fields(data))
    current, total = fields.get(4, 0), fields.get(5, 0)
    if not isinstance(current, int) or not isinstance(total, int):
        raise ValueError(data)
    return VertexStatus(_text(fields.get(2)), _text(fields.get(1)), current, total, 8 in fields)


def _log(data: bytes) -> VertexLog:
    fields = dict(_fields(data))
    stream, message = fields.get(3, 1), fields.get(4, b"")
    if not isinstance(stream, int) or not isinstance(message, bytes):
        raise ValueError(data)
    return VertexLog(_text(fields.get(1)), stream, message)


def _text(value: Value | None) -> str:
    if isinstance(value, int):
        raise ValueError(value)
    return (value or b"").decode(errors="replace")


def _time(value: Value | None) -> float | None:
    """Decodes a google.protobuf.Timestamp (seconds and nanoseconds) to seconds since the epoch."""
    if value is None:
        return None
    if isinstance(value, int):
        raise ValueError(value)
    fields = dict(_fields(value))
    seconds, nanoseconds = fields.get(1, 0), fields.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanoseconds, int):
        raise ValueError(value)
    return seconds + nanoseconds / 1e9


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Yields the number and value of each field of a message. A repeated field yields each of its values."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, position = _varint(data, position)
        if size is None or position + size > len(data):
            raise ValueError(tag)
        yield tag >> 3, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError(position)
