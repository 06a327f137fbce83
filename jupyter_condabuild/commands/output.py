"""The output of a command on standard output: a text for users, or JSON for programs."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any, Protocol, TextIO

from jupyter_condabuild.text import clean_lines

_UNSAFE = r"[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"  # slow to compile


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
        print_text(result.text())


def print_text(text: str, *, file: TextIO | None = None) -> None:
    """Prints lines for a user. They may have names from an image or a lock file, so each line is cleaned."""
    print(clean_lines(text), file=file)


def print_json(value: Any, arguments: argparse.Namespace) -> None:
    """Prints a JSON value: with `--events` on one line after the events, else indented.

    Standard output may have any encoding, and a file name may contain any bytes. Characters that the encoding lacks
    are written as JSON escapes (``\\udcff`` for the byte 0xff), and so are characters that a terminal would obey.
    """
    # JSON escapes only the first 32 control characters. DEL, the C1 controls and invisible characters are escaped, too.
    indent = None if arguments.events else 2
    text = json.dumps(value, indent=indent, ensure_ascii=bool(arguments.events))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    print(re.sub(_UNSAFE, lambda match: json.dumps(match[0])[1:-1], text))
