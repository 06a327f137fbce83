"""The output of a command on standard output: a text for users, or JSON for programs."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Protocol


class Result(Protocol):
    """The result of a job."""

    def summary(self) -> dict[str, Any]:
        """Returns the result as a JSON object."""
        ...

    def text(self) -> str:
        """Returns the result as a few lines of text."""
        ...


def print_result(result: Result, arguments: argparse.Namespace) -> None:
    """Prints a result: as JSON with `--json`, else as text. With `--events` it prints no text."""
    if arguments.json:
        print_json(result.summary(), arguments)
    elif not arguments.events:
        print(result.text())


def print_json(value: Any, arguments: argparse.Namespace) -> None:
    """Prints a JSON value: with `--events` on one line after the events, else indented.

    Standard output may have any encoding, and a file name may contain any bytes. Characters that the encoding lacks
    are written as JSON escapes (``\\udcff`` for the byte 0xff).
    """
    indent = None if arguments.events else 2
    text = json.dumps(value, indent=indent, ensure_ascii=bool(arguments.events))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    print(text)
