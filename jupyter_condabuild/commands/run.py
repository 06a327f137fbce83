"""jupyter condabuild run: runs an image in a container, with the current folder."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.consent import consents
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.receive import RunRequest

HELP = "run an image with the current folder"
REQUEST = RunRequest


def run(request: RunRequest, _: argparse.Namespace, report: Report) -> int:
    """Runs an image in a container that has the current folder as /work, and removes the container at the end.

    JupyterLab opens in the browser. The exit status is that of the program.
    """
    from jupyter_condabuild.receive import run as runner

    return runner.run(request, report, consents("programs", "the folder"))
