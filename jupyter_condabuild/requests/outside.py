"""Checks of the options --include-outside and --without-outside."""

from __future__ import annotations

import os
from collections.abc import Sequence

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.text import listed


def check_outside(taken: Sequence[str], left_out: Sequence[str]) -> None:
    """Raises UsageError for an empty path, which would be the current folder, and for a path in both lists."""
    for flag, paths in (("--include-outside", taken), ("--without-outside", left_out)):
        if not all(map(str.strip, paths)):
            raise UsageError(f"A path of {flag} is empty.", "Name a file or a folder.")
    if both := set(map(os.path.abspath, taken)) & set(map(os.path.abspath, left_out)):
        names = listed(sorted(both))
        raise UsageError(f"--include-outside and --without-outside both name {names}.", "Choose one of them.")
