"""Scripts of entry points: installers write them for noarch Python packages, each installer with its own indentation.

Source: `python_entry_point_template` in conda.gateways.disk.create, in libmamba's link.cpp and in rattler's
entry_point.rs; `generate_shebang_for_entry_point` in conda.core.portability for paths that are long or have spaces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from jupyter_condabuild.files import read_regular

_INDENTS = (b"\t", b"    ")  # rattler's, and that of conda and micromamba
_LONG_PATH = rb"#!/bin/sh\n'''exec' \"(?P<quoted>[^\n\"]+)\" \"\$0\" \"\$@\" #'''\n"
_SCRIPT = re.compile(
    rb"(?:#!(?P<plain>/[^\n ]+)\n|" + _LONG_PATH + rb")"
    rb"# -\*- coding: utf-8 -\*-\n"
    rb"import re\n"
    rb"import sys\n\n"
    rb"from (?P<module>[^\s]+) import (?P<name>[^\s]+)\n\n"
    rb"if __name__ == '__main__':\n"
    rb"(?P<indent>\t|    )"
    rb"sys\.argv\[0\] = re\.sub\(r'\(-script\\\.pyw\?\|\\\.exe\)\?\$', '', sys\.argv\[0\]\)\n"
    rb"(?P=indent)sys\.exit\((?P<function>[^\s()]+)\(\)\)\n"
)

MOST_BYTES = 64 << 10
"""No script of an entry point is larger, in bytes."""


class Script(NamedTuple):
    """A script of an entry point: the path of its interpreter, and the ``module:function`` that it calls."""

    python: str
    target: str


def parse(data: bytes) -> Script | None:
    """Returns the script of an entry point; None if no installer writes such a file."""
    match = _SCRIPT.fullmatch(data)
    if not match or match["function"].partition(b".")[0] != match["name"]:
        return None
    python, target = match["plain"] or match["quoted"], match["module"] + b":" + match["function"]
    return Script(python.decode("utf-8", "surrogateescape"), target.decode("utf-8", "surrogateescape"))


def forms(data: bytes) -> list[bytes]:
    """Returns the scripts that installers write for the same entry point; empty if the file is not such a script."""
    match = _SCRIPT.fullmatch(data)
    if not match:
        return []
    head, body = data[: match.start("indent")], data[match.start("indent") :]
    return [head + body.replace(match["indent"], indent) for indent in _INDENTS]


def read(path: Path | str) -> Script | None:
    """Returns the script at a path; None if no installer writes such a file. Raises OSError."""
    return parse(read_regular(Path(path), MOST_BYTES))


def of_link_json(value: object) -> dict[str, str]:
    """Returns the entry points in the value of a package's info/link.json: ``module:function`` by command."""
    noarch = value.get("noarch") if isinstance(value, Mapping) else None
    points = noarch.get("entry_points") if isinstance(noarch, Mapping) else None
    return dict(map(_parsed, points if isinstance(points, list) else ()))


def of_entry_points_txt(text: str) -> dict[str, str]:
    """Returns the scripts in the text of entry_points.txt: ``module:function`` by command.

    Source: "Entry points specification" of the Python packaging specifications.
    """
    found: dict[str, str] = {}
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif "=" in line and section in ("console_scripts", "gui_scripts"):
            found.update([_parsed(line.partition("[")[0])])  # extras follow in brackets
    return found


def _parsed(point: object) -> tuple[str, str]:
    """Source: `parse_entry_point_def` in conda.common.path.python."""
    command, _, target = str(point).partition("=")
    module, _, function = target.strip(" \t\r\n\"'").rpartition(":")
    return command.strip(), f"{module.strip()}:{function.strip()}"
