"""jupyter condabuild inspect: describes an image without a pull."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.receive import InspectRequest

HELP = "describe an image without a pull"
REQUEST = InspectRequest


def run(request: InspectRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Describes an image without a pull: its builder, its packages, its base, and how much of it this machine lacks."""
    from jupyter_condabuild.receive import inspection

    print_result(inspection.run(request, report), arguments)
