"""jupyter condabuild prune: room in the local store."""

from __future__ import annotations

import argparse
from typing import Any

from jupyter_condabuild.commands import add_request, given, print_json
from jupyter_condabuild.events import Report


def add(commands: Any) -> argparse.ArgumentParser:
    """The command's grammar."""
    command: argparse.ArgumentParser = commands.add_parser(
        "prune", help="free space in the local store", description=run.__doc__
    )
    command.add_argument("--keep-bytes", type=int, default=None, metavar="N", help="keep the N bytes used last")
    add_request(command)
    command.set_defaults(run=run)
    return command


def run(arguments: argparse.Namespace, report: Report) -> None:  # noqa: ARG001  it has nothing to tell on the way
    """Removes the layers used longest ago from the local store; registries are not touched."""
    from jupyter_condabuild.jobs.prune import prune
    from jupyter_condabuild.requests.others import PruneRequest
    from jupyter_condabuild.settings import Settings

    request = given(arguments, PruneRequest)
    if request is None:
        settings = Settings.load()
        keep = settings.store_max_bytes if arguments.keep_bytes is None else arguments.keep_bytes
        request = settings.fill(PruneRequest, keep_bytes=keep)
    found = prune(request)
    if arguments.json:
        print_json(found.summary(), arguments)
    elif not arguments.events:
        print(f"Freed {found.freed / 1e6:,.1f} MB; {found.left / 1e6:,.1f} MB remain in {request.store_dir}.")
