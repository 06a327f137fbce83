"""Conda's names of platforms and subdirs (``linux-64``, ``noarch``), and the choice of a platform from a lock file."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping, Sequence

from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.text import listed

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_SUBDIR = re.compile(r"noarch|(?:linux|osx|win|freebsd|emscripten|wasi|zos)-[a-z0-9]+", re.ASCII)
_LINUX = {
    "x86_64": "linux-64",
    "i686": "linux-32",
    "amd64": "linux-64",
    "aarch64": "linux-aarch64",
    "arm64": "linux-aarch64",
}


def is_subdir(name: str) -> bool:
    """Whether a name is that of a subdir of a channel, such as ``linux-64`` (conda.base.constants.KNOWN_SUBDIRS)."""
    return bool(_SUBDIR.fullmatch(name))


def linux_platform() -> str:
    """Returns the Linux platform of this machine's processor, even if this machine does not run Linux."""
    machine = platform.machine().lower()
    return _LINUX.get(machine, f"linux-{machine}")


def choose(platforms: Sequence[str], wanted: str, where: str, *, other: bool = False) -> str:
    """Chooses the platform to read from a lock file.

    Args:
        platforms: the platforms in the file.
        wanted: the platform that the user requested, or empty. If it is empty, the result is the Linux platform of this
            machine, else linux-64, else the only platform in the file.
        where: the name of the file, for messages.
        other: whether another platform is chosen if the file does not have the requested one: Linux before others.

    Raises LockfileError if the file is not for the requested platform, or if none of several platforms is preferred.
    """
    named = listed(platforms) or "no platform"
    if odd := [one for one in platforms if not _NAME.fullmatch(one)]:
        raise LockfileError(f"{where} names a platform that is none: {odd[0][:40]!r}.", "Platforms are as linux-64.")
    if wanted:
        if wanted not in platforms and other and platforms:
            return min(platforms, key=lambda name: (not name.startswith("linux-"), name))
        if wanted not in platforms:
            raise LockfileError(f"{where} is for {named}, not for {wanted}.", "Choose one of these platforms.")
        return wanted
    for preferred in (linux_platform(), "linux-64", *(platforms if len(platforms) == 1 else ())):
        if preferred in platforms:
            return preferred
    raise LockfileError(f"{where} is for {named}.", "Choose one of these platforms with --platform.")


def of_subdirs(subdirs: Iterable[str]) -> list[str]:
    """Returns the platforms among the subdirs of packages. Other folders, and ``noarch``, say nothing of a platform."""
    return sorted({subdir for subdir in subdirs if is_subdir(subdir) and subdir != "noarch"})


def check_subdirs(platform: str, dists: Mapping[str, str], where: str) -> None:
    """Checks that the packages of a lock file are for its platform.

    Args:
        dists: a package of each subdir.
        where: the name of the file, for the message.

    Raises LockfileError.
    """
    for subdir in of_subdirs(dists):
        if subdir != platform:
            raise LockfileError(
                f"{where} is for {platform}, but {dists[subdir]} is for {subdir}.",
                f"Make a lock file whose packages are all for {platform}, or all for {subdir}.",
            )
