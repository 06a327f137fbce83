"""A sandbox for programs of somebody else: without network, home folder and environment variables.

Source: bwrap(1), bubblewrap.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache")
"""The system's programs and libraries. The sandbox sees no other path of the machine, and may write to none."""

_LIMITS = (f"--as={4 << 30}", f"--fsize={1 << 30}", "--core=0")
"""The limits in bytes of each process: memory, and the size of a file (prlimit(1))."""

_NOBODY = "65534"
_SECONDS = 20


@functools.cache
def available() -> bool:
    """Returns whether this machine has bubblewrap and lets the user make a sandbox with it."""
    if not shutil.which("bwrap"):
        return False
    try:
        done = subprocess.run(
            enclosed(["/usr/bin/true"], {}, (), {}),
            env={"PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def enclosed(
    command: Sequence[str],
    environ: Mapping[str, str],
    readable: Sequence[Path],
    folders: Mapping[str, tuple[Path, str]],
) -> list[str]:
    """Returns the command that runs `command` in a sandbox. The program can write only to the folders for writing.

    Args:
        environ: all environment variables of the program.
        readable: folders that the program sees at their own paths, without the right to write.
        folders: maps a path in the sandbox to a folder of this machine, and to ``read`` or ``write``.
    """
    prlimit = shutil.which("prlimit")
    words = [prlimit, *_LIMITS, "--"] if prlimit else []
    words += [
        shutil.which("bwrap") or "bwrap",
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--clearenv",
    ]
    words += ["--uid", _NOBODY, "--gid", _NOBODY, "--hostname", "sandbox", "--dev", "/dev"]
    for path in _SYSTEM:
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            words += ["--ro-bind", path, path]
    for folder in readable:
        words += ["--ro-bind", str(folder), str(folder)]
    for path, (folder, right) in folders.items():
        words += ["--bind" if right == "write" else "--ro-bind", str(folder), path]
    for name, value in environ.items():
        words += ["--setenv", name, value]
    for path in ("/dev", "/"):  # both are in memory
        words += ["--remount-ro", path]
    return [*words, "--chdir", "/", "--", *command]
