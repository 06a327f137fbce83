"""The bodies of REST requests: JSON objects of known members with the right types; any other body is a BadRequest.

The members are the options of the requests that a client may give (`requests.option`), and the ways to name an
environment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jupyter_condabuild.errors import BadRequest, TooMuch
from jupyter_condabuild.requests.build import PlanRequest, SourceRequest
from jupyter_condabuild.requests.option import Request, json_type
from jupyter_condabuild.requests.others import JOBS, ExportRequest, PruneRequest

MOST_BYTES = 1 << 20
"""More than any honest request has."""

ENVIRONMENT: Mapping[str, type] = {"kernel_id": str, "kernel_name": str, "prefix": str}
SOURCES: Mapping[str, type] = {**ENVIRONMENT, "lockfile": str}
SIDES: Mapping[str, type] = {**SOURCES, "reference": str}
"""Members of which a snapshot, a build, and each side of a comparison has exactly one."""


def _members(kind: type[Request]) -> dict[str, type]:
    """The options of a request that a client may give, by name, with their types as JSON."""
    return {name: json_type(item) for name, (item, option) in kind.options().items() if option.client}


_SNAPSHOT: Mapping[str, type] = {**ENVIRONMENT, **_members(PlanRequest)}
_JOBS: Mapping[str, Mapping[str, type]] = {
    command: {"command": str, **_members(kind), **(SOURCES if issubclass(kind, SourceRequest) else {})}
    for command, kind in JOBS.items()
}
_EXPORT: Mapping[str, type] = {**SOURCES, **_members(ExportRequest)}
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
    return _known(_object(body), _members(PruneRequest))


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
