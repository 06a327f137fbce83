"""Checks of the options that put files from outside of an environment into an image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.text import listed, printable

_SYSTEM = {Path("/proc"): "processes", Path("/sys"): "the kernel's objects", Path("/dev"): "devices"}
"""The folders in which Linux shows something else as files."""

_MEMORY = Path("/dev/shm")  # noqa: S108  nothing is written there
"""A folder of ordinary files, which are in memory."""


def check_outside(taken: Sequence[str], left_out: Sequence[str]) -> None:
    """Raises UsageError for a path that cannot be meant: an empty one, one in both lists, or the system's own."""
    for flag, paths in (("--include-outside", taken), ("--without-outside", left_out)):
        if not all(map(str.strip, paths)):
            raise UsageError(f"A path of {flag} is empty.", "Name a file or a folder.")
    if both := set(map(os.path.abspath, taken)) & set(map(os.path.abspath, left_out)):
        names = listed(sorted(both))
        raise UsageError(f"--include-outside and --without-outside both name {names}.", "Choose one of them.")
    for path in taken:
        refuse_system(path, "--include-outside")


def refuse_system(path: str | Path, named_by: str) -> None:
    """Raises UsageError for the root folder, and for a path where the system shows no ordinary files.

    Args:
        named_by: the option or the file that names the path.
    """
    written = Path(os.path.abspath(path))
    for place in (written, Path(os.path.realpath(path))):
        shown = printable(str(written)) + (f", a link to {printable(str(place))}" if place != written else "")
        if place == Path("/"):
            raise UsageError(
                f"{named_by} names {shown}: this stands for every file of this machine.",
                "Name the folders that the environment uses. The report of the build lists them.",
            )
        found = next((folder for folder in _SYSTEM if place.is_relative_to(folder)), None)
        if found and not place.is_relative_to(_MEMORY):
            raise UsageError(
                f"{named_by} names {shown}, but the system shows {_SYSTEM[found]} as files in {found}. No image can "
                "contain them.",
                "Each container has such a folder of its own. Name a folder with ordinary files.",
            )
