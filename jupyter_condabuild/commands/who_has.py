"""jupyter condabuild who-has: finds the images that hold a package."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.others import WhoHasRequest

HELP = "find the images that hold a package"
REQUEST = WhoHasRequest


def run(request: WhoHasRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Finds the images of repositories that hold a package, from their SBOMs. Pulls no image."""
    from jupyter_condabuild.jobs import who_has

    print_result(who_has.run(request, report), arguments)
