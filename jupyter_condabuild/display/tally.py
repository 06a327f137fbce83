"""Counts the layers of a build, groups its warnings, and makes the texts that both displays share."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from jupyter_condabuild.display.text import BOLD, DIM, GREEN, RED, YELLOW, Segment, clean, wrap
from jupyter_condabuild.events import Cancelled, Failed, Finished, Layer, Log, PhaseName, Warning
from jupyter_condabuild.text import seconds_text, size_text
from jupyter_condabuild.warning_codes import GROUPS, meaning_of

TITLES: dict[PhaseName, str] = {"snapshot": "environment", "base": "base image", "export": "archive"}
"""The titles of phases whose names are not clear to users."""

WIDEST = 11
"""The columns of the longest title."""

TOTALS = ("build", "verify")
"""The subjects of progress that describe a whole job: a build, or a verification."""

_STATES = {
    "reused-remote": "reused",
    "reused-local": "reused",
    "built": "built",
    "pushed": "pushed",
    "mounted": "mounted",
}
_LAST_LINES = 12
"""The number of lines of standard error that are shown again after a failure."""

Line = list[Segment]


def title(phase: str) -> str:
    """Returns the title of a phase."""
    return TITLES.get(phase, phase)  # type: ignore[call-overload, no-any-return]


def label(packages: Sequence[str]) -> str:
    """Returns a short label for the packages of a layer: ``numpy``, ``click and 12 more``."""
    if not packages:
        return "a layer of the base image"
    first = clean(packages[0])
    return first if len(packages) == 1 else f"{first} and {len(packages) - 1} more"


class Tally:
    """Counts layers by state, and keeps the last lines of standard error to show them after a failure."""

    def __init__(self) -> None:
        self._layers: dict[str, set[tuple[str, tuple[str, ...]]]] = {}
        self._log: deque[str] = deque(maxlen=_LAST_LINES)
        self._warnings: list[Warning] = []

    def log(self, event: Log) -> str:
        """Records a line of the log and returns it as clean text."""
        text = clean(event.text)
        if event.stream == "stderr" and text:
            self._log.append(text)
        return text

    def layer(self, event: Layer) -> None:
        """Counts a layer. The configuration and the layers of the base have no packages and are not counted."""
        if event.key or event.packages:
            self._layers.setdefault(_STATES[event.state], set()).add((event.key, event.packages))

    def counts(self, *states: str) -> str:
        """Returns the number of layers in each of these states, such as ``70 reused, 6 built``; "" if all are 0."""
        return ", ".join(f"{len(self._layers[state])} {state}" for state in states if self._layers.get(state))

    def phase_counts(self, phase: str) -> str:
        """Returns the counts of layers to show beside a phase."""
        return self.counts(*{"layers": ("reused", "built"), "push": ("pushed", "mounted")}.get(phase, ()))

    def warning(self, event: Warning) -> None:
        """Records a warning until `warnings` shows it with the others of its group."""
        self._warnings.append(event)

    def warnings(self, width: int) -> list[Line]:
        """Returns the lines of the recorded warnings, and forgets them. They are at most `width` columns wide.

        The warnings are grouped by what they mean. Those with the same hint share it.
        """
        found, self._warnings = self._warnings, []
        lines: list[Line] = []
        for group, heading in GROUPS.items():
            members = [event for event in found if meaning_of(event.code).group == group]
            if members:
                lines.append([("! ", YELLOW), (heading, YELLOW)])
            for hint in dict.fromkeys(event.hint for event in members):
                for event in members:
                    if event.hint == hint:
                        lines += _marked("  -", "", event.message, "", width)
                lines += [[(f"    {text}", DIM)] for text in wrap(clean(hint), width - 4) if text]
        return lines

    def end(self, event: Finished | Failed | Cancelled, width: int, tick: str) -> list[Line]:
        """Returns the last lines of a build, at most `width` columns wide.

        Args:
            tick: the mark of a success: "✓", or "*" if the stream has no Unicode characters.
        """
        if isinstance(event, Finished):
            return self._result(event, tick)
        if isinstance(event, Failed):
            log: list[Line] = [[(f"  {line}", DIM)] for line in self._log]
            return [*log, *_marked("✗" if tick == "✓" else "x", RED, event.message, event.hint, width)]
        return [[("Cancelled.", YELLOW)]]

    def _result(self, event: Finished, tick: str) -> list[Line]:
        counts = self.counts("reused", "built", "pushed", "mounted")
        verified = event.proved or event.unproved
        rows = {
            "file": clean(event.archive) if event.reference else "",
            "digest": clean(event.digest),
            "size": f"{size_text(event.size)} in {event.layers} layers" + (f": {counts}" if counts else ""),
            "images": ", ".join(map(clean, event.images or ())),
            "shared": f"{size_text(event.shared)} in layers that the images share" if event.shared else "",
            "sent": _sent(event) if event.bytes_pushed or not (event.archive or verified) else "",
            "proved": clean(str((event.proof or {}).get("text", ""))) if verified else "",
            "signed": _SIGNED.get(event.signature, "").format(clean(event.signer)),
            "time": seconds_text(event.seconds),
        }
        # A name of seven columns leaves enough columns for a digest on a terminal of 80 columns.
        head: Line = [(f"{tick} ", GREEN), (clean(event.reference or event.archive), BOLD)]
        return [head, *([(f"  {name:7}", DIM), (text, "")] for name, text in rows.items() if text)]


def _sent(event: Finished) -> str:
    """Returns how many bytes were pushed, and where they came from."""
    words = {
        "base": "of the base image",
        "copied": "copied from another repository through this machine",
        "store": "built earlier",
        "made": "built now",
    }
    parts = [
        f"{size_text(size)} {words[origin]}" for origin, size in (event.sent or {}).items() if size and origin in words
    ]
    return size_text(event.bytes_pushed) + (f": {', '.join(parts)}" if parts else "")


_SIGNED = {
    "verified": "by {}, signature verified",
    "untrusted": "by a signer who is not trusted",
    "unsigned": "no",
    "unknown": "the registry does not say",
}
"""The signature of an image that was verified."""


def _marked(mark: str, colour: str, message: str, hint: str, width: int) -> list[Line]:
    """Returns the lines of a message after a mark, and the lines of its hint."""
    lines: list[Line] = []
    start = f"{mark} "
    for number, text in enumerate(wrap(clean(message), width - len(start))):
        lines.append([(" " * len(start) if number else start, colour), (text, colour)])
    lines += [[(f"  {text}", DIM)] for text in wrap(clean(hint), width - 2) if text]
    return lines
