"""jupyter condabuild diff: how two environments or images differ."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.others import DiffRequest

HELP = "show what differs between two environments"
REQUEST = DiffRequest


def run(request: DiffRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Shows which packages differ between two environments, lock files or images, in whatever combination."""
    from jupyter_condabuild.jobs import diff

    print_result(diff.run(request, report), arguments)
