"""Reads SIFs with the programs that others have written: siftool and unsquashfs."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from tests.parts.small_image import run


def objects(sif: Path) -> dict[str, tuple[int, int]]:
    """Returns the start and the end of each data object by its type, as siftool lists them."""
    rows = re.findall(r"^(\d+) +\|\S+ +\|\S+ +\|(\d+)-(\d+) +\|(.+)$", run("siftool", "list", sif), re.MULTILINE)
    return {f"{number} {kind.strip()}": (int(start), int(end)) for number, start, end, kind in rows}


def unpacked(sif: Path, folder: Path) -> Path:
    """Unpacks the file system of a SIF, with owners and modes, and returns the new folder."""
    (start,) = [start for kind, (start, _) in objects(sif).items() if "Squashfs" in kind]
    run("unsquashfs", "-q", "-no-progress", "-o", str(start), "-d", folder, sif)
    return folder


@dataclass(frozen=True)
class Inode:
    """A file on disk: its mode with the kind, its owner, and its content or the target of a link.

    `names` are all paths of a file with hard links.
    """

    mode: str
    owner: tuple[int, int]
    content: str
    names: tuple[str, ...] = ()


def inodes(root: Path) -> dict[str, Inode]:
    """Returns all files below a folder by path."""
    found: dict[str, os.stat_result] = {}
    linked: dict[int, list[str]] = {}
    for parent, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.relpath(os.path.join(parent, name), root)
            found[path] = os.lstat(root / path)
            if not stat.S_ISDIR(found[path].st_mode) and found[path].st_nlink > 1:
                linked.setdefault(found[path].st_ino, []).append(path)
    return {
        path: Inode(
            stat.filemode(status.st_mode),
            (status.st_uid, status.st_gid),
            _content(root / path, status.st_mode),
            tuple(sorted(linked.get(status.st_ino, ()))),
        )
        for path, status in sorted(found.items())
    }


def _content(path: Path, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    return hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""
