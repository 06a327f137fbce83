"""Shows a build live on a terminal: finished phases scroll up, and running phases are redrawn at the bottom.

Source: ECMA-48 for CUU, EL and ED; xterm's control sequences for the visibility of the cursor (DECTCEM).
"""

from __future__ import annotations

import atexit
import math
import os
import threading
import time
from collections.abc import Callable
from typing import TextIO

from jupyter_condabuild.display.meter import Meter
from jupyter_condabuild.display.tally import TOTALS, WIDEST, Line, Tally, title
from jupyter_condabuild.display.text import CYAN, DIM, GREEN, RED, Pen, clean, columns, cut, pad
from jupyter_condabuild.events import Cancelled, Event, Failed, Finished, Layer, Log, Phase, Progress, Warning
from jupyter_condabuild.text import part_text, seconds_text, size_text

FRAME_SECONDS = 0.1
"""The time between two frames."""

MOST_LAYERS = 8
"""The highest number of layers that have a line of their own."""

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_LINE_END, _SCREEN_END = "\x1b[K", "\x1b[J"
_SMALLEST_BAR, _LARGEST_BAR = 6, 30


class Terminal:
    """A `Report` that redraws a few lines at the bottom of the terminal from its own thread.

    It is a context manager: its end restores the terminal, even after an exception.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic, *, ticking: bool = True) -> None:
        """Starts the thread that draws.

        Args:
            stream: a terminal.
            clock: returns a monotonic time in seconds.
            ticking: whether a thread draws the frames; otherwise the caller calls `draw`.
        """
        self._stream = stream
        self._pen = Pen(stream, colour=True)
        self._clock = clock
        self._tally = Tally()
        self._phases: dict[str, float] = {}
        self._meters: dict[str, Meter] = {}
        self._log = ""
        self._scrolled: list[Line] = []
        self._drawn: list[int] = []
        self._frames = 0
        self._closed = False
        self._state = threading.Lock()
        self._output = threading.Lock()
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="display", daemon=True) if ticking else None
        if self._ticker:
            self._ticker.start()
        atexit.register(self.close)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, event: Event) -> None:
        """Records an event. The next frame shows it, so that a slow terminal does not slow down the build."""
        with self._state:
            self._take(event)

    def close(self) -> None:
        """Draws the remaining finished lines, removes the live lines and shows the cursor."""
        if self._closed:
            return
        self._stop.set()
        if self._ticker:
            self._ticker.join(1.0)
        with self._state:
            self._phases.clear()
            self._meters.clear()
            self._scrolled += self._tally.warnings(self._size()[0] - 1)
        self.draw()
        self._pen.write(_SHOW)
        self._closed = True
        atexit.unregister(self.close)

    def draw(self) -> None:
        """Draws a frame with a single write: the lines that have finished since the last frame, and the live lines."""
        with self._output:
            width, height = self._size()
            with self._state:
                self._frames += 1
                scrolled, self._scrolled = self._scrolled, []
                live = self._live(width - 1, height - 1)
            if not scrolled and not live and not self._drawn:
                return
            # Each line is erased before it is written. An erase after it would remove the last character of a line
            # that is as wide as the terminal.
            text = "".join([_SCREEN_END * bool(scrolled), *(self._pen.paint(line) + "\n" for line in scrolled)])
            text += "\n".join(_LINE_END + self._pen.paint(line) for line in live)
            rows = sum(max(1, -(-drawn // width)) for drawn in self._drawn)
            up = f"\x1b[{rows - 1}A" if rows > 1 else ""
            self._drawn = [sum(columns(text) for text, _ in line) for line in live]
            self._pen.write((_HIDE if live else "") + "\r" + up + text + _SCREEN_END)

    def _tick(self) -> None:
        while not self._stop.wait(FRAME_SECONDS) and not self._pen.broken:
            self.draw()

    def _size(self) -> tuple[int, int]:
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return 80, 24
        return size.columns or 80, size.lines or 24

    def _take(self, event: Event) -> None:
        now = self._clock()
        width = self._size()[0] - 1
        if not isinstance(event, Warning):
            self._scrolled += self._tally.warnings(width)
        match event:
            case Phase(state="started"):
                self._phases[event.name] = now
            case Phase():
                self._done(event)
            case Log():
                self._log = self._tally.log(event) or self._log
            case Layer():
                self._tally.layer(event)
            case Progress():
                self._progress(event, now)
            case Warning():
                self._tally.warning(event)
            case Finished() | Failed() | Cancelled():
                if isinstance(event, Failed):
                    self._scrolled += [
                        self._phase_line("x", RED, name, now - at, "") for name, at in self._phases.items()
                    ]
                self._phases.clear()
                self._meters.clear()
                self._scrolled += self._tally.end(event, width, "✓" if self._pen.unicode else "*")

    def _done(self, event: Phase) -> None:
        self._phases.pop(event.name, None)
        self._meters.pop(event.name, None)
        if event.name == "layers":
            self._meters = {name: meter for name, meter in self._meters.items() if name in TOTALS}
        self._log = ""
        counts = self._tally.phase_counts(event.name)
        self._scrolled.append(self._phase_line("*", GREEN, event.name, event.seconds or 0.0, counts))

    def _progress(self, event: Progress, now: float) -> None:
        if event.subject not in TOTALS and event.complete >= event.total:
            self._meters.pop(event.subject, None)
            return
        meter = self._meters.setdefault(event.subject, Meter(now))
        meter.unit = event.unit
        meter.update(now, event.complete, event.total)

    def _live(self, width: int, height: int) -> list[Line]:
        now = self._clock()
        spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if self._pen.unicode else "|/-\\"
        mark = spinner[self._frames % len(spinner)]
        lines: list[Line] = []
        for name, at in self._phases.items():
            counts = self._tally.phase_counts(name)
            line = self._phase_line(mark, CYAN, name, now - at, counts)
            if name == next(reversed(self._phases)) and self._log:
                line.append((cut(f"  {self._log}", width - sum(columns(text) for text, _ in line)), DIM))
            lines.append(line)
        layers = [(name, meter) for name, meter in self._meters.items() if name not in TOTALS]
        totals = [(name, self._meters[name]) for name in TOTALS if name in self._meters]
        room = max(0, min(MOST_LAYERS, height - len(lines) - len(totals) - 1))
        lines += [_layer_line(clean(name), meter, now, width) for name, meter in layers[:room]]
        if len(layers) > room and room:
            lines.append([(f"    and {len(layers) - room} more", DIM)])
        lines += [self._bar_line(name, meter, now, width) for name, meter in totals]
        return [_fit(line, width) for line in lines[: max(1, height)]]

    def _phase_line(self, mark: str, colour: str, name: str, seconds: float, counts: str) -> Line:
        mark = {"*": "✓", "x": "✗"}.get(mark, mark) if self._pen.unicode else mark
        return [
            (f"{mark} ", colour),
            (pad(title(name), WIDEST), ""),
            (f"{seconds_text(seconds):>9}", DIM),
            (f"  {counts}" if counts else "", DIM),
        ]

    def _bar_line(self, name: str, meter: Meter, now: float, width: int) -> Line:
        """Returns a progress bar with details in fixed columns, so that the text does not jump.

        A narrow terminal shows fewer details.
        """
        left = meter.left(now)
        share = min(1.0, meter.complete / meter.total) if meter.total else 0.0
        details = {
            "share": (f"{share:4.0%}".replace("%", " %") if meter.total else "", 5),
            "amount": (_amount(meter), 13),
            "rate": (f"{size_text(meter.rate(now))}/s" if left is not None and meter.unit == "bytes" else "", 8),
            "left": (_left_text(left) if left is not None else "", 10),
        }
        head = f"  {pad(title(name), WIDEST)} "
        for least in ("rate", "amount", "left", "share", ""):
            room = width - columns(head) - sum(2 + wide for _, wide in details.values())
            if room >= _SMALLEST_BAR:
                break
            details.pop(least, None)
        room = max(0, min(_LARGEST_BAR, room))
        done = int(room * share)
        full, rest = ("━", "─") if self._pen.unicode else ("#", ".")
        text = "".join(f"  {text:{wide}}" for text, wide in details.values()).rstrip()
        return [(head, ""), (full * done, CYAN), (rest * (room - done), DIM), (text, "")]


def _layer_line(name: str, meter: Meter, now: float, width: int) -> Line:
    rate = meter.rate(now)
    right = f"{_amount(meter):>16}" + (f"{f'{size_text(rate)}/s':>11}" if rate and width >= 60 else "")
    return [(f"    {pad(name, max(8, min(30, width - 6 - columns(right))))}", ""), (f"  {right}", DIM)]


def _left_text(seconds: float) -> str:
    if seconds <= 59:
        return f"{math.ceil(seconds)} s left"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min left" if minutes < 100 else f"{math.ceil(minutes / 60)} h left"


def _amount(meter: Meter) -> str:
    if meter.unit == "packages":
        return f"{meter.complete} of {meter.total}"
    return part_text(meter.complete, meter.total) if meter.total else size_text(meter.complete)


def _fit(line: Line, width: int) -> Line:
    fitted: Line = []
    for text, code in line:
        text = cut(text, width)
        width -= columns(text)
        fitted.append((text, code))
    return fitted
