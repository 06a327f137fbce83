"""Parses SPDX license expressions: identifiers of the SPDX list and LicenseRefs, joined by AND, OR and WITH.

The library license-expression takes 70 ms to import, which each build would wait for. The tests compare with it.

Source: SPDX 2.3, annex D "SPDX license expressions"; the identifiers are in spdx_licenses.txt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files

_REFERENCE = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")
_LONGEST = 300
"""The number of characters above which a name is not read as an expression."""

_WORDS = ("AND", "OR", "WITH")


@cache
def parse(name: str) -> tuple[str, list[str]] | None:
    """Returns the expression in its canonical form, and its identifiers; None if the name is no expression."""
    if len(name) > _LONGEST:
        return None
    parser = _Parser(_parts(name))
    try:
        expression, _ = parser.alternatives()
        parser.end()
    except (_NoExpression, RecursionError):
        return None
    return expression, list(dict.fromkeys(parser.keys))


class _NoExpression(Exception):
    """A text that is not an SPDX expression."""


class _Parser:
    """Reads parts. `keys` are the identifiers that were read. Each method raises _NoExpression."""

    def __init__(self, parts: Iterator[str]) -> None:
        self._parts = parts
        self._next = next(parts, "")
        self.keys: list[str] = []

    def alternatives(self) -> tuple[str, bool]:
        """Reads operands of OR. Returns their canonical form, and whether it needs no parentheses."""
        return self._joined("OR", lambda: self._joined("AND", self._operand))

    def end(self) -> None:
        """Checks that no part is left."""
        if self._next:
            raise _NoExpression

    def _joined(self, operator: str, operand: Callable[[], tuple[str, bool]]) -> tuple[str, bool]:
        parts = [operand()]
        while self._next == operator:
            self._take()
            parts.append(operand())
        if len(parts) == 1:
            return parts[0]
        return f" {operator} ".join(text if is_single else f"({text})" for text, is_single in parts), False

    def _operand(self) -> tuple[str, bool]:
        part = self._take()
        if part == "(":
            inner = self.alternatives()
            if self._take() != ")":
                raise _NoExpression
            return inner
        license = self._known(part, "license")
        if self._next != "WITH":
            return license, True
        self._take()
        return f"{license} WITH {self._known(self._take(), 'exception')}", True

    def _known(self, part: str, kind: str) -> str:
        reference = kind == "license" and _REFERENCE.fullmatch(part)
        key = part if reference else _identifiers().get((kind, part.lower()))
        if key is None:
            raise _NoExpression
        self.keys.append(key)
        return key

    def _take(self) -> str:
        part, self._next = self._next, next(self._parts, "")
        return part


def _parts(text: str) -> Iterator[str]:
    """Yields parentheses, operators, and the text between them, which may have spaces: ``GPL 2.0``."""
    words: list[str] = []
    for word in text.replace("(", " ( ").replace(")", " ) ").split():
        mark = word.upper()
        if mark in _WORDS or word in "()":
            if words:
                yield " ".join(words)
                words.clear()
            yield mark
        else:
            words.append(word)
    if words:
        yield " ".join(words)


@cache
def _identifiers() -> dict[tuple[str, str], str]:
    """Returns the identifier by its kind and by each of its names in lower case."""
    text = (files("jupyter_condabuild.sbom") / "spdx_licenses.txt").read_text(encoding="utf-8")
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            kind, *names = line.split("\t")
            found.update(dict.fromkeys(((kind, name.lower()) for name in names), names[0]))
    return found
