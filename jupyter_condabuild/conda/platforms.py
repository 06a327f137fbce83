"""Conda's names of platforms (``linux-64``, ``osx-arm64``), and the choice of a platform from a lock file."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence

from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.text import listed

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_LINUX = {
    "x86_64": "linux-64",
    "i686": "linux-32",
    "amd64": "linux-64",
    "aarch64": "linux-aarch64",
    "arm64": "linux-aarch64",
}


def linux_platform() -> str:
    """Returns the Linux platform of this machine's processor, even if this machine does not run Linux."""
    machine = platform.machine().lower()
    return _LINUX.get(machine, f"linux-{machine}")


def choose(platforms: Sequence[str], wanted: str, where: str) -> str:
    """Chooses the platform to read from a lock file.

    Args:
        platforms: the platforms in the file.
        wanted: the platform that the user requested, or empty. If it is empty, the result is the Linux platform of this
            machine, else linux-64, else the only platform in the file.
        where: the name of the file, for messages.

    Raises LockfileError if the file is not for the requested platform, or if none of several platforms is preferred.
    """
    named = listed(platforms) or "no platform"
    if odd := [one for one in platforms if not _NAME.fullmatch(one)]:
        raise LockfileError(f"{where} names a platform that is none: {odd[0][:40]!r}.", "Platforms are as linux-64.")
    if wanted:
        if wanted not in platforms:
            raise LockfileError(f"{where} is for {named}, not for {wanted}.", "Choose one of these platforms.")
        return wanted
    for preferred in (linux_platform(), "linux-64", *(platforms if len(platforms) == 1 else ())):
        if preferred in platforms:
            return preferred
    raise LockfileError(f"{where} is for {named}.", "Choose one of these platforms with --platform.")
