"""What a build looks like to the person who started it: live on a terminal, line by line elsewhere."""

from __future__ import annotations

import os
from typing import TextIO

from jupyter_condabuild.display.plain import Plain
from jupyter_condabuild.display.terminal import Terminal

__all__ = ["Plain", "Terminal", "display"]


def display(stream: TextIO) -> Terminal | Plain:
    """The `Report` that suits a stream, to be used as a context manager."""
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return Terminal(stream)
    return Plain(stream)
