"""Commands of `jupyter condabuild` beside building: each adds its grammar and makes one call."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_condabuild.errors import UsageError

if TYPE_CHECKING:
    from jupyter_condabuild.requests.build import Request

R = TypeVar("R", bound="Request")


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


def add_request(command: argparse.ArgumentParser) -> None:
    """The way in which a server asks."""
    command.add_argument("--request", default="", metavar="FILE", help="read what is asked as JSON (-: standard input)")


def given(arguments: argparse.Namespace, kind: type[R]) -> R | None:
    """The request that --request names, if it does."""
    if not arguments.request:
        return None
    with open(0 if arguments.request == "-" else arguments.request) as file:
        try:
            value = json.load(file)
        except ValueError as error:
            raise UsageError(f"The request is not JSON: {error}.") from None
    return kind.parse(value)


def print_json(value: Any, arguments: argparse.Namespace) -> None:
    """A result for programs; after events it is one line more."""
    print(json.dumps(value, indent=None if arguments.events else 2, ensure_ascii=bool(arguments.events)))
