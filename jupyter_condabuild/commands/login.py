"""jupyter condabuild login: keeps the user's login for a registry, without Docker."""

from __future__ import annotations

import argparse
import getpass
import sys
from dataclasses import replace

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.login import LoginRequest

HELP = "log in to a registry"
REQUEST = LoginRequest


def run(request: LoginRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Tests a login at a registry and keeps it where Docker and Podman keep theirs. No Docker is needed."""
    from jupyter_condabuild.jobs.login import login

    if not request.user:
        request = replace(request, user=_typed("User: "))
    password = _piped() if request.password_stdin else _hidden()
    if not request.user or not password:
        raise UsageError("The user name or the password is empty.", "Enter both.")
    print_result(login(request, password, report), arguments)


def _typed(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise UsageError("The login has no user name.", "Add --user NAME.")
    print(prompt, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def _hidden() -> str:
    if not sys.stdin.isatty():
        raise UsageError("The password cannot be asked for without a terminal.", "Add --password-stdin.")
    return getpass.getpass("Password or access token (not shown): ", sys.stderr)


def _piped() -> str:
    return sys.stdin.read().rstrip("\r\n")
