"""jupyter condabuild export: writes files for a project, which build or run the image elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from jupyter_condabuild.commands.output import print_json, print_text
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.others import ExportRequest
from jupyter_condabuild.text import listed

HELP = "write a Dockerfile, CI pipelines, or files that run the image"
REQUEST = ExportRequest


def add(command: argparse.ArgumentParser) -> None:
    """Adds the arguments for the folder of the files."""
    command.add_argument("-o", "--output", default=".", metavar="DIR", help="folder for the files; default: current")
    command.add_argument("--force", action="store_true", help="overwrite files that have another content")


def run(request: ExportRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Writes files that build or run the image elsewhere: a Dockerfile, a CI pipeline, Compose, Kubernetes, …

    With --request, prints the files as JSON and writes none.
    """
    from jupyter_condabuild.jobs import export, exported_files

    made = export.run(request, report)
    if arguments.request:
        print_json(made.summary(), arguments)
        return
    folder = Path(arguments.output)
    changed = exported_files.replaced(folder, made.files)
    if changed and not arguments.force:
        raise UsageError(f"{listed(changed)} would be overwritten.", "Use --force, or choose another folder with -o.")
    written = exported_files.write_files(folder, made.files, made.executable)
    if arguments.json:
        print_json({"files": [str(path) for path in written], "next": made.next}, arguments)
    elif not arguments.events:
        for path in written:
            print_text(str(path))
        print_text(f"Next: {made.next}")
