"""Platforms by conda's names (``linux-64``, ``osx-arm64``), and the choice of one where a lock file is for several."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.text import listed

_LINUX = {"x86_64": "linux-64", "amd64": "linux-64", "aarch64": "linux-aarch64", "arm64": "linux-aarch64"}


def linux_platform() -> str:
    """The Linux platform of this machine's processor, whatever system the machine runs."""
    machine = platform.machine().lower()
    return _LINUX.get(machine, f"linux-{machine}")


def choose(platforms: Sequence[str], wanted: str, where: str) -> str:
    """The platform to take of a lock file.

    Args:
        platforms: those that the file is for.
        wanted: the platform that the user asked for; empty for no preference: then the Linux platform of this machine
            is taken, else linux-64, else the only platform.
        where: the file's name, for messages.

    Raises LockfileError where the file is not for the platform, or for several of which none is preferred.
    """
    named = listed(platforms) or "no platform"
    if wanted:
        if wanted not in platforms:
            raise LockfileError(f"{where} is for {named}, not for {wanted}.", "Choose one of its platforms.")
        return wanted
    for preferred in (linux_platform(), "linux-64", *(platforms if len(platforms) == 1 else ())):
        if preferred in platforms:
            return preferred
    raise LockfileError(f"{where} is for {named}.", "Choose one of its platforms with --platform.")
