"""jupyter condabuild verify: checks an image against the lock file inside it."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.others import VerifyRequest

HELP = "make an image again and compare every part"
REQUEST = VerifyRequest


EXIT_UNPROVED = 3
"""The exit status if nothing differs, but not every part of the image is proved."""


def run(request: VerifyRequest, arguments: argparse.Namespace, report: Report) -> int:
    """Makes an image again from the lock file inside it, and compares every part.

    The exit status is 0 if every part is proved, 1 if a part differs, and 3 if nothing differs, but not all is proved.
    """
    from jupyter_condabuild.jobs import verify

    verification = verify.run(request, report)
    print_result(verification, arguments)
    return 0 if verification.is_verified else EXIT_UNPROVED
