"""jupyter condabuild licenses: lists the licences of the packages of an environment or an image."""

from __future__ import annotations

import argparse
from dataclasses import replace

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.others import LicensesRequest

HELP = "list the licences of an environment or an image"
REQUEST = LicensesRequest


def run(request: LicensesRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Lists the licences of all packages, names channels with commercial terms, and packages without a licence."""
    from jupyter_condabuild.jobs import licenses

    if not arguments.request:  # a server names the folder, which it has checked
        request = replace(request, source=licenses.without_kernel(request.source))
    print_result(licenses.run(request, report), arguments)
