"""jupyter condabuild export: writes files for a project, which build or run the image elsewhere."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from jupyter_condabuild.commands.output import print_json, print_text
from jupyter_condabuild.errors import UsageError, from_os_error
from jupyter_condabuild.events import Report
from jupyter_condabuild.files import write_whole
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
    from jupyter_condabuild.jobs import export

    made = export.run(request, report)
    if arguments.request:
        print_json(made.summary(), arguments)
        return
    written = _write(Path(arguments.output), made.files, made.executable, force=arguments.force)
    if arguments.json:
        print_json({"files": [str(path) for path in written], "next": made.next}, arguments)
    elif not arguments.events:
        for path in written:
            print_text(str(path))
        print_text(f"Next: {made.next}")


def _write(folder: Path, files: Mapping[str, str], executable: frozenset[str], *, force: bool) -> list[Path]:
    """Writes all files and returns their paths; writes none if one would replace a file with another content.

    Raises UsageError in that case (unless `force` is set), and StoreError.
    """
    changed = [name for name, text in files.items() if (folder / name).exists() and _text(folder / name) != text]
    if changed and not force:
        raise UsageError(f"{listed(changed)} would be overwritten.", "Use --force, or choose another folder with -o.")
    for name, text in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise from_os_error(error, "writing the files", path) from None
        write_whole(path, text, "writing the files", mode=0o777 if name in executable else 0o666)
    return [folder / name for name in files]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
