"""jupyter condabuild run: runs an image in a container, with the current folder."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from jupyter_condabuild.commands.output import print_text
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.receive import RunRequest

if TYPE_CHECKING:
    from jupyter_condabuild.receive.inspection import Inspection

HELP = "run an image with the current folder"
REQUEST = RunRequest


def run(request: RunRequest, _: argparse.Namespace, report: Report) -> int:
    """Runs an image in a container that has the current folder as /work, and removes the container at the end.

    JupyterLab opens in the browser. The exit status is that of the program.
    """
    from jupyter_condabuild.receive import run as runner

    return runner.run(request, report, _ask)


def _ask(found: Inspection) -> bool:
    """Shows an image, and asks whether to run it. Raises UsageError if nobody can answer."""
    print_text(found.text(), file=sys.stderr)
    if not sys.stdin.isatty():
        raise UsageError(
            "Nobody whom you trust vouches for this image, and there is no terminal for a question.",
            "Look at it (jupyter condabuild inspect). Then add --yes, or trust its builder: trusted_signers, "
            "trusted_repositories.",
        )
    print("Programs of the image can read and change the folder. Run it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
