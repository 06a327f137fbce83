"""Server-sent events of a build: replayed from where the reader was, then as they happen, until the build has ended.

A reader holds a place in the events file and what is read of it at once, nothing more, however slow it is: what it has
not taken yet stays in the file. Source: html.spec.whatwg.org "Server-sent events".
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jupyter_condabuild.server.event_log import Line

KEEPALIVE_SECONDS = 15.0
"""Proxies end connections that are idle for a minute."""

KEEPALIVE = b": keepalive\n\n"


@dataclass(frozen=True)
class View:
    """A build at one moment: what clients see of it, and its last event once it has ended."""

    build: Mapping[str, Any]
    ending: Mapping[str, Any] | None


class Feed(Protocol):
    """What a stream reads from; `version` changes whenever there may be something new."""

    @property
    def version(self) -> int: ...
    async def view(self) -> View: ...
    async def offset_after(self, seq: int) -> int: ...
    async def read(self, offset: int) -> tuple[Sequence[Line], int]: ...
    async def wait(self, version: int, seconds: float) -> bool:
        """Until the version is another one (True), or so many seconds have passed (False)."""
        ...


async def frames(feed: Feed, seq: int) -> AsyncIterator[bytes]:
    """What to send to a reader that has seen the event `seq` (0: none), piece by piece."""
    offset = await feed.offset_after(seq)
    shown: object = None
    while True:
        version = feed.version
        view = await feed.view()  # before the events: what ended a build is in them once it shows as ended
        if (now := _lasting(view.build)) != shown:
            if shown is None or view.ending is None:
                yield _build(view)
            shown = now
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


def _lasting(build: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is worth telling when it changes."""
    return {name: value for name, value in build.items() if name != "seconds"}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
