"""jupyter condabuild lock: writes the lock file of an environment."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jupyter_condabuild.commands.output import print_json, print_text
from jupyter_condabuild.events import Report
from jupyter_condabuild.files import write_whole
from jupyter_condabuild.requests.others import LockRequest

HELP = "write the lock file of an environment, or a lock file in another format"
REQUEST = LockRequest


def add(command: argparse.ArgumentParser) -> None:
    """Adds the argument for the file to write."""
    command.add_argument("-o", "--output", default="", metavar="FILE", help="write to FILE instead of standard output")


def run(request: LockRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Writes a lock file with the exact packages of an environment; prints a report on standard error.

    With --lockfile, writes the packages of that lock file in the format.
    """
    from jupyter_condabuild.jobs import convert, lock

    result = convert.run(request, report) if request.lockfile else lock.run(request, report)
    text = result.lockfile_text(request)
    if arguments.output:
        write_whole(Path(arguments.output), text, "writing the lock file")
    if arguments.json:
        print_json({**result.summary(), "lockfile": arguments.output or text}, arguments)
    elif not arguments.output:
        sys.stdout.write(text)
    if not arguments.events:
        print_text(result.text(), file=sys.stderr)
