"""The installers for the first stage of a Dockerfile, micromamba, conda and py-rattler, with their images."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_condabuild.errors import UsageError

PACKAGES = "/var/cache/packages"
"""The folder in which the builder keeps downloaded packages. It is a cache mount, so that no layer contains it."""


@dataclass(frozen=True)
class Installer:
    """A program that makes /opt/env from a lock file.

    Args:
        name: the value of `--installer`.
        image: the default image of the stage.
        lockfile: the format of the lock file that the installer reads.
        command: the command that installs. It is a constant, without values from a lock file.
        prepare: a command that prepares the image; empty for none. It is a constant, too.
        script: a Python script that the command runs; empty for none.
    """

    name: str
    image: str
    lockfile: str
    command: str
    prepare: str = ""
    script: str = ""


_RATTLER = '''\
"""Installs a conda-lock.yml into /opt/env with py-rattler, which checks each package against its hash."""

import asyncio
import hashlib
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rattler import LockFile, Platform, install

LOCK, TARGET = Path(sys.argv[1]), Path("/opt/env")


def check_local(record):
    """Checks a package that is in the build context. py-rattler checks only the packages that it downloads."""
    path = Path(unquote(urlsplit(record.url).path))
    if hashlib.sha256(path.read_bytes()).digest() != record.sha256:
        sys.exit(f"The hash of {path.name} differs from the hash in the lock file.")


async def main():
    environment = LockFile.from_path(LOCK).default_environment()
    (platform,) = environment.platforms()
    records = environment.conda_repodata_records_for_platform(platform) or []
    for record in records:
        if record.url.startswith("file:"):
            check_local(record)
    print(f"{len(records)} packages for {platform}", flush=True)
    await install(records, TARGET, cache_dir=Path(os.environ["CONDA_PKGS_DIRS"]), show_progress=False)
    (TARGET / "CACHEDIR.TAG").unlink(missing_ok=True)


try:
    asyncio.run(main())
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
sys.stdout.flush()
os._exit(0)  # without this, the threads of rattler can crash the interpreter at its end
'''

INSTALLERS = {
    "micromamba": Installer(
        "micromamba",
        image="docker.io/mambaorg/micromamba:2.3.0",
        lockfile="conda-lock",
        command="micromamba create --yes --quiet --no-rc --prefix /opt/env --file {lockfile}",
    ),
    "conda": Installer(
        "conda",
        image="docker.io/condaforge/miniforge3:25.3.1-0",
        lockfile="explicit",
        command="conda create --yes --quiet --prefix /opt/env --file {lockfile}",
    ),
    "rattler": Installer(
        "rattler",
        image="docker.io/library/python:3.12-slim-bookworm",
        lockfile="conda-lock",
        command="python3 install.py {lockfile}",
        prepare="python3 -c 'import rattler' || python3 -m pip install --no-cache-dir 'py-rattler==0.28.0'",
        script=_RATTLER,
    ),
}


def installer(name: str) -> Installer:
    """Returns the installer with this name. Raises UsageError if there is none."""
    try:
        return INSTALLERS[name]
    except KeyError:
        raise UsageError(f"There is no installer {name!r}.", f"Choose one of: {', '.join(INSTALLERS)}.") from None
