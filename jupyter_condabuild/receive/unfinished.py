"""A folder that is made beside its final place, and gets its name when it is whole."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jupyter_condabuild.system import locks

_MARK = ".condabuild-unfinished"
"""The file that makes a folder ours to remove. The process that fills the folder holds a lock on it."""


@contextmanager
def unfinished(place: Path) -> Iterator[Path]:
    """Makes a folder with another name beside `place`, which it becomes at the end of the context.

    If the context raises, the folder is removed, and so are the folders above it that were made for it and are empty.

    Raises OSError.
    """
    missing = [folder for folder in place.parents if not folder.exists()]
    remove_abandoned(place)
    part = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        part.mkdir(parents=True)
        with (part / _MARK).open("xb") as mark:
            locks.try_own(mark.fileno())
            yield part
            part.rename(place)
        (place / _MARK).unlink()
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        for folder in missing:
            with suppress(OSError):  # somebody else uses it
                folder.rmdir()
        raise


def remove_abandoned(place: Path) -> None:
    """Removes what killed processes have left of `place`. Folders that a process fills, and all others, stay."""
    ours = re.compile(rf"\.{re.escape(place.name)}\.[0-9a-f]{{8}}")
    with suppress(OSError):
        for entry in os.scandir(place.parent):
            if ours.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False) and _is_abandoned(Path(entry)):
                shutil.rmtree(entry, ignore_errors=True)


def _is_abandoned(part: Path) -> bool:
    mark = part / _MARK
    try:
        if mark.is_symlink():
            return False
        with mark.open("r+b") as file:
            return locks.try_own(file.fileno())
    except OSError:
        return False
