"""Mentions of an environment: the paths under which conda and the scripts of the environment name it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from jupyter_condabuild.conda.prefix.pip_metadata import text_of
from jupyter_condabuild.files import home_folder, open_regular

_PREFIX_OPTION = re.compile(r"^# cmd: .* (?:-p|--prefix)[ =](\S+)", re.MULTILINE)
_INTERPRETER = re.compile(rb"#!\s*(/[^\n]*?)/bin/python[0-9.]*\s|'''exec' \"?(/[^\n\"]*?)/bin/python")
_HEAD = 512


def mentions(prefix: Path, scripts: Iterable[str]) -> Iterator[str]:
    """Yields paths that may lead to an environment: of its history, of conda's list, and of the Python of scripts.

    Args:
        scripts: paths of files, relative to the prefix.
    """
    yield from _PREFIX_OPTION.findall(text_of(prefix / "conda-meta/history"))
    yield from text_of(home_folder() / ".conda/environments.txt").splitlines()
    for path in scripts:
        try:
            with open(open_regular(prefix / path), "rb", buffering=0) as file:
                match = _INTERPRETER.search(file.read(_HEAD))
        except OSError:
            continue
        if match:
            yield os.fsdecode(match[1] or match[2])
