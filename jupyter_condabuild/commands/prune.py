"""jupyter condabuild prune: frees space in the local store."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.others import PruneRequest

HELP = "free space in the local store"
REQUEST = PruneRequest


def run(request: PruneRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Removes the least recently used layers from the local store; does not change registries."""
    from jupyter_condabuild.jobs import prune

    print_result(prune.run(request, report), arguments)
