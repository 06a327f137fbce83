"""The relations between packages of Debian: what a package needs, provides, and does not work with.

Source: Debian Policy, sections 7.1 (syntax), 7.5 (Provides) and 7.6 (Replaces).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_condabuild.debian.versions import sort_key

_RELATION = re.compile(
    r"([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s()]+)\s*\))?", re.ASCII
)
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "<<": operator.lt,
    "<": operator.le,  # an old form of <=
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">": operator.ge,  # an old form of >=
    ">>": operator.gt,
}


@dataclass(frozen=True)
class Relation:
    """A package, and the versions of it that are meant: all if `comparison` is empty."""

    name: str
    comparison: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.comparison} {self.version})" if self.comparison else self.name

    def accepts(self, version: str) -> bool:
        """Whether a version is meant. An empty version, as of a provided name, is meant only by all versions."""
        if not self.comparison:
            return True
        return bool(version) and _COMPARED[self.comparison](sort_key(version), sort_key(self.version))

    def is_met_by(self, fields: Mapping[str, str]) -> bool:
        """Whether a package with these fields is the package that is meant, or provides it."""
        if fields.get("Package") == self.name and self.accepts(fields.get("Version", "")):
            return True
        provides = fields.get("Provides", "")
        if self.name not in provides:
            return False
        provided = (one for choices in relations(provides) for one in choices)
        return any(one.name == self.name and self.accepts(one.version) for one in provided)


def relations(text: str) -> Iterator[tuple[Relation, ...]]:
    """Yields the relations of a field. Each is a tuple of choices, of which one is enough."""
    for item in text.split(","):
        found = (_RELATION.match(choice.strip()) for choice in item.split("|"))
        if choices := tuple(Relation(match[1], match[2] or "", match[3] or "") for match in found if match):
            yield choices
