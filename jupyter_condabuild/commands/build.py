"""jupyter condabuild build: builds the image of an environment or of a lock file."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from jupyter_condabuild.commands.output import print_json, print_text
from jupyter_condabuild.events import Finished, Report
from jupyter_condabuild.requests.build import BuildRequest

HELP = "build the image of an environment"
REQUEST = BuildRequest


def run(request: BuildRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Builds the image of an environment or a lock file, and pushes it, loads it into an engine, or saves it."""
    from jupyter_condabuild.jobs import build

    done = build.run(request, report).event
    if arguments.json:
        print_json(asdict(done), arguments)
    elif not arguments.events:
        _print_use(request, done, report)


def _print_use(request: BuildRequest, done: Finished, report: Report) -> None:
    """Prints the commands that run the image, below the last line of the display."""
    from jupyter_condabuild.distribution.run_commands import share_commands

    if close := getattr(report, "close", None):
        close()
    first = share_commands(request, done)[0]
    lines = [line for line in first.text.splitlines() if not line.startswith("docker pull ")]
    print_text("\n  ".join([f"\n{first.title}:", *lines]), file=sys.stderr)
