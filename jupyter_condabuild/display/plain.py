"""A build as lines of text, for logs, files and terminals that can do no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TextIO

from jupyter_condabuild.display.tally import TOTALS, Line, Tally, label, title
from jupyter_condabuild.display.text import Pen, clean
from jupyter_condabuild.events import Cancelled, Event, Failed, Finished, Layer, Log, Phase, Progress, Warning
from jupyter_condabuild.text import part_text, seconds_text, size_text

EVERY_SECONDS = 5.0
_WIDTH = 1_000_000
_SLOW = ("base", "layers", "push", "load", "export")


class Plain:
    """A `Report` that writes a line for what has happened, and one of progress every five seconds at most."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._pen = Pen(stream, colour=False)
        self._clock = clock
        self._tally = Tally()
        self._lock = threading.Lock()
        self._spoke = clock()

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is left to write; here so that both displays are used alike."""

    def __call__(self, event: Event) -> None:
        with self._lock:
            for line in self._lines(event):
                self._pen.write(self._pen.paint(line) + "\n")

    def _lines(self, event: Event) -> list[Line]:
        match event:
            case Phase():
                return _line(self._phase(event))
            case Log():
                return _line(f"  {text}" if (text := self._tally.log(event)) else "")
            case Layer():
                self._tally.layer(event)
                made = event.state in ("built", "pushed") and (event.key or event.packages)
                return _line(f"  {event.state} {label(event.packages)}, {size_text(event.size)}" if made else "")
            case Progress():
                return _line(self._progress(event))
            case Warning():
                return self._tally.warning(event, _WIDTH)
            case Finished() | Failed() | Cancelled():
                return self._tally.end(event, _WIDTH, "✓" if self._pen.unicode else "*")

    def _phase(self, event: Phase) -> str:
        if event.state == "started":
            self._spoke = self._clock()
            return f"{title(event.name)}: started" if event.name in _SLOW else ""
        counts = self._tally.phase_counts(event.name)
        seconds = f" in {seconds_text(event.seconds)}" if event.seconds is not None else ""
        return f"{title(event.name)}: done{seconds}" + (f" ({counts})" if counts else "")

    def _progress(self, event: Progress) -> str:
        now = self._clock()
        if event.subject not in TOTALS or now - self._spoke < EVERY_SECONDS:
            return ""
        self._spoke = now
        if event.unit == "packages":
            return f"  {clean(event.subject)}: {event.complete} of {event.total} packages"
        if not event.total:
            return f"  {clean(event.subject)}: {size_text(event.complete)}"
        percent = 100 * event.complete // event.total
        return f"  {clean(event.subject)}: {part_text(event.complete, event.total)}, {percent} %"


def _line(text: str) -> list[Line]:
    return [[(text, "")]] if text else []
