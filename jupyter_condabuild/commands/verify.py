"""jupyter condabuild verify: checks an image against the lock file inside it."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.others import VerifyRequest

HELP = "make the content of an image again and compare"
REQUEST = VerifyRequest


def run(request: VerifyRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Makes the content of an image again from the lock file inside it, and compares it by layers or by files."""
    from jupyter_condabuild.jobs import verify

    print_result(verify.run(request, report), arguments)
