"""The frames of a stream, with the clock of a test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from jupyter_condabuild.server.event_log import Line
from jupyter_condabuild.server.stream import KEEPALIVE, View, frames


class Play:
    """A feed whose time passes only in waits. `scenes` has the actions by the seconds since the start."""

    def __init__(self, *scenes: tuple[float, Callable[[Play], None]]) -> None:
        self.now = 0.0
        self.version = 0
        self.state: dict[str, Any] = {"state": "running", "position": None, "seconds": 0.0}
        self.lines: list[Line] = []
        self.ending: dict[str, Any] | None = None
        self._scenes = list(scenes)

    def say(self, text: str) -> None:
        """Adds an event."""
        seq = len(self.lines) + 1
        self.lines.append(Line(seq, json.dumps({"type": "log", "seq": seq, "text": text}).encode()))

    def end(self) -> None:
        """Ends the build with an event."""
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
        """Returns each frame with its time."""

        async def collect() -> list[tuple[float, str]]:
            return [(self.now, frame.decode()) async for frame in frames(self, seq)]

        return asyncio.run(collect())


def test_an_idle_stream_sends_a_comment_every_15_seconds() -> None:
    """Nothing is sent in between. An event counts like a comment."""
    sent = Play((50.0, lambda play: play.say("a")), (90.0, Play.end)).sent()
    assert [at for at, frame in sent if frame == KEEPALIVE.decode()] == [15.0, 30.0, 45.0, 65.0, 80.0]
    assert [at for at, frame in sent if frame.startswith("id: 1\n")] == [50.0]


def test_the_build_is_sent_first_after_changes_and_last() -> None:
    """A longer duration is no change. After the last event, the ended build is sent, and nothing more."""
    play = Play(
        (1.0, lambda play: play.state.update(position=2)),
        (2.0, lambda play: play.say("a")),
        (3.0, lambda play: play.say("b")),
        (4.0, Play.end),
    )
    names = [frame.partition("\n")[0] for _, frame in play.sent()]
    assert names == ["event: build", "event: build", "id: 1", "id: 2", "id: 3", "event: build"]


def test_an_ended_build_is_replayed_completely() -> None:
    """The replay works from the start and from the middle.

    The ending comes once, even if the build did not write it.
    """
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


def test_every_line_of_a_frame_is_a_field() -> None:
    """Line ends and odd characters in texts stay inside the data."""
    play = Play((1.0, lambda play: play.say("a\nb\r\n\u2028event: x\udc80")), (2.0, Play.end))
    for _, frame in play.sent():
        assert frame.endswith("\n\n")
        for line in frame.removesuffix("\n\n").split("\n"):
            assert line.startswith(("id: ", "data: ", "event: build", ": keepalive"))
