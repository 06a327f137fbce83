"""The stream of a build's events loses and repeats no event, for any number of reconnects."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_condabuild.server import supervisor
from tests.parts.server.script import Script
from tests.server.conftest import LIMIT, Api, Message, parsed


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a build without a server is accepted at once."""
    monkeypatch.setattr(supervisor, "STRANGER_SECONDS", 0.0)


@pytest.fixture
def script(api: Api) -> Iterator[Script]:
    """A running build without events."""
    with Script(Path(api.app.data_dir) / "condabuild") as script:
        yield script


def log_of(messages: list[Message]) -> list[tuple[str, str]]:
    """Returns ids and texts of the log's lines."""
    return [(one.id, one.data["text"].rstrip("x")) for one in messages if one.data.get("type") == "log"]


def lines(first: int, last: int) -> list[tuple[str, str]]:
    """Returns the result of `log_of` for these lines."""
    return [(str(seq), f"line {seq} ") for seq in range(first, last + 1)]


async def test_a_stream_that_is_cut_200_times_is_complete(api: Api, script: Script) -> None:
    """Each reader continues after its last id, while the build writes. Every line comes once, in order."""
    chance = random.Random(7)
    received: list[Message] = []
    script.log(1)
    for _ in range(200):
        script.log(25)
        last = int(received[-1].id) if received else None
        async with api.stream(script.id, last) as reader:
            data = await asyncio.wait_for(reader.readexactly(chance.randrange(1, 4000)), LIMIT)
        body = asyncio.StreamReader()
        body.feed_data(data.partition(b"\r\n\r\n")[2])
        body.feed_eof()
        received += [message async for message in parsed(body) if message.id]
    script.end()
    received += [message async for message in api.messages(script.id, int(received[-1].id)) if message.id]
    assert log_of(received) == lines(1, 5001)
    assert received[-1].data["type"] == "cancelled"
    assert [int(message.id) for message in received] == list(range(1, 5003))


async def test_a_hundred_readers_get_the_same_lines(api: Api, script: Script) -> None:
    """Readers start early or late, at the start or in the middle. Each gets every line once, and the end."""

    async def read(last: int | None) -> list[Message]:
        return [message async for message in api.messages(script.id, last)]

    script.log(500)
    starts = [None, 0, 250, 499, 500] * 20
    readers = [asyncio.ensure_future(read(start)) for start in starts[:50]]
    for _ in range(20):
        script.log(25)
        await asyncio.sleep(0)
    readers += [asyncio.ensure_future(read(start)) for start in starts[50:]]
    script.end()
    for start, messages in zip(starts, await asyncio.gather(*readers), strict=True):
        assert log_of(messages) == lines((start or 0) + 1, 1000)
        assert messages[-2].data["type"] == "cancelled"
        assert (messages[0].event, messages[-1].event) == ("build", "build")
        assert messages[-1].data["state"] == "cancelled"


async def test_a_reader_neither_starts_nor_stops_a_build(api: Api, script: Script) -> None:
    """Readers come and go. The build and the list of builds do not change."""
    script.log(3)
    before = (await api("GET", "condabuild/builds")).json["builds"]
    for _ in range(20):
        async with api.stream(script.id) as reader:
            await reader.readuntil(b"id: 3")
    after = (await api("GET", "condabuild/builds")).json["builds"]
    assert [(build["id"], build["state"]) for build in after] == [(build["id"], build["state"]) for build in before]
    assert script.place.is_locked
    script.end()
    assert (await api.ended(script.id))["state"] == "cancelled"


async def test_a_reader_at_the_end_is_told_to_stop(api: Api, script: Script) -> None:
    """An ended stream can be read again from any id. From its end, the status is 204. An invalid id counts as 0."""
    script.log(3)
    script.end()
    await api.ended(script.id)
    path = f"condabuild/builds/{script.id}/events"
    for last in ("4", "5", "999999"):
        answer = await api("GET", path, headers={**api.headers, "Last-Event-ID": last})
        assert (answer.status, answer.body) == (204, b""), last
    for last, first in (("3", 4), ("0", 1), ("x", 1), ("-1", 1), ("9" * 40, 1)):
        answer = await api("GET", path, headers={**api.headers, "Last-Event-ID": last})
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-cache, no-transform"
        assert answer.body.split(b"\n\n")[1].startswith(b"id: %d\n" % first), last


async def test_partial_lines_wait_for_their_end(api: Api, script: Script) -> None:
    """A partial line is not sent. A partial line of a killed process is never sent, and the end follows."""
    script.log(1)
    async with api.stream(script.id) as reader:
        await reader.readuntil(b"line 1 ")
        script.file.write(b'{"type": "log", "seq": 2, "time": 1.0, "text": "half')
        script.file.flush()
        script.file.write(b' and half", "stream": "stdout"}\n{"type": "log", "seq": 3, "ti')
        script.file.flush()
        await reader.readuntil(b"half and half")
        script.file.close()
        rest = await asyncio.wait_for(reader.read(), LIMIT)
    assert b'id: 3\ndata: {"type": "failed"' in rest
    assert rest.count(b"id: ") == 1
    build = (await api("GET", f"condabuild/builds/{script.id}")).json
    assert (build["state"], build["error"]["code"]) == ("interrupted", "interrupted")
