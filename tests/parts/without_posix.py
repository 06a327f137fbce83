"""A pytest plugin that removes what Python has only on POSIX systems, to run the tests for Windows on Linux.

`python -m pytest -p tests.parts.without_posix`. The modules of `jupyter_condabuild.system` take their branch for
Windows, with empty modules in the place of those that only Windows has: they can be imported, and what needs a function
of Windows fails. `python -m tests.parts.without_posix` imports every module of the package in this state.

Source: the notes "Availability: Unix" in Python's library reference.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import socket
import subprocess
import sys
from types import ModuleType

# Their own branches for Windows need Windows.
import docker
import httpx
import jupyter_server.serverapp
import platformdirs.macos
import platformdirs.windows
import psutil
import rattler
import tornado.web

import jupyter_condabuild

OTHERS = (docker, httpx, jupyter_server, platformdirs, psutil, rattler, tornado)
POSIX_MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")
POSIX_NAMES = (
    *("fork", "geteuid", "getegid", "getgid", "getpgid", "getpriority", "killpg", "pread", "readv", "setsid"),
    *("setpriority", "statvfs", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY"),
)
"""Without those that pytest, psutil and the branches for Linux need here, such as os.getuid."""

WINDOWS_MODULES = ("msvcrt", "pywintypes", "win32con", "win32file")
WINDOWS_NAMES = {os: ("O_BINARY", "O_NOINHERIT"), subprocess: ("CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW")}


def without_posix() -> None:
    """Makes this interpreter one without POSIX, as far as the package can see."""
    for module in POSIX_MODULES:
        sys.modules[module] = None  # type: ignore[assignment]
    for name in POSIX_NAMES:
        delattr(os, name)
    del socket.AF_UNIX
    for module in WINDOWS_MODULES:
        sys.modules[module] = ModuleType(module)
    for place, names in WINDOWS_NAMES.items():
        for name in names:
            setattr(place, name, 0)
    system, sys.platform = sys.platform, "win32"
    import_all("jupyter_condabuild.system")
    sys.platform = system


def import_all(package: str) -> None:
    """Imports a package and all modules in it."""
    place = importlib.import_module(package)
    for module in pkgutil.walk_packages(place.__path__, f"{package}."):
        importlib.import_module(module.name)


without_posix()
if __name__ == "__main__":
    sys.platform = "win32"
    import_all(jupyter_condabuild.__name__)
