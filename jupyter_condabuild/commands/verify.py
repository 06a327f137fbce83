"""jupyter condabuild verify: whether an image is what it claims."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.others import VerifyRequest

HELP = "make an image again and compare"
REQUEST = VerifyRequest


def run(request: VerifyRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Makes an image again from the lock file inside it and compares: layer by layer, or file by file."""
    from jupyter_condabuild.jobs import verify

    print_result(verify.run(request, report), arguments)
