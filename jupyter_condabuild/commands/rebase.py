"""jupyter condabuild rebase: a newer system below an image."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from jupyter_condabuild.commands import add_request, given, print_json
from jupyter_condabuild.events import Report


def add(commands: Any) -> argparse.ArgumentParser:
    """The command's grammar."""
    command: argparse.ArgumentParser = commands.add_parser(
        "rebase", help="put an image on another base", description=run.__doc__
    )
    command.add_argument("reference", nargs="?", default="", metavar="REFERENCE")
    command.add_argument("--base", default=None, metavar="REFERENCE", help="the image below; default as for a build")
    command.add_argument("-t", "--tag", default="", metavar="REFERENCE", help="name of the result; default the same")
    add_request(command)
    command.set_defaults(run=run)
    return command


def run(arguments: argparse.Namespace, report: Report) -> None:
    """Puts an image of ours on another base without rebuilding a layer, and pushes it."""
    from jupyter_condabuild.jobs.rebase import rebase
    from jupyter_condabuild.requests.others import RebaseRequest
    from jupyter_condabuild.settings import Settings

    request = given(arguments, RebaseRequest)
    if request is None:
        settings = Settings.load()
        request = settings.fill(
            RebaseRequest, reference=arguments.reference, base=arguments.base, target=settings.named(arguments.tag)
        )
    result = rebase(request, report)
    if arguments.json:
        print_json(asdict(result), arguments)
