"""A build's events file: one JSON line an event, written by the build alone, read from any event on.

A line counts once its line end is there; the `seq` of lines rises. So the line after a given event is found by
bisection: there is no index, and a reader's memory does not grow with the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_condabuild.events import sequence_number

CHUNK = 1 << 16
"""Bytes that are read at once; a longer line is read whole."""

_LAST = 1 << 16


@dataclass(frozen=True)
class Line:
    """An event as its build wrote it, without the line end."""

    seq: int
    text: bytes


@dataclass(frozen=True)
class EventLog:
    """The events file of one build; a file that is not there is empty."""

    path: Path

    @property
    def size(self) -> int:
        """Bytes; 0 where there is no file."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, offset: int) -> tuple[list[Line], int]:
        """Complete lines from a line's start on, about `CHUNK` bytes of them, and where the next one starts."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                data = os.pread(file.fileno(), CHUNK, offset)
                while data and b"\n" not in data:
                    more = os.pread(file.fileno(), CHUNK, offset + len(data))
                    if not more:
                        break
                    data += more
        except FileNotFoundError:
            return [], offset
        complete = data[: data.rfind(b"\n") + 1]
        return list(_lines(complete)), offset + len(complete)

    def offset_after(self, seq: int) -> int:
        """Where the first line starts whose `seq` is higher."""
        low, high = 0, self.size  # the line sought starts at or after `low` and not after `high`
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
                    found = sequence_number(text)
                    if found is not None and found > seq:
                        high = start
                    else:  # a line that is no event is passed over with those before it
                        low = start + len(text)
        except FileNotFoundError:
            return 0
        return low

    def last(self) -> dict[str, Any] | None:
        """The last event, None where there is none."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                end = os.fstat(file.fileno()).st_size
                data = os.pread(file.fileno(), _LAST, max(0, end - _LAST))
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
    """The start of the line that the byte at `offset` belongs to, which is not before `lowest`."""
    end = offset
    while end > lowest:
        begin = max(lowest, end - CHUNK)
        newline = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return lowest
