"""jupyter condabuild snapshot: prints a report on an environment and its build, as JSON."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_json
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.build import PlanRequest

HELP = "report on an environment and its plan, as JSON"
REQUEST = PlanRequest


def run(request: PlanRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Prints the content of an environment, its lock file, and what a build would do, as JSON. Builds nothing."""
    from jupyter_condabuild.jobs import snapshot

    print_json(snapshot.run(request, report), arguments)
