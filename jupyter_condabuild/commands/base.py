"""jupyter condabuild base: the maintained base image of a team, refreshed each night."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_condabuild.commands import add_source, print_json, source
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.events import Report


def add(commands: Any) -> argparse.ArgumentParser:
    """The command's grammar."""
    command: argparse.ArgumentParser = commands.add_parser(
        "base", help="refresh the maintained base image", description=run.__doc__
    )
    add_source(command)
    command.add_argument("-t", "--tag", required=True, metavar="REFERENCE", help="the image whose base this is")
    command.add_argument("--keep", type=int, default=7, metavar="N", help="dated bases to keep; default 7")
    command.add_argument(
        "--without", action="append", default=[], metavar="NAME", help="a package that changes too often for a base"
    )
    command.add_argument("--engine", choices=("layers", "docker"), default=None)
    command.add_argument("--base", default=None, metavar="REFERENCE", help="the image below")
    command.add_argument("--installer", choices=("micromamba", "conda", "rattler"), default=None)
    command.add_argument("--installer-image", default=None, metavar="REFERENCE")
    command.set_defaults(run=run)
    return command


def run(arguments: argparse.Namespace, report: Report) -> None:
    """Makes the base of today (tags base-YYYYMMDD and latest-base) and removes old ones; meant for a schedule."""
    from jupyter_condabuild.build.baseimage import refresh
    from jupyter_condabuild.build.inspect import lock_report
    from jupyter_condabuild.conda.lockfile import dump, load, of_packages
    from jupyter_condabuild.oci.layout import Store
    from jupyter_condabuild.settings import Settings

    settings = Settings.load()
    prefix, file = source(arguments)
    lockfile = lock_report(Path(prefix), report).lockfile if prefix else load(Path(file))
    with Store(Path(settings.store_dir)) as store, store.folder() as work:
        if arguments.without:
            names = {package.name for package in lockfile.conda} | {package.name for package in lockfile.pip}
            if unknown := sorted(set(arguments.without) - names):
                raise UsageError(f"The environment has no {', '.join(unknown)}.", "See --without.")
            left = [package for package in lockfile.conda if package.name not in arguments.without]
            pip = [package for package in lockfile.pip if package.name not in arguments.without]
            lockfile = of_packages(lockfile.platform, left, pip)
            prefix, file = "", str(work / "conda-lock.yml")
            Path(file).write_text(dump(lockfile))
        request = settings.request(
            prefix=prefix,
            lockfile=file,
            reference=arguments.tag,
            push=True,
            engine=arguments.engine,
            base=arguments.base,
            installer=arguments.installer,
            installer_image=arguments.installer_image,
        )
        found = refresh(request, lockfile, f"{datetime.now(UTC):%Y%m%d}", arguments.keep, report)
    if arguments.json:
        print_json(found.summary())
    elif not arguments.events:
        print(found.text())
