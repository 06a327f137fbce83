"""A program of an unpacked image in a sandbox of bubblewrap: the image, the named folders, and nothing else.

The root of the sandbox is in memory. The folders of the image are mounted in it, and nobody can write to them. A folder
of the image on the way to a named folder is made anew in memory, so that no link of the image decides where the named
folder is mounted.

Source: bwrap(1), bubblewrap.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from jupyter_condabuild.conda import sandbox
from jupyter_condabuild.errors import EngineUnavailable
from jupyter_condabuild.image.paths import HOME
from jupyter_condabuild.oci.engine.containers import ContainerOptions

_EMPTY = ("/run", "/tmp", "/var/tmp", HOME)  # noqa: S108  of the sandbox
"""Folders in memory, to which the program can write."""

_OF_HOST = ("/etc/hosts", "/etc/resolv.conf")
"""Files of the machine that a program with a network needs to find other machines."""

_SAFE = ("--unshare-all", "--unshare-user", "--die-with-parent", "--cap-drop", "ALL")
"""The program has no privilege and gets none: bwrap sets no_new_privs in any case. It ends with this process."""

_NO_NAMESPACES = "--disable-userns"
"""The program makes no namespaces of its own. bubblewrap knows the option since 0.8."""

_STATUS = "--json-status-fd"
"""bubblewrap writes the exit status of the program there, and none if it could not start the program."""


def require() -> None:
    """Raises EngineUnavailable if this machine has no bubblewrap, or does not let the user make a sandbox with it."""
    if platform.system() != "Linux":
        raise EngineUnavailable(
            "Without an engine, an image runs on Linux only.",
            "Start Docker Desktop or Podman, and omit --without-engine.",
        )
    recreate = (
        "Or install the packages of the image into a folder of your own: jupyter condabuild recreate REFERENCE PREFIX"
    )
    if not shutil.which("bwrap"):
        raise EngineUnavailable(
            "Without an engine, an image runs in a sandbox of bubblewrap, which is not installed.",
            f"Install it: apt-get install bubblewrap, dnf install bubblewrap, or conda install bubblewrap. {recreate}",
        )
    if not sandbox.available():
        raise EngineUnavailable(
            "This machine does not let bubblewrap make a sandbox: users may not make namespaces.",
            f"Ask the administrator for user namespaces. {recreate}",
        )


def words(root: Path, options: ContainerOptions, variables: Mapping[str, str], status: int = -1) -> list[str]:
    """Returns the command that runs the program of the options in a sandbox.

    The variables of the image are arguments, because the loader of bwrap itself, outside of the sandbox, obeys some of
    its environment variables, such as LD_PRELOAD. Those of the user are not: every user of the machine sees arguments.

    Args:
        root: the files of an unpacked image.
        options: the command, with the entrypoint; its folders, work folder and network.
        variables: those that the image sets. `environ` has the others.
        status: the file descriptor to which bubblewrap writes whether the program was started (`never_began`).
    """
    mounts: dict[str, list[str]] = {path: ["--tmpfs", path] for path in _EMPTY}
    mounts |= {"/dev": ["--dev", "/dev"], "/proc": ["--proc", "/proc"]}
    mounts |= {path: ["--bind", str(folder), path] for path, folder in options.folders.items()}
    places = {PurePosixPath(path): stat.S_IFDIR for path in mounts}
    if options.network != "none":
        shown = [path for path in _OF_HOST if os.path.exists(path)]
        mounts |= {path: ["--ro-bind", path, path] for path in shown}
        places |= {PurePosixPath(path): stat.S_IFREG for path in shown}
    program = shutil.which("bwrap") or "bwrap"
    found = [program, *_SAFE, *([_NO_NAMESPACES] if _knows(program, _NO_NAMESPACES) else [])]
    found += [_STATUS, str(status)] if status >= 0 and _knows(program, _STATUS) else []
    found += [] if options.network == "none" else ["--share-net"]
    for name in sorted(variables.keys() - options.environment.keys()):
        found += ["--setenv", name, variables[name]]
    found += _of_image(root, "/", places)
    for path in sorted(mounts, key=lambda one: len(PurePosixPath(one).parts)):  # a folder before those in it
        found += mounts[path]
    return [*found, "--remount-ro", "/", "--chdir", options.work or "/", "--", *options.command]


def never_began(said: bytes) -> bool:
    """Whether bubblewrap could not start the program, according to all that it has written about the status."""
    return b'"child-pid"' in said and b'"exit-code"' not in said


def _knows(program: str, option: str) -> bool:
    return option in _help(program)


@functools.cache
def _help(program: str) -> str:
    return subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout


def _of_image(root: Path, folder: str, places: Mapping[PurePosixPath, int]) -> Iterator[str]:
    """Yields the options that mount the content of a folder of the image, except where something else is mounted.

    Args:
        places: the paths in the sandbox at which something else is mounted: a folder (S_IFDIR) or a file (S_IFREG).
    """
    for entry in sorted(os.scandir(f"{root}{folder}"), key=lambda one: one.name):
        path = PurePosixPath(folder, entry.name)
        below = {place: kind for place, kind in places.items() if path in place.parents}
        if path in places or (below and not entry.is_dir(follow_symlinks=False)):
            continue
        if entry.is_symlink():
            yield from ("--symlink", os.readlink(entry.path), str(path))
        elif any(not _has(root, place, kind) for place, kind in below.items()):
            yield from ("--dir", str(path))
            yield from _of_image(root, str(path), places)
        else:
            yield from ("--ro-bind", entry.path, str(path))


def _has(root: Path, path: PurePosixPath, kind: int) -> bool:
    """Whether the image has a folder or file of a kind at a path, and no link on the way to it."""
    *above, _ = kinds = [_kind(root.joinpath(*path.parts[1 : count + 1])) for count in range(1, len(path.parts))]
    return all(one == stat.S_IFDIR for one in above) and kinds[-1] == kind


def _kind(path: Path) -> int:
    try:
        return stat.S_IFMT(path.lstat().st_mode)
    except OSError:
        return 0


def environ(given: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of bwrap, which the program gets too: those of the user, and what every program needs."""
    return {"PATH": os.defpath, "HOME": HOME, **given}
