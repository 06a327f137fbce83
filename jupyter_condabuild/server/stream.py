"""The server-sent events of a build: the events that the reader has not seen, then new events until the build ends.

For each reader, the server keeps an offset in the events file and one chunk of events in memory. So a slow reader needs
no more memory: the events that it has not received yet stay in the file.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jupyter_condabuild.server.event_log import Line

KEEPALIVE_SECONDS = 15.0
"""Seconds after which an idle stream sends a comment. Proxies close connections that are idle for 60 seconds."""

KEEPALIVE = b": keepalive\n\n"


@dataclass(frozen=True)
class View:
    """The state of a build at one moment: its JSON object for clients, and its last event if it has ended."""

    build: Mapping[str, Any]
    ending: Mapping[str, Any] | None


class Feed(Protocol):
    """The source of a stream: the state and the events of one build.

    `version` changes whenever the build may have changed or written events. `server.builds.BuildFeed` describes the
    other members.
    """

    @property
    def version(self) -> int: ...
    async def view(self) -> View: ...
    async def offset_after(self, seq: int) -> int: ...
    async def read(self, offset: int) -> tuple[Sequence[Line], int]: ...
    async def wait(self, version: int, seconds: float) -> bool:
        """Waits until the version is not `version`. Returns False if `seconds` passed first."""
        ...


async def frames(feed: Feed, seq: int) -> AsyncIterator[bytes]:
    """Yields the frames for a reader that has seen the event `seq` (0: none), until the build has ended.

    The first frame and the last frame are the build. A frame with the build also follows each change of the build.
    """
    offset = await feed.offset_after(seq)
    shown: object = None
    while True:
        version = feed.version
        # Before the events are read: if the view says that the build has ended, all its events are in the file.
        view = await feed.view()
        if (current := _without_seconds(view.build)) != shown:
            if shown is None or view.ending is None:
                yield _build(view)
            shown = current
        while True:
            lines, next_offset = await feed.read(offset)
            if next_offset == offset:
                break
            offset = next_offset
            if lines:
                seq = lines[-1].seq
                yield b"".join(b"id: %d\ndata: %s\n\n" % (line.seq, line.text) for line in lines)
        if view.ending is not None:
            if view.ending["seq"] > seq:
                yield b"id: %d\ndata: %s\n\n" % (view.ending["seq"], _json(view.ending))
            yield _build(view)
            return
        if not await feed.wait(version, KEEPALIVE_SECONDS):
            yield KEEPALIVE


def _build(view: View) -> bytes:
    return b"event: build\ndata: %s\n\n" % _json(view.build)


def _without_seconds(build: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the build without its duration, which changes all the time."""
    return {name: value for name, value in build.items() if name != "seconds"}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
