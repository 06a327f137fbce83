"""Prepares text for a terminal: measures columns, cuts and wraps lines.

Source: UAX #11 (East Asian width).
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from typing import TextIO

from jupyter_condabuild.text import clean as clean  # the displays have all their functions for text from here

GREEN, YELLOW, RED, CYAN, BOLD, DIM = "32", "33", "31", "36", "1", "2"

Segment = tuple[str, str]
"""A text and the SGR code of its colour, or "" for no colour."""


def columns(text: str) -> int:
    """Returns the number of columns that clean text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def cut(text: str, limit: int) -> str:
    """Returns the start of the text in at most `limit` columns, with an ellipsis if the rest is cut off."""
    if columns(text) <= limit:
        return text
    used, kept = 1, []
    for character in text:
        used += _columns(character)
        if used > limit:
            break
        kept.append(character)
    return "".join(kept) + "…" if limit > 0 else ""


def pad(text: str, width: int) -> str:
    """Returns the text in exactly `width` columns: cut, or padded with spaces."""
    text = cut(text, width)
    return text + " " * (width - columns(text))


def wrap(text: str, width: int) -> list[str]:
    """Returns the text in lines of at most `width` columns, broken between words. A longer word has its own line."""
    lines = [""]
    for word in text.split():
        if lines[-1] and columns(lines[-1]) + 1 + columns(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class Pen:
    """Writes to a stream with the colours and characters that the stream supports.

    After the first error of the stream `broken` is true, and nothing more is written. `unicode` says whether the
    encoding of the stream has the marks, bars and spinners of the displays.
    """

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        self._stream = stream
        self._colour = colour and not os.environ.get("NO_COLOR")
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self.unicode = self._can("✓━╸⠋…")
        self.broken = False

    def paint(self, segments: Sequence[Segment]) -> str:
        """Returns the text of the segments, with colour codes if colours are on."""
        if not self._colour:
            return "".join(text for text, _ in segments)
        return "".join(f"\x1b[{code}m{text}\x1b[0m" if code and text else text for text, code in segments)

    def write(self, text: str) -> None:
        """Writes a text and flushes. Without Unicode, "…" becomes "~" and other characters become "?"."""
        if self.broken:
            return
        if not self.unicode:
            text = text.replace("…", "~").encode(self._encoding, "replace").decode(self._encoding)
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # A closed pipe or terminal ends the display, but not the build.
            self.broken = True

    def _can(self, text: str) -> bool:
        try:
            text.encode(self._encoding)
        except (UnicodeEncodeError, LookupError):
            return False
        return True
