"""jupyter condabuild logout: removes the user's login for a registry."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.login import LogoutRequest

HELP = "remove the login for a registry"
REQUEST = LogoutRequest


def run(request: LogoutRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Removes the login for a registry from the files and credential helpers of Docker and Podman."""
    from jupyter_condabuild.jobs.login import logout

    print_result(logout(request, report), arguments)
