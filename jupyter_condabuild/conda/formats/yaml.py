"""YAML for lock files: the written bytes do not depend on a YAML library, and types are not guessed while reading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jupyter_condabuild.errors import LockfileError

_PLAIN = re.compile(r"[A-Za-z_](?:[\w./+@%~=-]|:(?=//))*", re.ASCII)
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))
_UNPRINTABLE = re.compile(r'[\x00-\x1f"\\\x7f-\uffff\U00010000-\U0010ffff]')


def dump(value: Mapping[str, Any]) -> str:
    """Returns a mapping as block YAML, in the order of the mapping."""
    return "".join(f"{line}\n" for line in _lines(value))


def load(text: str, where: str) -> Any:
    """Parses a document. Every scalar is a string, so that a version 3.10 stays 3.10. Raises LockfileError.

    Args:
        where: the name of the file, for messages.
    """
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        return yaml.load(text, Loader=loader)  # noqa: S506  BaseLoader makes strings, lists and dicts only
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f" (line {mark.line + 1})" if mark else ""
        raise LockfileError(f"{where} is not valid YAML{at}.") from None


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [line for key, item in value.items() for line in _entry(f"{_scalar(key)}:", item)]
    return [line for item in value for line in _item(item)]


def _entry(key: str, value: Any) -> list[str]:
    if isinstance(value, (Mapping, list, tuple)) and value:
        return [key, *(f"  {line}" for line in _lines(value))]
    return [f"{key} {_scalar(value)}"]


def _item(value: Any) -> list[str]:
    if isinstance(value, (Mapping, list, tuple)) and value:
        first, *rest = _lines(value)
        return [f"- {first}", *(f"  {line}" for line in rest)]
    return [f"- {_scalar(value)}"]


def _scalar(value: Any) -> str:
    if isinstance(value, (Mapping, list, tuple)):  # an empty collection
        return "{}" if isinstance(value, Mapping) else "[]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + _UNPRINTABLE.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in '"\\':
        return "\\" + match[0]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
