"""jupyter condabuild build: builds the image of an environment or of a lock file."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from jupyter_condabuild.commands.output import print_json, print_text
from jupyter_condabuild.errors import EngineUnavailable, UsageError
from jupyter_condabuild.events import Finished, Report
from jupyter_condabuild.requests.build import BuildRequest, JobRequest

if TYPE_CHECKING:
    from jupyter_condabuild.receive.check import Checked

HELP = "build the image of an environment"
REQUEST = BuildRequest


def add(command: argparse.ArgumentParser) -> None:
    """Adds the arguments of the check after a build. The build itself does not depend on them."""
    command.add_argument("--check", action="store_true", help="then start the image once, and import its modules")
    command.add_argument(
        "--notebook",
        action="append",
        default=[],
        metavar="FILE",
        help="with --check: a notebook whose imports are tried (can be repeated)",
    )


def run(request: BuildRequest, arguments: argparse.Namespace, report: Report) -> int:
    """Builds the image of an environment or a lock file, and pushes it, loads it into an engine, or saves it.

    With --check, the exit status is 1 if a module cannot be imported.
    """
    from jupyter_condabuild.jobs import build

    location = _built(request) if arguments.check else ""
    if arguments.notebook and not arguments.check:
        raise UsageError("--notebook has no meaning without --check.", "Add --check.")
    done = build.run(request, report).event
    checked = _check(request, location, arguments, report) if location else None
    if arguments.json:
        print_json({**asdict(done), **({"check": checked.summary()} if checked else {})}, arguments)
    elif not arguments.events:
        _print_use(request, done, report)
        if checked:
            print_text(f"\n{checked.text()}", file=sys.stderr)
    return 0 if checked is None or checked.works else 1


def _built(request: BuildRequest) -> str:
    """Returns the place of the image that is built. Raises UsageError if a container of it cannot be started."""
    if request.load:
        return f"docker-daemon:{request.reference}"
    if request.push:
        return str(request.reference)
    if request.archive and request.archive.kind != "sif":
        return str(request.archive)
    raise UsageError("--check needs an image that can be started.", "Add --load, --push, or -o FILE.tar.")


def _check(request: BuildRequest, location: str, arguments: argparse.Namespace, report: Report) -> Checked:
    """Imports the modules of the new image, with an engine or without one."""
    from jupyter_condabuild.receive import check
    from jupyter_condabuild.requests.receive import CheckRequest

    members = {item.name: request.to_json()[item.name] for item in fields(JobRequest)}
    asked = {**members, "reference": location, "notebook": arguments.notebook, "yes": True}
    try:
        return check.run(CheckRequest.parse(asked), report, lambda found: True)
    except EngineUnavailable:
        return check.run(CheckRequest.parse({**asked, "without_engine": True}), report, lambda found: True)


def _print_use(request: BuildRequest, done: Finished, report: Report) -> None:
    """Prints the commands that run the image, below the last line of the display."""
    from jupyter_condabuild.distribution.run_commands import share_commands

    if close := getattr(report, "close", None):
        close()
    first = share_commands(request, done)[0]
    lines = [line for line in first.text.splitlines() if not line.startswith("docker pull ")]
    print_text("\n  ".join([f"\n{first.title}:", *lines]), file=sys.stderr)
