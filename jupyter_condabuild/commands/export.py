"""jupyter condabuild export: files that a person would commit."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jupyter_condabuild.commands import add_request, add_source, given, print_json, source
from jupyter_condabuild.errors import UsageError, from_os_error
from jupyter_condabuild.events import Report
from jupyter_condabuild.files import write_whole
from jupyter_condabuild.requests.others import EXPORTS, ExportRequest


def add(commands: Any) -> argparse.ArgumentParser:
    """The command's grammar."""
    command: argparse.ArgumentParser = commands.add_parser(
        "export", help="write a Dockerfile, CI pipelines, files to run the image", description=run.__doc__
    )
    command.add_argument("kind", nargs="?", default="", choices=("", *EXPORTS), metavar="|".join(EXPORTS))
    add_source(command)
    command.add_argument("-t", "--tag", default="", metavar="REFERENCE", help="the image's name")
    command.add_argument("-o", "--output", default=".", metavar="DIR", help="folder to write to; default the current")
    command.add_argument("--force", action="store_true", help="overwrite files that say something else")
    command.add_argument("--engine", choices=("layers", "docker"), default=None, help="what CI builds with")
    command.add_argument("--base", default=None, metavar="REFERENCE", help="the base image")
    command.add_argument("--installer", choices=("micromamba", "conda", "rattler"), default=None)
    command.add_argument("--installer-image", default="", metavar="REFERENCE")
    add_request(command)
    command.set_defaults(run=run)
    return command


def run(arguments: argparse.Namespace, report: Report) -> None:
    """Writes files that build or run the image elsewhere: a Dockerfile, a CI pipeline, Compose, Kubernetes, …

    Asked by --request, it prints them as JSON and writes none.
    """
    from jupyter_condabuild import __version__
    from jupyter_condabuild.jobs.export import files_for

    asked = given(arguments, ExportRequest)
    made, warnings = files_for(asked or _request(arguments), __version__, report)
    if asked:
        files = [
            {"path": path, "text": text, "executable": path in made.executable} for path, text in made.files.items()
        ]
        print_json({"files": files, "next": made.next, "warnings": [asdict(one) for one in warnings]}, arguments)
        return
    folder = Path(arguments.output)
    written = _write(folder, made.files, made.executable, force=arguments.force)
    if arguments.json:
        print_json({"files": [str(path) for path in written], "next": made.next}, arguments)
    elif not arguments.events:
        for path in written:
            print(path)
        print(f"Next: {made.next}")


def _request(arguments: argparse.Namespace) -> ExportRequest:
    from jupyter_condabuild.settings import Settings

    prefix, lockfile = source(arguments)
    return Settings.load().fill(
        ExportRequest,
        kind=arguments.kind,
        prefix=prefix,
        lockfile=lockfile,
        reference=arguments.tag,
        engine=arguments.engine,
        base=arguments.base,
        installer=arguments.installer,
        installer_image=arguments.installer_image,
    )


def _write(folder: Path, files: Any, executable: frozenset[str], *, force: bool) -> list[Path]:
    """Writes all files or, where one would be overwritten with something else, none."""
    changed = [name for name, text in files.items() if (folder / name).exists() and _text(folder / name) != text]
    if changed and not force:
        raise UsageError(f"{', '.join(changed)} would be overwritten.", "Use --force, or -o another folder.")
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
