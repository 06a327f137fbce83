"""Listing: what lies in a prefix, every path and its status, found in one walk."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

_NO_CONTENT = frozenset(("conda-meta", "CACHEDIR.TAG", ".nonadmin"))
_ONLY_IN_BASE = frozenset(("pkgs", "envs", "conda-bld", "locks"))


@dataclass
class Listing:
    """The paths of a prefix but folders, relative to it (any bytes, as `os.fsdecode` has them).

    `statuses` are as `os.lstat` has them, None where there is none to be had. `unlisted` are folders that cannot be
    read, `nested` environments inside this one, both without what is in them.
    """

    statuses: dict[str, os.stat_result | None] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)


def listing(prefix: Path) -> Listing:
    """Walks a prefix; links are not followed, whatever they point to.

    Left out is what is conda's own, and of a base environment the package cache and the environments below it.
    """
    found = Listing()
    own = _NO_CONTENT | _ONLY_IN_BASE if (prefix / "condabin").is_dir() else _NO_CONTENT
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(f"{prefix}/{folder}") as entries:
                inside = {entry.name: entry for entry in entries}
        except FileNotFoundError:
            continue
        except OSError:
            found.unlisted.append(folder or ".")
            continue
        if not folder:
            inside = {name: entry for name, entry in inside.items() if name not in own}
        elif "conda-meta" in inside:
            found.nested.append(folder.rstrip("/"))
            continue
        for name, entry in inside.items():
            if entry.is_dir(follow_symlinks=False):
                folders.append(f"{folder}{name}/")
            else:
                found.statuses[folder + name] = _status(entry)
    return found


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None
