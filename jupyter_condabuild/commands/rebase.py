"""jupyter condabuild rebase: replaces the base of an image."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from jupyter_condabuild.commands.output import print_json
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.others import RebaseRequest

HELP = "put an image on another base"
REQUEST = RebaseRequest


def run(request: RebaseRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Puts an image of jupyter-condabuild on another base without rebuilding a layer, and pushes it."""
    from jupyter_condabuild.jobs import rebase

    done = rebase.run(request, report)
    if arguments.json:
        print_json(asdict(done), arguments)
