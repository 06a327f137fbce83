"""jupyter condabuild base: updates the base image of a team, for example each night."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.build import BaseRequest

HELP = "update the base image of a team"
REQUEST = BaseRequest


def run(request: BaseRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Builds or rebases today's base image (tags base-YYYYMMDD and latest-base), and removes old base images.

    The command is meant to run on a schedule.
    """
    from jupyter_condabuild.jobs import nightly_base

    print_result(nightly_base.run(request, report), arguments)
