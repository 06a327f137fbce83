"""Makes the arguments of a command from the options of its request, and a request from parsed arguments."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import Field, replace
from typing import Any, TypeVar

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.requests.image_names import repositories_of
from jupyter_condabuild.requests.option import Option, Request, json_type
from jupyter_condabuild.settings import Settings

R = TypeVar("R", bound=Request)


def add_options(command: argparse.ArgumentParser, kind: type[Request]) -> None:
    """Adds an argument for each option that has one, and ``--request``, with which a server passes the request."""
    for name, (item, option) in sorted(kind.options().items(), key=lambda named: not named[1][1].first):
        if option.is_argument:
            _add(command, name, item, option)
    command.add_argument("--request", default="", metavar="FILE", help="read the request from a JSON file (-: stdin)")


def _add(command: argparse.ArgumentParser, name: str, item: Field[Any], option: Option) -> None:
    more: dict[str, Any] = {"default": None, "help": option.help}
    if option.metavar:
        more["metavar"] = option.metavar
    kind = json_type(item)
    if not option.flags:  # a list takes all arguments that are left, also those that begin with a dash
        command.add_argument(name, nargs=argparse.REMAINDER if kind is list else "?", **more)
        return
    if kind is bool:
        more["action"] = argparse.BooleanOptionalAction if option.setting else "store_true"
    elif kind is list:
        more |= {"action": "extend", "nargs": "+"} if option.several else {"action": "append"}
    elif kind is int:
        more["type"] = int
    if option.choices:
        more["choices"] = option.choices
    command.add_argument(*option.flags, dest=name, **more)


def request_of(arguments: argparse.Namespace, kind: type[R]) -> R:
    """Returns the request for parsed arguments; the settings give the values of options that are not set.

    Raises UsageError, BadReference or BadDigest.
    """
    if arguments.request:
        return kind.parse(_read(arguments.request))
    given = {name: getattr(arguments, name) for name, (_, option) in kind.options().items() if option.is_argument}
    if "prefix" in given:
        given["prefix"] = _prefix(given["prefix"], given.get("lockfile"), active=kind.takes_active(given))
    if "source" in given:
        given["source"] = given["source"] or os.environ.get("CONDA_PREFIX", "")
    settings = Settings.load()
    if given.get("cache_from"):  # the user has typed the names of these images, so their repositories are trusted
        trusted = (*settings.trusted_repositories, *repositories_of(given["cache_from"]))
        settings = replace(settings, trusted_repositories=trusted)
    return kind.of(settings, **given)


def _read(file: str) -> Any:
    with open(0 if file == "-" else file) as opened:
        try:
            return json.load(opened)
        except ValueError as error:
            raise UsageError(f"The request is not JSON: {error}.") from None


def _prefix(given: str | None, lockfile: str | None, *, active: bool) -> str | None:
    """Returns the absolute path of the given environment, or else of the active one; None with a lock file.

    Args:
        active: whether the active environment counts. If not, the result is None if none is given.

    Raises UsageError if both an environment and a lock file are given, or if no environment is given or active.
    """
    if lockfile:
        if given:
            raise UsageError("An environment and --lockfile are both given.", "Give only one of them.")
        return None
    prefix = given or os.environ.get("CONDA_PREFIX", "")
    if not given and not active:
        return None
    if not prefix:
        raise UsageError(
            "No environment is given, and no environment is active.",
            "Give the folder of an environment: jupyter condabuild … PREFIX.",
        )
    if os.path.isfile(prefix):
        raise UsageError(f"{prefix} is a file, not the folder of an environment.", f"A lock file: --lockfile {prefix}.")
    return os.path.abspath(prefix)
