"""Shows a build to the user of the command line: live on a terminal, as lines of text elsewhere."""

from __future__ import annotations

import os
from typing import TextIO

from jupyter_condabuild.display.plain import Plain
from jupyter_condabuild.display.terminal import Terminal

__all__ = ["Plain", "Terminal", "display"]


def display(stream: TextIO) -> Terminal | Plain:
    """Returns the display for a stream: a `Report` and context manager that draws live only on a capable terminal."""
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return Terminal(stream)
    return Plain(stream)
