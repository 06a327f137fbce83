"""Mentions of an environment: the paths under which conda and the scripts of the environment name it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from jupyter_condabuild.conda.prefix.pip_metadata import text_of
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.files import home_folder, open_regular

_PREFIX_OPTION = re.compile(r"^# cmd: .* (?:-p|--prefix)[ =](\S+)", re.MULTILINE)
_INTERPRETER = re.compile(rb"#!\s*(/[^\n]*?)/bin/python[0-9.]*\s|'''exec' \"?(/[^\n\"]*?)/bin/python")
_HEAD = 512
_MOST_SCRIPTS = 200


def mentions(prefix: Path, scripts: Iterable[str]) -> Iterator[str]:
    """Yields paths that may lead to an environment: of its history, of conda's list, and of the Python of scripts.

    Args:
        scripts: paths of files, relative to the prefix.
    """
    yield from _PREFIX_OPTION.findall(text_of(prefix / "conda-meta/history"))
    yield from text_of(home_folder() / ".conda/environments.txt").splitlines()
    yield from _interpreters(prefix, scripts)


def former_paths(prefix: Path, records: Iterable[PrefixRecord]) -> tuple[str, ...]:
    """Returns the paths at which an environment was before it was copied or moved, sorted.

    They are in its history, or in at least two scripts of its packages: an installer writes its path into each of them.
    A user who edits one script may name another environment in it.
    """
    scripts = islice((path for record in records for path in record.files if path.startswith("bin/")), _MOST_SCRIPTS)
    counts = Counter(_interpreters(prefix, scripts))
    named = {name for name, count in counts.items() if count > 1}
    named.update(_PREFIX_OPTION.findall(text_of(prefix / "conda-meta/history")))
    here = os.path.realpath(prefix)
    others = {os.path.normpath(name) for name in named if name.startswith("/") and os.path.realpath(name) != here}
    return tuple(sorted(others - {"/"}))


def _interpreters(prefix: Path, scripts: Iterable[str]) -> Iterator[str]:
    """Yields the environment of the Python that each script names in its first lines."""
    for path in scripts:
        try:
            with open(open_regular(prefix / path), "rb", buffering=0) as file:
                match = _INTERPRETER.search(file.read(_HEAD))
        except OSError:
            continue
        if match:
            yield os.fsdecode(match[1] or match[2])
