"""A pytest plugin that removes what Python has only on POSIX systems, to run the tests for Windows on Linux.

`python -m pytest -p tests.parts.without_posix`. Source: the notes "Availability: Unix" in Python's library reference.
"""

from __future__ import annotations

import os
import sys

for module in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[module] = None  # type: ignore[assignment]

for name in ("fork", "geteuid", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY"):
    delattr(os, name)
