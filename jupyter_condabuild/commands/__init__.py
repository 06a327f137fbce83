"""Commands of `jupyter condabuild` beside building: each adds its grammar and makes one call."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from jupyter_condabuild.errors import UsageError


def add_source(command: argparse.ArgumentParser) -> None:
    """An environment or a lock file."""
    command.add_argument("prefix", nargs="?", default="", metavar="PREFIX")
    command.add_argument("--lockfile", default="", metavar="FILE", help="a lock file instead of PREFIX")


def source(arguments: argparse.Namespace) -> tuple[str, str]:
    """The folder of the environment, or else the lock file; one of them is empty."""
    if arguments.prefix and arguments.lockfile:
        raise UsageError("Name an environment or --lockfile, not both.")
    prefix = arguments.prefix or os.environ.get("CONDA_PREFIX", "")
    if arguments.lockfile:
        return "", str(Path(arguments.lockfile))
    if not prefix:
        raise UsageError("No environment is active, and none was named.", "Name its folder, or --lockfile FILE.")
    return os.path.abspath(prefix), ""


def print_json(value: Any) -> None:
    """A result for programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
