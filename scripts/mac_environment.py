"""Writes the lock file of a macOS environment: packages of conda-forge if it answers, otherwise of a test channel."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from scripts.sample_environment import CONDA_FORGE, answers
from tests.parts.channel import channel as channels
from tests.parts.channel import platforms

PLATFORM = "osx-arm64"


def main() -> None:
    """Parses the arguments of the command line. Prints the modules that the environment has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lockfile", type=Path, help="the file to write")
    parser.add_argument("work", type=Path, help="folder for a channel and a package cache")
    parser.add_argument("wheels", type=Path, help="folder that keeps the downloaded wheels")
    options = parser.parse_args()
    if answers(CONDA_FORGE):
        print("the packages of macOS come from conda-forge", file=sys.stderr)
        specs, url, modules = ("python 3.12.*", "numpy", "tqdm"), CONDA_FORGE, "numpy, tqdm"
    else:
        print("the packages of macOS come from a test channel, because conda-forge does not answer", file=sys.stderr)
        linux = channels.build(options.work / "linux", {"tiny"}, options.wheels)
        channel = options.work / "channel"
        if not (channel / "noarch/repodata.json").exists():
            platforms.mixed(channel, linux)
        specs, url, modules = ("python", "fastlib", "idna", "tqdm"), channel.as_uri(), "idna, tqdm"
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        prefix = platforms.installed(Path(folder) / "mac", PLATFORM, specs, url, options.work / "pkgs")
        options.lockfile.write_text(dump(lock(snapshot(prefix))))
    print(modules)


if __name__ == "__main__":
    main()
