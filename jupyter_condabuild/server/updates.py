"""The updates of several builds in one short answer, so that a browser needs no connection for each build.

Browsers open six connections to a host, for all of its windows together. A stream for each build would take them all,
and JupyterLab could save nothing until a build ends.
Source: https://developer.mozilla.org/en-US/docs/Web/API/EventSource ("when not used over HTTP/2")
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from jupyter_condabuild.errors import BadRequest, NotThere
from jupyter_condabuild.server.stream import Feed

MAX_BYTES = 512 << 10
"""About the bytes of events in one answer. A reader asks again for the rest."""

MAX_BUILDS = 100
"""The builds whose events one request may ask for."""

_AFTER = re.compile(r"([0-9a-f]{16}):([0-9]{1,18})", re.ASCII)


def after(values: Sequence[str]) -> dict[str, int]:
    """Parses the parameters `after` of the route: the number of the last event that the reader has, by build.

    Raises BadRequest.
    """
    if len(values) > MAX_BUILDS:
        raise BadRequest(f"after may name {MAX_BUILDS} builds at most, and it names {len(values)}.")
    seqs: dict[str, int] = {}
    for value in values:
        match = _AFTER.fullmatch(value)
        if not match:
            raise BadRequest(f"after must be ID:SEQ, the id of a build and the number of an event: {value[:100]!a}.")
        seqs[match[1]] = int(match[2])
    return seqs


async def updates(seqs: Mapping[str, int], feed_of: Callable[[str], Awaitable[Feed]]) -> AsyncIterator[dict[str, Any]]:
    """Yields the object `Update` of openapi.yaml for each build.

    Args:
        seqs: the number of the last event that the reader has, by build; 0 for none.
        feed_of: returns the feed of a build. Raises NotThere.
    """
    room = MAX_BYTES
    for id, seq in seqs.items():
        try:
            update, used = await _update(id, seq, await feed_of(id), room)
        except NotThere:
            update, used = {"id": id, "state": "gone", "build": None, "events": []}, 0
        room -= used
        yield update


async def _update(id: str, seq: int, feed: Feed, room: int) -> tuple[dict[str, Any], int]:
    """Returns the update of one build, and the bytes of its events: about `room` at most."""
    # Before the events are read: if the view says that the build has ended, all its events are in the file.
    view = await feed.view()
    events: list[Any] = []
    used, offset = 0, await feed.offset_after(seq) if room > 0 else 0
    while used < room:
        lines, next_offset = await feed.read(offset)
        if next_offset == offset:
            break
        used += next_offset - offset
        offset = next_offset
        events += [event for line in lines if (event := _parsed(line.text))]
    seq = events[-1]["seq"] if events else seq
    update = {"id": id, "state": "waiting", "build": view.build, "events": events}
    if used >= room:
        return {**update, "state": "more"}, used
    if view.ending is None:
        return update, used
    if view.ending["seq"] > seq:
        events.append(dict(view.ending))
    return {**update, "state": "complete"}, used


def _parsed(text: bytes) -> dict[str, Any] | None:
    """Returns the event of a line; None if a build that was killed wrote only a part of it."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
