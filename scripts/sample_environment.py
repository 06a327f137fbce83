"""Makes the environment of the demo: from conda-forge if it answers, otherwise from a channel made of wheels."""

from __future__ import annotations

import argparse
import sys
import urllib.request
from pathlib import Path

import rattler

from tests.parts.channel import __main__ as local_channel
from tests.parts.channel import prefix
from tests.parts.channel.channel import SETS

CONDA_FORGE = rattler.Channel("conda-forge").base_url


def answers(channel_url: str) -> bool:
    """Returns whether a channel answers within ten seconds."""
    request = urllib.request.Request(f"{channel_url}noarch/repodata.json.zst", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=10):
            return True
    except OSError:
        return False


def main() -> None:
    """Parses the arguments of the command line and makes the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prefix", type=Path, help="folder of the environment")
    parser.add_argument("work", type=Path, help="folder for packages and for the channel made of wheels")
    parser.add_argument("wheels", type=Path, help="folder that keeps the downloaded wheels")
    options = parser.parse_args()
    if answers(CONDA_FORGE):
        print(f"making {options.prefix} from conda-forge", file=sys.stderr)
        prefix.create(options.prefix, SETS["demo"].specs, CONDA_FORGE, options.work / "pkgs", scripts=True)
    else:
        print(f"making {options.prefix} from PyPI, because conda-forge does not answer", file=sys.stderr)
        arguments = [str(options.work / "channel"), "--set=demo", f"--prefix={options.prefix}"]
        local_channel.main([*arguments, f"--wheels={options.wheels}"])


if __name__ == "__main__":
    main()
