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

_MARK, _CONTENT = ".condabuild-unfinished", "content"
"""The file that makes a folder ours to remove, and the folder beside it that gets the name. Nothing in the content can
hide the mark. The process that fills the content holds a lock on the mark."""


@contextmanager
def unfinished(place: Path) -> Iterator[Path]:
    """Makes a folder in another one beside `place`, which it becomes at the end of the context.

    If the context raises, the folder is removed, and so are the folders above it that were made for it and are empty.

    Raises OSError.
    """
    missing = [folder for folder in place.parents if not folder.exists()]
    remove_abandoned(place)
    whole = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    part = whole / _CONTENT
    try:
        whole.mkdir(parents=True)
        with (whole / _MARK).open("xb") as mark:
            locks.try_own(mark.fileno())
            part.mkdir()
            yield part
            part.rename(place)
        shutil.rmtree(whole)
    except BaseException:
        shutil.rmtree(whole, ignore_errors=True)
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
