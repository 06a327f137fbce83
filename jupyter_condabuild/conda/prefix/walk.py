"""A walk over a prefix: every path and its status. As a program, it walks while the process that waits for it imports.

It imports nothing but what an interpreter has at its start: whoever waits for it would wait for that, too.
"""

import marshal
import os
import sys

SIZE, MTIME_NS, MODE, INODE, DEVICE, LINKS = range(6)
Status = tuple[int, int, int, int, int, int]
"""Of `os.lstat`: ``st_size``, ``st_mtime_ns``, ``st_mode``, ``st_ino``, ``st_dev`` and ``st_nlink``."""

Walk = tuple[dict[str, Status | None], list[str], list[str]]
"""Statuses by path, folders that cannot be read, and environments inside this one; see `listing.Listing`."""

_NO_CONTENT = frozenset(("conda-meta", "CACHEDIR.TAG", ".nonadmin"))
_ONLY_IN_BASE = frozenset(("pkgs", "envs", "conda-bld", "locks"))


def walk(prefix: str) -> Walk:
    """All that lies in a prefix but folders; links are not followed, whatever they point to.

    Left out is what is conda's own, and of a base environment the package cache and the environments below it.
    """
    statuses: dict[str, Status | None] = {}
    unlisted, nested = [], []
    own = _NO_CONTENT | _ONLY_IN_BASE if os.path.isdir(f"{prefix}/condabin") else _NO_CONTENT
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            opened = os.open(f"{prefix}/{folder}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError:
            unlisted.append(folder or ".")
            continue
        try:
            # by descriptor, the kernel need not find the folder again for each file
            with os.scandir(opened) as entries:
                inside = {entry.name: entry for entry in entries}
            if not folder:
                inside = {name: entry for name, entry in inside.items() if name not in own}
            elif "conda-meta" in inside:
                nested.append(folder.rstrip("/"))
                continue
            for name, entry in inside.items():
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{folder}{name}/")
                else:
                    statuses[folder + name] = _status(entry)
        finally:
            os.close(opened)
    return statuses, unlisted, nested


def _status(entry: os.DirEntry[str]) -> Status | None:
    try:
        return status(entry.stat(follow_symlinks=False))
    except OSError:
        return None


def status(found: os.stat_result) -> Status:
    """What of it counts here."""
    return found.st_size, found.st_mtime_ns, found.st_mode, found.st_ino, found.st_dev, found.st_nlink


if __name__ == "__main__":
    sys.stdout.buffer.write(marshal.dumps(walk(sys.argv[1])))
