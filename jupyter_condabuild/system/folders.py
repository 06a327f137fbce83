"""The folders in which a system keeps what programs can make again, such as layers and unpacked packages."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def caches(home: Path, environ: Mapping[str, str] = os.environ, system: str = sys.platform) -> Path:
    """Returns the user's folder for caches: ``~/.cache``, on macOS ``~/Library/Caches``, on Windows LOCALAPPDATA.

    This is where rattler, pixi and other programs in Rust put theirs (the crate ``dirs``).

    Args:
        home: the user's home folder.
        system: the value of `sys.platform` on the system of the folder.
    """
    if system == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData/Local")
    if system == "darwin":
        return home / "Library/Caches"
    return Path(environ.get("XDG_CACHE_HOME") or home / ".cache")


def own_cache(name: str, system: str = sys.platform) -> Path:
    """Returns the folder in which a Python program with this name keeps what it can make again.

    Args:
        system: the value of `sys.platform` on the system of the folder.
    """
    if system not in ("win32", "darwin"):
        return caches(Path(os.path.expanduser("~")), system=system) / name
    import platformdirs.macos  # not on Linux: takes 15 ms of every command
    import platformdirs.windows

    kind = platformdirs.windows.Windows if system == "win32" else platformdirs.macos.MacOS
    return Path(kind(name, appauthor=False).user_cache_dir)
