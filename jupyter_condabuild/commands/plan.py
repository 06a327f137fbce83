"""jupyter condabuild plan: shows what a build would do."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.build import PlanRequest

HELP = "show what a build would do"
REQUEST = PlanRequest


def run(request: PlanRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Shows the layers of an image, which of them exist already, and how much a build would push. Builds nothing."""
    from jupyter_condabuild.jobs import plan

    print_result(plan.run(request, report), arguments)
