"""Checks of the option that adds packages of Debian: --apt."""

from __future__ import annotations

from collections.abc import Sequence

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.text import printable

_MOST = 200


def check_apt(names: Sequence[str]) -> None:
    """Raises UsageError for a text of --apt that is not the name of a package of Debian, and for too many of them."""
    if not names:
        return
    from jupyter_condabuild.debian.choice import NAMED  # most builds need none

    for name in names:
        if not NAMED.fullmatch(name):
            raise UsageError(
                f"--apt names no package of Debian: {printable(repr(name), 200)}.",
                "Write it as libgl1, or with a version as libgl1=1.6.0-1.",
            )
    if len(names) > _MOST:
        raise UsageError(f"--apt is given {len(names)} times; {_MOST} are allowed.", "Use a base with the packages.")
