"""Symbolic links on this machine: not every disk has them, and on Windows not every user may make them."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

_NO_LINKS = (errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""FAT on Linux; Windows without Developer Mode (error 1314) and its FAT (error 1), which Python maps to EINVAL."""


def make_link(target: str, path: str) -> bool:
    """Makes a symbolic link. Returns False if this disk has none, or if this user may not make any.

    Raises OSError for other reasons.
    """
    try:
        os.symlink(target, path)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    return True


def same_or_copied(file: Path, place: Path) -> None:
    """Makes a hard link to a regular file. On another disk, or on one without hard links, copies the file.

    Raises OSError.
    """
    try:
        os.link(file, place, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except (OSError, NotImplementedError):  # the latter: on Windows, for `follow_symlinks`
        with suppress(FileNotFoundError):
            place.unlink()
        shutil.copy2(file, place, follow_symlinks=False)
