"""Converts the dependencies of conda packages to the form that all lock file formats can contain."""

from __future__ import annotations

import re
from collections.abc import Sequence


def merged_depends(depends: Sequence[str]) -> tuple[str, ...]:
    """Returns the dependencies with one spec per name, sorted: ``a >=1`` and ``a <2`` become ``a >=1,<2``.

    Lock files have a mapping of dependencies, which can contain a name only once. Versions are written as rattler
    writes them, without leading zeros (``2023.03`` and ``2023.3`` are equal in all conda tools).
    """
    specs: dict[str, str] = {}
    for depend in depends:
        name, spec = split_depend(depend)
        version, space, build = spec.partition(" ")
        spec = re.sub(r"(?<!\d)0+(?=\d)", "", version) + space + build
        earlier = specs.get(name)
        if earlier and spec and spec != earlier:
            specs[name] = f"{earlier},{spec}" if " " not in earlier + spec else min(earlier, spec)
        else:
            specs[name] = earlier or spec
    return tuple(f"{name} {spec}".strip() for name, spec in sorted(specs.items()))


def split_depend(depend: str) -> tuple[str, str]:
    """Splits a dependency such as ``python >=3.8`` into the name and the rest."""
    match = re.match(r"\s*([^\s=<>!~\[;]+)\s*(.*?)\s*$", depend, re.DOTALL)
    return (match[1], match[2]) if match else (depend.strip(), "")
