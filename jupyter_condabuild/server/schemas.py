"""The bodies of requests: JSON objects whose members are known and have the right types, or BadRequest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jupyter_condabuild.errors import BadRequest, TooMuch

MOST_BYTES = 1 << 20
"""More than any honest request has."""

ENVIRONMENT: Mapping[str, type] = {"kernel_id": str, "kernel_name": str, "prefix": str}
SOURCES: Mapping[str, type] = {**ENVIRONMENT, "lockfile": str}
SIDES: Mapping[str, type] = {**SOURCES, "reference": str}
"""Members of which a snapshot, a build, and each side of a comparison has exactly one."""

_RECIPE: Mapping[str, type] = {
    "reference": str,
    "engine": str,
    "base": str,
    "installer": str,
    "installer_image": str,
}
_SNAPSHOT: Mapping[str, type] = {**ENVIRONMENT, **_RECIPE, "cache_from": list, "bytecode": bool}
_JOBS: Mapping[str, Mapping[str, type]] = {
    "build": {
        **SOURCES,
        **_RECIPE,
        "command": str,
        "cache_from": list,
        "push": bool,
        "load": bool,
        "archive": str,
        "pull": bool,
        "include": str,
        "strict": bool,
        "variables": bool,
        "stack": bool,
        "bytecode": bool,
        "again": bool,
    },
    "base": {**SOURCES, **_RECIPE, "command": str, "keep": int, "without": list},
    "rebase": {"command": str, "reference": str, "base": str, "target": str},
    "verify": {"command": str, "reference": str},
}
_EXPORT: Mapping[str, type] = {**SOURCES, **_RECIPE, "kind": str}
_DIFF: Mapping[str, type] = {"before": dict, "after": dict}


def snapshot(body: bytes) -> dict[str, Any]:
    """A SnapshotRequest of openapi.yaml; raises BadRequest."""
    return _one_of(_known(_object(body), _SNAPSHOT), ENVIRONMENT)


def job(body: bytes) -> tuple[str, dict[str, Any]]:
    """The command of a BuildRequest of openapi.yaml, and its other members; raises BadRequest."""
    value = _object(body)
    command = value.get("command", "build")
    if not isinstance(command, str) or command not in _JOBS:
        raise BadRequest(f"command in the request should be one of {', '.join(_JOBS)}.")
    _known(value, _JOBS[command])
    if "lockfile" in _JOBS[command]:
        _one_of(value, SOURCES)
    else:
        _needed(value, "reference")
    return command, {name: given for name, given in value.items() if name != "command"}


def export(body: bytes) -> dict[str, Any]:
    """An ExportRequest of openapi.yaml; raises BadRequest."""
    return _needed(_one_of(_known(_object(body), _EXPORT), SOURCES), "kind")


def diff(body: bytes) -> dict[str, Any]:
    """A DiffRequest of openapi.yaml; raises BadRequest."""
    value = _known(_object(body), _DIFF)
    for name in _DIFF:
        _one_of(_known(_needed(value, name)[name], SIDES), SIDES)
    return value


def prune(body: bytes) -> dict[str, Any]:
    """A PruneRequest of openapi.yaml; raises BadRequest."""
    return _known(_object(body), {"keep_bytes": int})


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > MOST_BYTES:
        raise TooMuch(f"The request has {len(body)} bytes, and may have {MOST_BYTES}.")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("The request's body is not JSON.") from None
    if not isinstance(value, dict):
        raise BadRequest("The request's body is not a JSON object.")
    return value


_ARTICLES = {
    str: "text",
    bool: "true or false",
    int: "a whole number from 0",
    list: "a list of texts",
    dict: "a JSON object",
}


def _known(value: dict[str, Any], members: Mapping[str, type]) -> dict[str, Any]:
    for name, given in value.items():
        if name not in members:
            raise BadRequest(f"The request has a member {_quoted(name)}, which is not known here.")
        kind = members[name]
        if type(given) is not kind or (isinstance(given, int) and given < 0):
            raise BadRequest(f"{name} in the request should be {_ARTICLES[kind]}.")
        for text in given if isinstance(given, list) else [given]:
            if kind in (str, list):
                _check(name, text, kind)
    return value


def _one_of(value: dict[str, Any], names: Mapping[str, type]) -> dict[str, Any]:
    found = [name for name in names if name in value]
    if len(found) != 1 or not value[found[0]]:
        raise BadRequest(f"The request should have exactly one of {', '.join(names)}, and it should not be empty.")
    return value


def _needed(value: dict[str, Any], name: str) -> dict[str, Any]:
    if not value.get(name):
        raise BadRequest(f"The request should have a member {name}, and it should not be empty.")
    return value


def _check(name: str, text: object, kind: type) -> None:
    if not isinstance(text, str):
        raise BadRequest(f"{name} in the request should be {_ARTICLES[kind]}.")
    if "\0" in text or (not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)):
        raise BadRequest(f"{name} in the request has a character that no name has.")


def _quoted(name: str) -> str:
    return ascii(name[:100])
