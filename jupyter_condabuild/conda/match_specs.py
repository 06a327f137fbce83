"""Converts the dependencies of conda packages to the form that all lock file formats can contain."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAME = re.compile(r"\s*([^\s=<>!~\[;]+)")
_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


def merged_depends(depends: Sequence[str]) -> tuple[str, ...]:
    """Returns the dependencies with one spec per name, sorted: ``a >=1`` and ``a <2`` become ``a >=1,<2``.

    Lock files have a mapping of dependencies, which can contain a name only once. Versions are written as rattler
    writes them, without leading zeros (``2023.03`` and ``2023.3`` are equal in all conda tools).
    """
    specs: dict[str, _Spec] = {}
    for depend in depends:
        name, spec = split_depend(depend)
        version, space, build = spec.partition(" ")
        specs.setdefault(name, _Spec()).add(_LEADING_ZEROS.sub("", version) + space + build)
    return tuple(f"{name} {spec}".strip() for name, spec in sorted((name, str(spec)) for name, spec in specs.items()))


class _Spec:
    """The spec of one name. The parts are joined once, so that many parts do not take quadratic time."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0

    def add(self, spec: str) -> None:
        """Adds a spec. A spec with a build cannot be joined with another spec; then the first in order is kept."""
        if not spec or (len(spec) == self._length and spec == str(self)):
            return
        if not self._parts or " " not in spec + self._parts[0]:
            self._parts.append(spec)
            self._length += len(spec) + (len(self._parts) > 1)
        else:
            self._parts = [min(str(self), spec)]
            self._length = len(self._parts[0])

    def __str__(self) -> str:
        return ",".join(self._parts)


def split_depend(depend: str) -> tuple[str, str]:
    """Splits a dependency such as ``python >=3.8`` into the name and the rest."""
    match = _NAME.match(depend)
    return (match[1], depend[match.end() :].strip()) if match else (depend.strip(), "")
