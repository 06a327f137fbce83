"""YAML for lock files: the written bytes do not depend on a YAML library, and types are not guessed while reading."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jupyter_condabuild.errors import LockfileError

MOST_NODES = 1_000_000
"""The largest number of values in a document. A lock file of 1,000 packages for five platforms has about 150,000."""

MOST_DEPTH = 100
"""The largest depth of a value in a document. Lock files need six."""

_PLAIN = re.compile(r"[A-Za-z_](?:[\w./+@%~=-]|:(?=//))*", re.ASCII)
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))
_UNPRINTABLE = re.compile(r"[^ !#-\[\]-~]")


def dump(value: Mapping[str, Any]) -> str:
    """Returns a mapping as block YAML, in the order of the mapping."""
    return "".join(f"{line}\n" for line in _lines(value))


def load(text: str, where: str) -> Any:
    """Parses a document. Every scalar is a string, so that a version 3.10 stays 3.10.

    A lock file may come from a stranger. So aliases are refused: each of them can double the document (CWE-776). The
    number of nodes and their depth are bounded.

    Args:
        where: the name of the file, for messages.

    Raises LockfileError.
    """
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        return _document(yaml.parse(text, Loader=loader), where)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f" (line {mark.line + 1})" if mark else ""
        raise LockfileError(f"{where} is not valid YAML{at}.") from None


def incomplete(where: str, kind: str, error: Exception) -> LockfileError:
    """Returns the error for a document that has not the members, or the types of members, of its format.

    Args:
        where: the name of the file.
        kind: the name of the format.
        error: the exception of the code that reads the members.
    """
    cause = "a member has a value of the wrong type"
    if isinstance(error, KeyError):
        cause = f"the member {str(error.args[0])[:100]!r} is missing"
    elif type(error) is ValueError or (isinstance(error, TypeError) and "is not a text" in str(error)):
        cause = str(error)[:200]
    return LockfileError(f"{where} is not a complete {kind}: {cause}.", "Write the lock file again with its tool.")


def _document(events: Iterator[Any], where: str) -> Any:
    """Returns the value of the only document. `yaml.load` would make the same value in eight times the time."""
    from yaml import events as kinds

    root: Any = None
    open_nodes: list[tuple[Any, list[str]]] = []  # a mapping with the key that waits for its value, or a list
    count = documents = 0
    for event in events:
        kind = type(event)
        if kind is kinds.ScalarEvent:
            value: Any = event.value
        elif kind is kinds.MappingStartEvent:
            value = {}
        elif kind is kinds.SequenceStartEvent:
            value = []
        elif kind is kinds.AliasEvent:
            raise LockfileError(
                f"{where} uses a YAML alias (line {event.start_mark.line + 1}).",
                "No tool writes aliases into a lock file. Write the repeated part in full.",
            )
        else:
            documents += kind is kinds.DocumentStartEvent
            if documents > 1:
                raise LockfileError(f"{where} is not valid YAML: it has several documents.")
            if kind is kinds.MappingEndEvent or kind is kinds.SequenceEndEvent:
                open_nodes.pop()
            continue
        count += 1
        if count > MOST_NODES or len(open_nodes) > MOST_DEPTH:
            raise LockfileError(f"{where} is too large: it has more than {MOST_NODES} values, or values too deep.")
        if open_nodes:
            parent, key = open_nodes[-1]
            if isinstance(parent, list):
                parent.append(value)
            elif key:
                parent[key.pop()] = value
            elif kind is kinds.ScalarEvent:
                key.append(value)
            else:
                raise LockfileError(
                    f"{where} is not valid YAML: a key is not a text (line {event.start_mark.line + 1})."
                )
        else:
            root = value
        if kind is not kinds.ScalarEvent:
            open_nodes.append((value, []))
    return root


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
