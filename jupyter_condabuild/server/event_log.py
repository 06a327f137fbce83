"""The events file of a build: one JSON line for each event. The build alone writes it; a reader can start at any event.

A line is complete when its line end is there. The `seq` of the lines increases, so bisection finds the line after a
given event. There is no index, and a reader needs the same memory for a file of any size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_condabuild.events import sequence_number
from jupyter_condabuild.system.opening import read_at

CHUNK = 1 << 16
"""Bytes that one call reads. It reads more if a line is longer."""

_LAST = 1 << 16
"""Bytes at the end of the file in which `EventLog.last` looks for an event."""


@dataclass(frozen=True)
class Line:
    """An event as the build wrote it, without the line end."""

    seq: int
    text: bytes


@dataclass(frozen=True)
class EventLog:
    """The events file of one build. A missing file counts as an empty file."""

    path: Path

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, offset: int) -> tuple[list[Line], int]:
        """Returns about `CHUNK` bytes of complete lines, and the offset of the next line.

        Args:
            offset: the offset of the start of a line, in bytes.
        """
        try:
            with open(self.path, "rb", buffering=0) as file:
                data = read_at(file.fileno(), CHUNK, offset)
                while data and b"\n" not in data:
                    more = read_at(file.fileno(), CHUNK, offset + len(data))
                    if not more:
                        break
                    data += more
        except FileNotFoundError:
            return [], offset
        complete = data[: data.rfind(b"\n") + 1]
        return list(_lines(complete)), offset + len(complete)

    def offset_after(self, seq: int) -> int:
        """Returns the offset, in bytes, of the first line whose `seq` is greater."""
        low, high = 0, self.size  # the wanted line starts at `low` or later, and at `high` or earlier
        try:
            with open(self.path, "rb") as file:
                while low < high:
                    middle = (low + high) // 2
                    start = _line_start(file.fileno(), middle, low)
                    file.seek(start)
                    text = file.readline()
                    if not text.endswith(b"\n"):
                        high = start
                        continue
                    number = sequence_number(text)
                    if number is not None and number > seq:
                        high = start
                    else:  # a line that is not an event is skipped, with the lines before it
                        low = start + len(text)
        except FileNotFoundError:
            return 0
        return low

    def last(self) -> dict[str, Any] | None:
        """Returns the last event, or None if no complete event starts in the last 64 KiB of the file."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                end = os.fstat(file.fileno()).st_size
                data = read_at(file.fileno(), _LAST, max(0, end - _LAST))
        except FileNotFoundError:
            return None
        for text in reversed(data[: data.rfind(b"\n") + 1].split(b"\n")):
            if sequence_number(text) is not None:
                try:
                    value = json.loads(text)
                except ValueError:
                    continue
                return value if isinstance(value, dict) else None
        return None


def _lines(data: bytes) -> Iterator[Line]:
    for text in data.split(b"\n"):
        if (seq := sequence_number(text)) is not None:
            yield Line(seq, text)


def _line_start(descriptor: int, offset: int, lowest: int) -> int:
    """Returns the start of the line that contains the byte at `offset`. It is `lowest` or later."""
    end = offset
    while end > lowest:
        begin = max(lowest, end - CHUNK)
        newline = read_at(descriptor, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return lowest
