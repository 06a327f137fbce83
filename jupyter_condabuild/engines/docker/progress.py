"""Reports the steps of a docker build as events, from BuildKit's trace or from the text of the other builders."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.events import Log, Progress, Report
from jupyter_condabuild.oci.engine.builder import Answer
from jupyter_condabuild.oci.engine.trace import Trace, Vertex, VertexLog, VertexStatus
from jupyter_condabuild.text import seconds_text

_INTERVAL = 0.1  # seconds between two reports of progress
_STEP = re.compile(r"\[(?P<stage>\S+) +(?P<number>\d+)/(?P<of>\d+)\] (?P<what>.*)", re.DOTALL)
_TEXT_STEP = re.compile(r"(?:Step|STEP) (?P<number>\d+)/(?P<of>\d+) ?: (?P<what>.*)")
_CACHED_TEXT = re.compile(r"\s*(?:--->|-->) Using cache")
_CACHE_IMPORT = "importing cache manifest"
_DIGEST = re.compile(r"(@sha256:[0-9a-f]{12})[0-9a-f]{52}")
_WIDTH = 150


class Steps:
    """Reports the answers of a builder as lines in the form of ``docker build --progress plain``.

    An object is called with each answer of the builder.

    Attributes:
        cached: all steps by name, each with whether it was CACHED.
        number: the number of steps of the Dockerfile.
    """

    def __init__(self, report: Report, reached: Callable[[int, int], None] = lambda complete, total: None) -> None:
        """Makes an object that also calls `reached` with the number of ended steps and the number of all steps."""
        self._report = report
        self._reached = reached
        self._statuses: dict[str, tuple[int, int]] = {}
        self.number = 0
        self._numbers: dict[str, int] = {}
        self._vertexes: dict[str, Vertex] = {}
        self._partial: dict[str, bytes] = {}
        self._ended: set[str] = set()  # the digests of the vertexes whose end is reported
        self._reported = 0.0
        self.cached: dict[str, bool] = {}
        self._text = b""

    def __call__(self, answer: Answer) -> None:
        if isinstance(answer, str):
            self._text += answer.encode()
            *lines, self._text = re.split(rb"[\r\n]+", self._text)
            for line in lines:
                self._line_of_text(line.decode(errors="replace"))
            return
        self._trace(answer)

    @property
    def layers(self) -> dict[str, bool]:
        """The steps of the last stage by name, each with whether it was CACHED, without the layers of the base."""
        if not any(_STEP.match(name) for name in self.cached):
            names = list(self.cached)
            last = max((number for number, name in enumerate(names) if "FROM " in name), default=-1)
            return {name: self.cached[name] for name in names[last + 1 :]}
        return {name: cached for name, cached in self.cached.items() if _is_layer(name)}

    def _trace(self, trace: Trace) -> None:
        for vertex in trace.vertexes:
            self._vertex(vertex)
        for status in trace.statuses:
            self._status(status)
        for log in trace.logs:
            self._log(log)

    def _vertex(self, vertex: Vertex) -> None:
        known = self._vertexes.get(vertex.digest)
        self._vertexes[vertex.digest] = vertex
        if _STEP.match(vertex.name) and (vertex.completed or vertex.cached):
            self.cached[vertex.name] = vertex.cached
            self._reached(len(self.cached), self.number)
        if (vertex.started is None and not vertex.cached) or vertex.digest in self._ended:
            return
        number = self._number(vertex.digest)
        title = _title(vertex.name)
        if known is None or known.started is None:
            self._say(f"#{number} {title}" + (" CACHED" if vertex.cached else ""))
        elif vertex.cached:
            self._say(f"#{number} CACHED")
        if vertex.error and vertex.name.startswith(_CACHE_IMPORT):
            self._say(f"#{number} no cache is available there ({' '.join(vertex.error.split())})")
        elif vertex.error:
            self._flush(vertex.digest)
            self._say(f"#{number} failed: {vertex.error}", "stderr")
        elif vertex.completed is not None and vertex.started is not None and not vertex.cached:
            self._flush(vertex.digest)
            self._say(f"#{number} done in {seconds_text(vertex.completed - vertex.started)}")
        if vertex.error or vertex.completed is not None or vertex.cached:
            self._ended.add(vertex.digest)

    def _status(self, status: VertexStatus) -> None:
        now = time.monotonic()
        complete, total = self._statuses.get(status.id, (0, status.total))
        if status.total != total or status.current < complete:  # the builder starts such a part again
            return
        self._statuses[status.id] = status.current, total
        if status.total and (now - self._reported >= _INTERVAL or status.completed):
            self._reported = now
            self._report(Progress(scrub(status.id)[:_WIDTH], min(status.current, status.total), status.total))

    def _log(self, log: VertexLog) -> None:
        data = self._partial.pop(log.vertex, b"") + log.data
        *lines, rest = re.split(rb"[\r\n]+", data)
        if rest:
            self._partial[log.vertex] = rest
        for line in lines:
            self._say_line(log.vertex, line, log.stream)

    def _flush(self, vertex: str) -> None:
        if rest := self._partial.pop(vertex, b""):
            self._say_line(vertex, rest, 2)

    def _say_line(self, vertex: str, line: bytes, stream: int) -> None:
        if text := line.decode(errors="replace").rstrip():
            self._say(f"#{self._number(vertex)} {text}", "stderr" if stream == 2 else "stdout")

    def _number(self, vertex: str) -> int:
        return self._numbers.setdefault(vertex, len(self._numbers) + 1)

    def _line_of_text(self, line: str) -> None:
        if step := _TEXT_STEP.match(line):
            self.cached[line.strip()] = False
            self._reached(int(step["number"]) - 1, int(step["of"]))
            self._say(_title(f"[{step['number']}/{step['of']}] {step['what']}"))
        elif _CACHED_TEXT.match(line):
            if self.cached:
                self.cached[list(self.cached)[-1]] = True
            self._say("CACHED")
        elif line.strip():
            self._say(line.rstrip())

    def _say(self, text: str, stream: str = "stdout") -> None:
        self._report(Log(scrub(text), "stderr" if stream == "stderr" else "stdout"))


def _is_layer(name: str) -> bool:
    step = _STEP.match(name)
    return bool(step and step["stage"] != "environment" and not step["what"].startswith("FROM "))


def _title(name: str) -> str:
    line = _DIGEST.sub(r"\1…", " ".join(name.split()))
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
