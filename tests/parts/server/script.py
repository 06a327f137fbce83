"""A build that a test plays: it locks the events file like the process of a build, and writes events of the test."""

from __future__ import annotations

import fcntl
import json
import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from jupyter_condabuild.events import Cancelled, Event, Log, encode
from jupyter_condabuild.server.history import BuildHistory
from jupyter_condabuild.server.process import Workplace
from jupyter_condabuild.system import process_tree
from tests.parts.jobs import build_request

REQUEST = build_request(prefix="/env", archive="/x.tar").to_json()


class Script:
    """A running build in the state folder of a server."""

    def __init__(self, state: Path) -> None:
        self.history = BuildHistory(state / "history.sqlite")
        self.id = secrets.token_hex(8)
        self.history.enter(self.id, self.id, REQUEST, {}, time.time(), 1000)
        while (record := self.history.claim(1000, process_tree.machine(), time.time(), process_tree.uptime())) is None:
            pass
        assert record.id == self.id
        self.place = Workplace(state / "builds" / self.id)
        self.place.prepare(REQUEST)
        self.file = open(self.place.event_log.path, "ab")  # noqa: SIM115
        fcntl.flock(self.file, fcntl.LOCK_EX)
        self.seq = 0

    def __enter__(self) -> Script:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()
        self.history.close()

    def write(self, *events: Event) -> None:
        """Writes some events in one piece."""
        lines = []
        for event in events:
            self.seq += 1
            lines.append(encode(event, self.seq, time.time()) + "\n")
        self.file.write("".join(lines).encode())
        self.file.flush()

    def log(self, count: int) -> None:
        """Writes lines of a log. Each line contains its number."""
        self.write(*(Log(f"line {self.seq + number} " + "x" * (number % 200)) for number in range(1, count + 1)))

    def end(self) -> None:
        """Ends the build's process."""
        self.write(Cancelled())
        self.file.close()


def finished(state: Path, size: int) -> tuple[str, int]:
    """Returns the id and the number of events of an ended build whose log has so many bytes."""
    with Script(state) as script:
        line = json.dumps({"text": "y" * 100, "stream": "stdout"})[1:]
        while script.file.tell() < size:
            first = script.seq + 1
            script.seq += 10_000
            block = (f'{{"type": "log", "seq": {seq}, "time": 1.5, {line}\n' for seq in range(first, script.seq + 1))
            script.file.write("".join(block).encode())
        script.end()
        last: Any = script.place.event_log.last()
        script.history.end(script.id, "cancelled", last, time.time(), 1.0)
        return script.id, script.seq
