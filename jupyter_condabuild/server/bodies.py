"""The bodies of requests: JSON objects whose members are known and have the right types, or BadRequest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jupyter_condabuild.errors import BadRequest, TooMuch

MOST_BYTES = 1 << 20
"""More than any honest request has."""

SOURCES = ("kernel_id", "kernel_name", "prefix", "lockfile")
"""Members of which a request has exactly one."""

_SNAPSHOT: Mapping[str, type] = {
    "kernel_id": str,
    "kernel_name": str,
    "prefix": str,
    "reference": str,
    "cache_from": list,
}
_BUILD: Mapping[str, type] = {
    **_SNAPSHOT,
    "lockfile": str,
    "push": bool,
    "load": bool,
    "archive": str,
    "engine": str,
    "base": str,
    "installer": str,
    "installer_image": str,
    "pull": bool,
    "include": str,
    "strict": bool,
    "variables": bool,
    "again": bool,
}


def snapshot(body: bytes) -> dict[str, Any]:
    """A SnapshotRequest of openapi.yaml; raises BadRequest."""
    return _parsed(body, _SNAPSHOT)


def build(body: bytes) -> dict[str, Any]:
    """A BuildRequest of openapi.yaml; raises BadRequest."""
    return _parsed(body, _BUILD)


def _parsed(body: bytes, members: Mapping[str, type]) -> dict[str, Any]:
    if len(body) > MOST_BYTES:
        raise TooMuch(f"The request has {len(body)} bytes, and may have {MOST_BYTES}.")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("The request's body is not JSON.") from None
    if not isinstance(value, dict):
        raise BadRequest("The request's body is not a JSON object.")
    for name, given in value.items():
        if name not in members:
            raise BadRequest(f"The request has a member {_quoted(name)}, which is not known here.")
        if type(given) is not members[name]:
            raise BadRequest(f"{name} in the request should be {_ARTICLES[members[name]]}.")
        for text in given if isinstance(given, list) else [given]:
            _check(name, text, members[name])
    sources = [name for name in SOURCES if name in value]
    if len(sources) != 1 or not value[sources[0]]:
        known = ", ".join(name for name in SOURCES if name in members)
        raise BadRequest(f"The request should have exactly one of {known}, and it should not be empty.")
    return value


_ARTICLES = {str: "text", bool: "true or false", list: "a list of texts"}


def _check(name: str, text: object, kind: type) -> None:
    if kind is bool:
        return
    if not isinstance(text, str):
        raise BadRequest(f"{name} in the request should be {_ARTICLES[kind]}.")
    if "\0" in text or (not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)):
        raise BadRequest(f"{name} in the request has a character that no name has.")


def _quoted(name: str) -> str:
    return ascii(name[:100])
