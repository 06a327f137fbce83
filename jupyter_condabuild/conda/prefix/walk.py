"""A walk over a prefix: every path and its file status.

`listing` also runs this module as a program, which walks while the parent process imports modules. The program imports
only modules that an interpreter loads at its start: other imports would delay the parent process.
"""

import marshal
import os
import sys

SIZE, MTIME_NS, MODE, INODE, DEVICE, LINKS = range(6)
Status = tuple[int, int, int, int, int, int]
"""Fields of `os.lstat`: ``st_size``, ``st_mtime_ns``, ``st_mode``, ``st_ino``, ``st_dev`` and ``st_nlink``."""

Walk = tuple[dict[str, Status | None], list[str], list[str], list[str]]
"""Statuses by path, unreadable folders, environments inside this one, and empty folders; see `listing.Listing`."""

_NO_CONTENT = frozenset(("conda-meta", "CACHEDIR.TAG", ".nonadmin"))
_OF_A_ROOT = ("conda-bld", "envs", "locks", "pkgs")
_MENU_STATE = frozenset(("Menu/menuinst.toml", "Menu/menuinst.toml.tmp"))
"""The list of the shortcuts that menuinst 2.4 made in the user's home folder (menuinst.utils.write_menuinst_toml)."""


def walk(prefix: str) -> Walk:
    """Returns all paths of a prefix that are not folders, and the empty folders. Does not follow links.

    Leaves out conda's own files, the list of desktop shortcuts, and the folders of `root_folders`.
    """
    statuses: dict[str, Status | None] = {}
    unlisted, nested, empty = [], [], []
    left_out = _NO_CONTENT.union(root_folders(prefix))
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            place = _opened(f"{prefix}/{folder}")
        except FileNotFoundError:
            continue
        except OSError:
            unlisted.append(folder or ".")
            continue
        try:
            with os.scandir(place) as entries:
                inside = {entry.name: entry for entry in entries}
            if not inside and folder and not folder.endswith("__pycache__/"):
                empty.append(folder.rstrip("/"))
            if not folder:
                inside = {name: entry for name, entry in inside.items() if name not in left_out}
            elif "conda-meta" in inside:
                nested.append(folder.rstrip("/"))
                continue
            for name, entry in inside.items():
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{folder}{name}/")
                elif folder != "Menu/" or f"Menu/{name}" not in _MENU_STATE:
                    statuses[folder + name] = _status(entry)
        finally:
            if isinstance(place, int):
                os.close(place)
    return statuses, unlisted, nested, empty


def _opened(folder: str) -> int | str:
    """Returns what `os.scandir` takes for a folder: its descriptor, or its path on Windows. Raises OSError.

    With a descriptor, the operating system does not look up the path of the folder again for each file.
    """
    if sys.platform == "win32":
        os.stat(folder)
        return folder
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def root_folders(prefix: str) -> list[str]:
    """Returns the folders at the top of a root prefix that are not part of its environment, sorted by name.

    They are the package cache, the other environments, and the folder of conda-build. A root prefix of conda has the
    folder condabin. A root prefix of micromamba has none, but its package cache has the file urls.txt, as every package
    cache (conda.core.package_cache_data, mamba/core/package_cache.hpp).
    """
    if not os.path.isdir(f"{prefix}/condabin") and not os.path.isfile(f"{prefix}/pkgs/urls.txt"):
        return []
    return [name for name in _OF_A_ROOT if os.path.isdir(f"{prefix}/{name}")]


def _status(entry: os.DirEntry[str]) -> Status | None:
    try:
        return status(entry.stat(follow_symlinks=False))
    except OSError:
        return None


def status(result: os.stat_result) -> Status:
    """Returns the fields of an `os.stat_result` that a `Status` has."""
    return result.st_size, result.st_mtime_ns, result.st_mode, result.st_ino, result.st_dev, result.st_nlink


if __name__ == "__main__":
    sys.stdout.buffer.write(marshal.dumps(walk(sys.argv[1])))
