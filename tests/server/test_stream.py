"""The frames of a stream, by a clock that is the test's: what is sent when, and when nothing is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from jupyter_condabuild.server.event_log import Line
from jupyter_condabuild.server.stream import KEEPALIVE, View, frames


class Play:
    """A feed whose time passes in waits alone: `scenes` are what happens in each, by seconds since the start."""

    def __init__(self, *scenes: tuple[float, Callable[[Play], None]]) -> None:
        self.now = 0.0
        self.version = 0
        self.state: dict[str, Any] = {"state": "running", "position": None, "seconds": 0.0}
        self.lines: list[Line] = []
        self.ending: dict[str, Any] | None = None
        self._scenes = list(scenes)

    def say(self, text: str) -> None:
        """A new event."""
        seq = len(self.lines) + 1
        self.lines.append(Line(seq, json.dumps({"type": "log", "seq": seq, "text": text}).encode()))

    def end(self) -> None:
        """The build is over, and says so."""
        self.ending = {"type": "cancelled", "seq": len(self.lines) + 1}
        self.state["state"] = "cancelled"

    async def view(self) -> View:
        self.state["seconds"] = self.now
        return View(dict(self.state), self.ending)

    async def offset_after(self, seq: int) -> int:
        return min(seq, len(self.lines))

    async def read(self, offset: int) -> tuple[Sequence[Line], int]:
        found = self.lines[offset : offset + 2]
        return found, offset + len(found)

    async def wait(self, version: int, seconds: float) -> bool:
        assert version == self.version
        if self._scenes and self._scenes[0][0] <= self.now + seconds:
            self.now, act = self._scenes.pop(0)
            act(self)
            self.version += 1
            return True
        self.now += seconds
        return False

    def sent(self, seq: int = 0) -> list[tuple[float, str]]:
        """Each frame, and when it was sent."""

        async def collect() -> list[tuple[float, str]]:
            return [(self.now, frame.decode()) async for frame in frames(self, seq)]

        return asyncio.run(collect())


def test_an_idle_stream_says_something_every_15_seconds() -> None:
    """And nothing in between; an event does as well as a comment."""
    sent = Play((50.0, lambda play: play.say("a")), (90.0, Play.end)).sent()
    assert [at for at, frame in sent if frame == KEEPALIVE.decode()] == [15.0, 30.0, 45.0, 65.0, 80.0]
    assert [at for at, frame in sent if frame.startswith("id: 1\n")] == [50.0]


def test_the_build_comes_first_then_when_it_changes_and_last() -> None:
    """How long it has run is no change; after the last event comes the build as it ended, and nothing more."""
    play = Play(
        (1.0, lambda play: play.state.update(position=2)),
        (2.0, lambda play: play.say("a")),
        (3.0, lambda play: play.say("b")),
        (4.0, Play.end),
    )
    names = [frame.partition("\n")[0] for _, frame in play.sent()]
    assert names == ["event: build", "event: build", "id: 1", "id: 2", "id: 3", "event: build"]


def test_a_build_that_has_ended_is_replayed_whole() -> None:
    """From the start or from the middle; the ending is in it once, whether the build wrote it itself or not."""
    for said_itself in (True, False):
        for seq in range(5):
            play = Play()
            for text in "abc":
                play.say(text)
            play.end()
            if said_itself:
                play.lines.append(Line(4, json.dumps(play.ending).encode()))
            ids = [
                int(line[4:]) for _, frame in play.sent(seq) for line in frame.splitlines() if line.startswith("id: ")
            ]
            assert ids == list(range(seq + 1, 5))


def test_no_frame_has_a_line_that_is_no_field() -> None:
    """Line ends and odd characters in texts stay inside the data."""
    play = Play((1.0, lambda play: play.say("a\nb\r\n\u2028event: x\udc80")), (2.0, Play.end))
    for _, frame in play.sent():
        assert frame.endswith("\n\n")
        for line in frame.removesuffix("\n\n").split("\n"):
            assert line.startswith(("id: ", "data: ", "event: build", ": keepalive"))
