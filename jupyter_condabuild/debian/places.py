"""Places: the files, folders and links that a system has, and the paths to which its links lead."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jupyter_condabuild.errors import DebianPackagesRefused

_MOST_LINKS = 40
"""The number of links that Linux follows in one path (path_resolution(7))."""


class Place(NamedTuple):
    """A path of a system.

    `kind` is ``file``, ``symlink`` or ``directory``. `mode` has all permission bits. `user` and `group` are the numbers
    of its owner. `target` is the target of a symbolic link.
    """

    kind: str
    mode: int
    user: int = 0
    group: int = 0
    target: str = ""


@dataclass(frozen=True)
class Places:
    """The paths of a system, as ``usr/bin/env``."""

    by_path: Mapping[str, Place]

    def real(self, path: str, *, follow: bool) -> str:
        """Returns the path at which a file is if the links of the system are followed. It never leads out of the root.

        Args:
            follow: whether the last part of the path is followed, too. It need not exist.

        Raises DebianPackagesRefused if the links lead in a circle, or a part of the path is a file.
        """
        parts = deque(path.split("/"))
        real: list[str] = []
        links = 0
        while parts:
            part = parts.popleft()
            if part in ("", "."):
                continue
            if part == "..":
                del real[-1:]
                continue
            real.append(part)
            place = self.by_path.get("/".join(real))
            if not place or place.kind == "directory" or not (parts or follow):
                continue
            links += 1
            if place.kind == "file" and not parts:
                continue
            if place.kind == "file" or links > _MOST_LINKS:
                raise DebianPackagesRefused(f"The base cannot have /{path[:200]}: /{'/'.join(real)} is not a folder.")
            real = [] if place.target.startswith("/") else real[:-1]
            parts.extendleft(reversed(place.target.split("/")))
        return "/".join(real)
