"""Who installs the environment in a Dockerfile's first stage: micromamba, conda or py-rattler, and in which image."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_condabuild.errors import UsageError

PACKAGES = "/var/cache/packages"
"""Where the builder keeps downloaded packages: a cache mount, never part of a layer."""


@dataclass(frozen=True)
class Installer:
    """A way to make /opt/env of a lock file.

    `image` is the stage's default image, `lockfile` the format it reads, `prepare` a command that readies the image
    (empty for none), `command` the one that installs. Both are constants: nothing of a lock file is ever in them.
    """

    name: str
    image: str
    lockfile: str
    command: str
    prepare: str = ""
    script: str = ""


_RATTLER = '''\
"""Installs a conda-lock.yml into /opt/env with py-rattler, which checks each package against the lock file's hash."""

import asyncio
import hashlib
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rattler import LockFile, Platform, install

LOCK, TARGET = Path(sys.argv[1]), Path("/opt/env")


def check_local(record):
    """Packages that came with the lock file are not downloaded, so that nothing else checks them."""
    path = Path(unquote(urlsplit(record.url).path))
    if hashlib.sha256(path.read_bytes()).digest() != record.sha256:
        sys.exit(f"{path.name} is not the package that the lock file names.")


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
os._exit(0)  # rattler's threads can crash an interpreter that is being taken down
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
    """The installer of this name; raises UsageError where there is none."""
    try:
        return INSTALLERS[name]
    except KeyError:
        raise UsageError(f"There is no installer {name!r}.", f"Installers are: {', '.join(INSTALLERS)}.") from None
