"""jupyter condabuild rebase: replaces the base of an image."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from jupyter_condabuild.commands.output import print_json
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.others import RebaseRequest

HELP = "put an image on another base, or other versions of packages into it"
REQUEST = RebaseRequest


def run(request: RebaseRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Puts an image of jupyter-condabuild on another base without rebuilding a layer, and pushes it.

    With --replace, the image keeps its base and gets other versions of packages. Only the layers of these packages are
    made.
    """
    from jupyter_condabuild.jobs import rebase, replacement

    if request.replace and arguments.base:
        raise UsageError("--replace and --base are both given.", "Run one after the other.")
    done = replacement.run(request, report) if request.replace else rebase.run(request, report)
    if arguments.json:
        print_json(asdict(done), arguments)
