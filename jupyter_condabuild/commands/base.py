"""jupyter condabuild base: the maintained base image of a team, refreshed each night."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.build import BaseRequest

HELP = "refresh the maintained base image"
REQUEST = BaseRequest


def run(request: BaseRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Makes the base of today (tags base-YYYYMMDD and latest-base) and removes old ones; meant for a schedule."""
    from jupyter_condabuild.jobs import nightly_base

    print_result(nightly_base.run(request, report), arguments)
