"""The permissions that an image does not keep, in an environment and in packages.

In an image, everybody may read each file, only root may write, and no file has a setuid bit.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from jupyter_condabuild.events import Warning
from jupyter_condabuild.text import counted, listed

_SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX | stat.S_IWOTH


def is_special(mode: int) -> bool:
    """Whether a file of this mode has a setuid, setgid or sticky bit, or may be written by everybody."""
    return bool(mode & _SPECIAL)


def is_private(mode: int) -> bool:
    """Whether only the owner may read a file of this mode."""
    return mode & 0o477 == 0o400


def shown(path: str, mode: int) -> str:
    """Returns a path with its permissions, for `mode_warnings`."""
    return f"{path} ({stat.S_IMODE(mode):04o})"


def changed_in(folder: Path) -> list[str]:
    """Returns the files below a folder, as `shown` gives them, whose permissions an image does not keep."""
    found, folders = [], [str(folder)]
    for place in folders:  # the list grows
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    mode = entry.stat(follow_symlinks=False).st_mode
                    if is_special(mode) or is_private(mode):
                        found.append(shown(os.path.relpath(entry.path, folder), mode))
    return found


def mode_warnings(changed: Sequence[str]) -> Iterator[Warning]:
    """Yields a warning of files that have other permissions in the image.

    Args:
        changed: the files, as `shown` gives them.
    """
    if changed:
        yield Warning(
            "file-modes",
            f"The image gives other permissions to {counted(changed, 'file')}: {listed(sorted(changed), 5)}.",
            "In the image, everybody may read every file, no file has a setuid bit, and only root may write.",
        )
