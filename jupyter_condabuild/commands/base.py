"""jupyter condabuild base: the maintained base image of a team, refreshed each night."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jupyter_condabuild.commands import add_request, add_source, given, print_json, source
from jupyter_condabuild.events import Report

if TYPE_CHECKING:
    from jupyter_condabuild.requests.others import BaseRequest


def add(commands: Any) -> argparse.ArgumentParser:
    """The command's grammar."""
    command: argparse.ArgumentParser = commands.add_parser(
        "base", help="refresh the maintained base image", description=run.__doc__
    )
    add_source(command)
    command.add_argument("-t", "--tag", default="", metavar="REFERENCE", help="the image whose base this is")
    command.add_argument("--keep", type=int, default=7, metavar="N", help="dated bases to keep; default 7")
    command.add_argument(
        "--without", action="append", default=[], metavar="NAME", help="a package that changes too often for a base"
    )
    command.add_argument("--engine", choices=("layers", "docker"), default=None)
    command.add_argument("--base", default=None, metavar="REFERENCE", help="the image below")
    command.add_argument("--installer", choices=("micromamba", "conda", "rattler"), default=None)
    command.add_argument("--installer-image", default=None, metavar="REFERENCE")
    add_request(command)
    command.set_defaults(run=run)
    return command


def run(arguments: argparse.Namespace, report: Report) -> None:
    """Makes the base of today (tags base-YYYYMMDD and latest-base) and removes old ones; meant for a schedule."""
    from jupyter_condabuild.jobs.nightly_base import refresh
    from jupyter_condabuild.requests.others import BaseRequest

    day = f"{datetime.now(UTC):%Y%m%d}"
    found = refresh(given(arguments, BaseRequest) or _request(arguments), day, report)
    if arguments.json:
        print_json(found.summary(), arguments)
    elif not arguments.events:
        print(found.text())


def _request(arguments: argparse.Namespace) -> BaseRequest:
    from jupyter_condabuild.requests.others import BaseRequest
    from jupyter_condabuild.settings import Settings

    prefix, lockfile = source(arguments)
    return Settings.load().fill(
        BaseRequest,
        prefix=prefix,
        lockfile=lockfile,
        reference=arguments.tag,
        push=True,
        engine=arguments.engine,
        base=arguments.base,
        installer=arguments.installer,
        installer_image=arguments.installer_image,
        keep=arguments.keep,
        without=tuple(arguments.without),
    )
