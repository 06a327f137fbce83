"""What a command prints on standard output: a result for people, or JSON for programs."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Protocol


class Result(Protocol):
    """What a job returns."""

    def summary(self) -> dict[str, Any]:
        """The result as a JSON object."""
        ...

    def text(self) -> str:
        """The result in a few lines."""
        ...


def print_result(result: Result, arguments: argparse.Namespace) -> None:
    """Prints a result in the form that the arguments ask for; beside events there is no text."""
    if arguments.json:
        print_json(result.summary(), arguments)
    elif not arguments.events:
        print(result.text())


def print_json(value: Any, arguments: argparse.Namespace) -> None:
    """Prints a JSON value; after events it is one line more.

    Standard output may have any encoding, and a file name any bytes: a character that the encoding lacks is escaped as
    JSON does it (``\\udcff`` for the byte 0xff).
    """
    indent = None if arguments.events else 2
    text = json.dumps(value, indent=indent, ensure_ascii=bool(arguments.events))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    print(text)
