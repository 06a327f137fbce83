"""Shows a build as lines of text, for logs, files and terminals without control sequences."""

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
"""The shortest time between two lines of progress."""

_WIDTH = 1_000_000  # no line is broken
_SLOW = ("base", "layers", "push", "load", "export")
"""The phases whose start is shown, because they can take long."""


class Plain:
    """A `Report` that writes one line for each event, and a line of progress at most every five seconds. Thread-safe.

    Lines for reused layers and for the start of short phases are left out. Warnings that follow one another are shown
    together.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._pen = Pen(stream, colour=False)
        self._clock = clock
        self._tally = Tally()
        self._lock = threading.Lock()
        self._last_output = clock()

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Writes the last warnings."""
        with self._lock:
            self._write(self._tally.warnings(_WIDTH))

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Warning):
                self._tally.warning(event)
            else:
                self._write([*self._tally.warnings(_WIDTH), *self._lines(event)])

    def _write(self, lines: list[Line]) -> None:
        for line in lines:
            self._pen.write(self._pen.paint(line) + "\n")

    def _lines(self, event: Event) -> list[Line]:
        match event:
            case Phase():
                return _line(self._phase(event))
            case Log():
                return _line(f"  {text}" if (text := self._tally.log(event)) else "")
            case Layer():
                self._tally.layer(event)
                is_shown = event.state in ("built", "pushed") and (event.key or event.packages)
                return _line(f"  {event.state} {label(event.packages)}, {size_text(event.size)}" if is_shown else "")
            case Progress():
                return _line(self._progress(event))
            case Warning():
                return []
            case Finished() | Failed() | Cancelled():
                return self._tally.end(event, _WIDTH, "✓" if self._pen.unicode else "*")

    def _phase(self, event: Phase) -> str:
        if event.state == "started":
            self._last_output = self._clock()
            return f"{title(event.name)}: started" if event.name in _SLOW else ""
        counts = self._tally.phase_counts(event.name)
        seconds = f" in {seconds_text(event.seconds)}" if event.seconds is not None else ""
        return f"{title(event.name)}: done{seconds}" + (f" ({counts})" if counts else "")

    def _progress(self, event: Progress) -> str:
        now = self._clock()
        if event.subject not in TOTALS or now - self._last_output < EVERY_SECONDS:
            return ""
        self._last_output = now
        if event.unit == "packages":
            return f"  {clean(event.subject)}: {event.complete} of {event.total} packages"
        if not event.total:
            return f"  {clean(event.subject)}: {size_text(event.complete)}"
        percent = 100 * event.complete // event.total
        return f"  {clean(event.subject)}: {part_text(event.complete, event.total)}, {percent} %"


def _line(text: str) -> list[Line]:
    return [[(text, "")]] if text else []
