"""jupyter condabuild diff: shows the differences between two environments or images."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.others import DiffRequest

HELP = "show the differences between two environments"
REQUEST = DiffRequest


def run(request: DiffRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Shows which packages differ between two environments, lock files or images, in any combination."""
    from jupyter_condabuild.jobs import diff

    print_result(diff.run(request, report), arguments)
