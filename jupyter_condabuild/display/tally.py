"""What has happened in a build so far, in numbers and words: shared by both displays."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from jupyter_condabuild.display.text import BOLD, DIM, GREEN, RED, YELLOW, Segment, clean, wrap
from jupyter_condabuild.events import Cancelled, Failed, Finished, Layer, Log, PhaseName, Warning
from jupyter_condabuild.text import seconds_text, size_text

TITLES: dict[PhaseName, str] = {"snapshot": "environment", "base": "base image", "export": "archive"}
WIDEST = 11
TOTALS = ("layers", "push", "load", "export")
"""Subjects of progress that are about a whole phase, not one layer."""

_WORDS = {
    "reused-remote": "reused",
    "reused-local": "reused",
    "built": "built",
    "pushed": "pushed",
    "mounted": "mounted",
}
_LAST_WORDS = 12

Line = list[Segment]


def title(phase: str) -> str:
    """A phase as people call it."""
    return TITLES.get(phase, phase)  # type: ignore[call-overload, no-any-return]


def label(packages: Sequence[str]) -> str:
    """Some packages in a few words: ``numpy``, ``click and 12 more``."""
    if not packages:
        return "a layer of the base image"
    first = clean(packages[0])
    return first if len(packages) == 1 else f"{first} and {len(packages) - 1} more"


class Tally:
    """Counts layers by what became of them, and keeps the last lines of the log in case the build fails."""

    def __init__(self) -> None:
        self._layers: dict[str, set[tuple[str, tuple[str, ...]]]] = {}
        self._log: deque[str] = deque(maxlen=_LAST_WORDS)

    def log(self, event: Log) -> str:
        """Notes a line of the log and returns it as clean text."""
        text = clean(event.text)
        if event.stream == "stderr" and text:
            self._log.append(text)
        return text

    def layer(self, event: Layer) -> None:
        """Counts a layer; its configuration and the base's layers have no packages and are not counted."""
        if event.key or event.packages:
            self._layers.setdefault(_WORDS[event.state], set()).add((event.key, event.packages))

    def counts(self, *words: str) -> str:
        """Such as ``70 reused, 6 built``; empty when there are none."""
        return ", ".join(f"{len(self._layers[word])} {word}" for word in words if self._layers.get(word))

    def phase_counts(self, phase: str) -> str:
        """What to say of the layers beside a phase."""
        return self.counts(*{"layers": ("reused", "built"), "push": ("pushed", "mounted")}.get(phase, ()))

    def warning(self, event: Warning, width: int) -> list[Line]:
        """A warning and its hint."""
        return _told("!", YELLOW, event.message, event.hint, width)

    def end(self, event: Finished | Failed | Cancelled, width: int, tick: str) -> list[Line]:
        """The last lines of a build."""
        if isinstance(event, Finished):
            return self._result(event, tick)
        if isinstance(event, Failed):
            log: list[Line] = [[(f"  {line}", DIM)] for line in self._log]
            return [*log, *_told("✗" if tick == "✓" else "x", RED, event.message, event.hint, width)]
        return [[("Cancelled.", YELLOW)]]

    def _result(self, event: Finished, tick: str) -> list[Line]:
        counts = self.counts("reused", "built", "pushed", "mounted")
        verified = event.proved or event.unproved
        rows = {
            "file": clean(event.archive) if event.reference else "",
            "digest": clean(event.digest),
            "size": f"{size_text(event.size)} in {event.layers} layers" + (f": {counts}" if counts else ""),
            "sent": size_text(event.bytes_pushed) if event.bytes_pushed or not (event.archive or verified) else "",
            "proved": f"{event.proved} came out the same, {event.unproved} come from no package" if verified else "",
            "time": seconds_text(event.seconds),
        }
        # With seven columns for the name a digest just fits into 80.
        head: Line = [(f"{tick} ", GREEN), (clean(event.reference or event.archive), BOLD)]
        return [head, *([(f"  {name:7}", DIM), (text, "")] for name, text in rows.items() if text)]


def _told(mark: str, colour: str, message: str, hint: str, width: int) -> list[Line]:
    lines: list[Line] = []
    for number, text in enumerate(wrap(clean(message), width - 2)):
        lines.append([(f"{mark} " if not number else "  ", colour), (text, colour)])
    lines += [[(f"  {text}", DIM)] for text in wrap(clean(hint), width - 2) if text]
    return lines
