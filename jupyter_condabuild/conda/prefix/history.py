"""History: the specs that the user requested and the channels that the user named, from conda-meta/history."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

_SPECS = re.compile(r"#\s*(?P<action>update|install|create|remove|uninstall|neutered)?\s*specs:\s*(?P<specs>.*)")
_COMMAND = re.compile(r"#\s*cmd:\s*(?P<command>.*)")


@dataclass(frozen=True)
class History:
    """The requested specs and the channels of an environment.

    `requested` maps the name of a package to its latest spec. `channels` are the channels on the command lines, the
    latest command first. Both are as the user typed them and may contain credentials.
    """

    requested: dict[str, str]
    channels: tuple[str, ...]


def spec_name(spec: str) -> str:
    """Returns the package name of a match spec such as ``conda-forge::numpy>=1.26``; empty if it has none."""
    match = re.match(r"\s*(?:.*::)?\s*([\w.+-]+?)\s*(?:[\s=<>!~,;\[|].*)?$", spec, re.ASCII | re.DOTALL)
    return match[1].lower() if match else ""


def read(text: str) -> History:
    """Parses the text of a history file. Skips lines that it cannot parse."""
    requested: dict[str, str] = {}
    channels: list[str] = []
    for line in text.splitlines():
        if match := _COMMAND.match(line):
            channels = [*_channels_of(match["command"]), *channels]
        elif match := _SPECS.match(line):
            for spec in _list_of(match["specs"]):
                name = spec_name(spec)
                if match["action"] in ("remove", "uninstall"):
                    requested.pop(name, None)
                elif name:
                    requested[name] = spec
    return History(requested, tuple(dict.fromkeys(channels)))


def _list_of(text: str) -> list[str]:
    """Parses a list of specs: ``['a', 'b >=1']``, or ``a,b`` as conda before 4.4 wrote it."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        value = re.split(r",(?![\d<>=!*])", text.strip("[]"))
    if not isinstance(value, Iterable) or isinstance(value, str):
        value = [value]
    return [str(spec).strip(" '\"") for spec in value if str(spec).strip(" '\"")]


def _channels_of(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    channels = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in ("-c", "--channel") and following:
            channels.append(following)
        elif word.startswith("--channel="):
            channels.append(word.removeprefix("--channel="))
    return channels
