"""Whether a folder's files changed since they were last looked at: names, sizes and times, without reading a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_NOT_OF_THE_ROOT = frozenset(("pkgs", "envs", "conda-bld"))


def stamp(folder: Path) -> str:
    """A digest of every file's name, size, mode and time of change, bytecode aside; hexadecimal.

    Equal stamps of a folder mean that nobody wrote to it in between, unless they took pains to hide it. In a base
    environment the package cache and other environments do not count.
    """
    content = hashlib.sha256()
    skipped = _NOT_OF_THE_ROOT if (folder / "condabin").is_dir() else frozenset[str]()
    folders = [str(folder)]
    while folders:
        current = folders.pop()
        try:
            with os.scandir(current) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            content.update(f"?{current}\0".encode("utf-8", "surrogateescape"))
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__" and not (current == str(folder) and entry.name in skipped):
                    folders.append(entry.path)
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            line = f"{entry.path}\0{found.st_size} {found.st_mtime_ns} {found.st_mode} {found.st_ino}\0"
            content.update(line.encode("utf-8", "surrogateescape"))
    return content.hexdigest()
