"""Checks of the bodies of REST requests: a body is a JSON object with known members of the right types.

The members are the options that a client may set (`client` in `requests.option`), and the ways to name an
environment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jupyter_condabuild.errors import BadRequest, TooMuch
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.option import Request, json_type
from jupyter_condabuild.requests.others import JOBS, ExportRequest, PruneRequest
from jupyter_condabuild.requests.receive import InspectRequest, KernelInstallRequest, RecreateRequest, RunRequest
from jupyter_condabuild.requests.source import SourceRequest

MAX_BYTES = 1 << 20
"""The largest body. Every useful request is smaller."""

ENVIRONMENT: Mapping[str, type] = {"kernel_id": str, "kernel_name": str, "prefix": str}
SOURCES: Mapping[str, type] = {**ENVIRONMENT, "lockfile": str}
SIDES: Mapping[str, type] = {**SOURCES, "reference": str}
"""Members and their types. A snapshot has exactly one of ENVIRONMENT, a build one of SOURCES, and each side of a
comparison one of SIDES."""


def _members(kind: type[Request]) -> dict[str, type]:
    """Returns the options of a request that a client may set: name and JSON type."""
    return {name: json_type(item) for name, (item, option) in kind.options().items() if option.client}


_SNAPSHOT: Mapping[str, type] = {**ENVIRONMENT, **_members(PlanRequest)}
_JOBS: Mapping[str, Mapping[str, type]] = {
    command: {"command": str, **_members(kind), **(SOURCES if issubclass(kind, SourceRequest) else {})}
    for command, kind in JOBS.items()
}
_WRITING: Mapping[str, type] = {"folder": str, "replace": bool}
_EXPORT: Mapping[str, type] = {**SOURCES, **_WRITING, **_members(ExportRequest)}
_DIFF_SIDES: Mapping[str, type] = {**SIDES, "build": str}
_DIFF: Mapping[str, type] = {"before": dict, "after": dict}
_CHECK: Mapping[str, type] = {"build": str, "notebook": str, "download": bool}
_LOGIN: Mapping[str, type] = {"registry": str, "user": str, "password": str}


def snapshot(body: bytes) -> dict[str, Any]:
    """Parses a `SnapshotRequest` of openapi.yaml. Raises BadRequest."""
    return _with_one_of(_checked(_object(body), _SNAPSHOT), ENVIRONMENT)


def environment(body: bytes) -> dict[str, Any]:
    """Parses an `EnvironmentRequest` of openapi.yaml. Raises BadRequest."""
    return _with_one_of(_checked(_object(body), ENVIRONMENT), ENVIRONMENT)


def job(body: bytes) -> tuple[str, dict[str, Any]]:
    """Parses a `BuildRequest` of openapi.yaml. Returns the command and the other members. Raises BadRequest."""
    value = _object(body)
    command = value.get("command", "build")
    if not isinstance(command, str) or command not in _JOBS:
        raise BadRequest(f"command in the request must be one of {', '.join(_JOBS)}.")
    _checked(value, _JOBS[command])
    if "lockfile" in _JOBS[command]:
        _with_one_of(value, SOURCES)
    else:
        _with(value, "reference")
    return command, {name: item for name, item in value.items() if name != "command"}


def export(body: bytes) -> dict[str, Any]:
    """Parses an `ExportRequest` of openapi.yaml. Raises BadRequest."""
    return _with(_with_one_of(_checked(_object(body), _EXPORT), SOURCES), "kind")


def written_lockfile(body: bytes) -> dict[str, Any]:
    """Parses a `LockfileWriting` of openapi.yaml. Raises BadRequest."""
    value = _checked(_object(body), {"format": str, **_WRITING})
    if "folder" not in value:
        raise BadRequest("The request must have a member folder.")
    return {"format": "conda-lock", "replace": False, **value}


def diff(body: bytes) -> dict[str, Any]:
    """Parses a `DiffRequest` of openapi.yaml. Raises BadRequest."""
    value = _checked(_object(body), _DIFF)
    for name in _DIFF:
        _with_one_of(_checked(_with(value, name)[name], _DIFF_SIDES), _DIFF_SIDES)
    return value


def licenses(body: bytes) -> dict[str, Any]:
    """Parses a `Side` of openapi.yaml. Raises BadRequest."""
    return _with_one_of(_checked(_object(body), SIDES), SIDES)


def inspection(body: bytes) -> dict[str, Any]:
    """Parses an `InspectionRequest` of openapi.yaml. Raises BadRequest."""
    return _with(_checked(_object(body), _members(InspectRequest)), "reference")


def kernel(body: bytes) -> dict[str, Any]:
    """Parses a `KernelInstallation` of openapi.yaml. Raises BadRequest."""
    return _with(_with(_checked(_object(body), _members(KernelInstallRequest)), "reference"), "seen")


def image_run(body: bytes) -> dict[str, Any]:
    """Parses a `RunRequest` of openapi.yaml. Raises BadRequest."""
    return _with(_with(_checked(_object(body), _members(RunRequest)), "reference"), "seen")


def recreation(body: bytes) -> dict[str, Any]:
    """Parses a `RecreationRequest` of openapi.yaml. Raises BadRequest."""
    value = _checked(_object(body), _members(RecreateRequest))
    for name in ("reference", "seen", "target"):
        _with(value, name)
    return value


def check(body: bytes) -> dict[str, Any]:
    """Parses a `CheckRequest` of openapi.yaml. Raises BadRequest."""
    value = _with(_checked(_object(body), _CHECK), "build")
    return {"notebook": "", "download": False, **value}


def login(body: bytes) -> dict[str, Any]:
    """Parses a `LoginRequest` of openapi.yaml. Raises BadRequest."""
    value = _checked(_object(body), _LOGIN)
    for name in _LOGIN:
        _with(value, name)
    return value


def permission(body: bytes) -> str:
    """Parses a `PermissionRequest` of openapi.yaml. Returns the name of the image. Raises BadRequest."""
    return str(_with(_checked(_object(body), {"reference": str}), "reference")["reference"])


def prune(body: bytes) -> dict[str, Any]:
    """Parses a `PruneRequest` of openapi.yaml. Raises BadRequest."""
    return _checked(_object(body), _members(PruneRequest))


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BYTES:
        raise TooMuch(f"The request has {len(body)} bytes. The limit is {MAX_BYTES} bytes.")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("The request's body is not JSON.") from None
    if not isinstance(value, dict):
        raise BadRequest("The request's body is not a JSON object.")
    return value


_DESCRIPTIONS = {
    str: "a string",
    bool: "true or false",
    int: "a whole number, 0 or more",
    list: "a list of strings",
    dict: "a JSON object",
}


def _checked(value: dict[str, Any], members: Mapping[str, type]) -> dict[str, Any]:
    """Returns `value` if it has no other members, and each member has its type. Raises BadRequest."""
    for name, item in value.items():
        if name not in members:
            raise BadRequest(f"The request has an unknown member {_quoted(name)}.")
        kind = members[name]
        if type(item) is not kind or (isinstance(item, int) and item < 0):
            raise BadRequest(f"{name} in the request must be {_DESCRIPTIONS[kind]}.")
        for text in item if isinstance(item, list) else [item]:
            if kind in (str, list):
                _check_text(name, text, kind)
    return value


def _with_one_of(value: dict[str, Any], names: Mapping[str, type]) -> dict[str, Any]:
    """Returns `value` if it has exactly one of the members, which is not empty. Raises BadRequest."""
    present = [name for name in names if name in value]
    if len(present) != 1 or not value[present[0]]:
        raise BadRequest(f"The request must have exactly one of {', '.join(names)}, and it must not be empty.")
    return value


def _with(value: dict[str, Any], name: str) -> dict[str, Any]:
    """Returns `value` if it has the member, which is not empty. Raises BadRequest."""
    if not value.get(name):
        raise BadRequest(f"The request must have a member {name}, and it must not be empty.")
    return value


def _check_text(name: str, text: object, kind: type) -> None:
    if not isinstance(text, str):
        raise BadRequest(f"{name} in the request must be {_DESCRIPTIONS[kind]}.")
    if "\0" in text or (not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)):
        raise BadRequest(f"{name} in the request has a character that is not allowed: NUL or a lone surrogate.")


def _quoted(name: str) -> str:
    return ascii(name[:100])
