"""Dependencies as conda's packages name them, in the one form that all lock file formats can hold."""

from __future__ import annotations

import re
from collections.abc import Sequence


def merged_depends(depends: Sequence[str]) -> tuple[str, ...]:
    """One spec a name, sorted: ``a >=1`` and ``a <2`` are ``a >=1,<2``, since lock files keep them in a mapping.

    Versions are as rattler writes them, without leading zeros (``2023.03`` is ``2023.3`` to all of conda's tools).
    """
    specs: dict[str, str] = {}
    for depend in depends:
        name, spec = split_depend(depend)
        version, space, build = spec.partition(" ")
        spec = re.sub(r"(?<!\d)0+(?=\d)", "", version) + space + build
        known = specs.get(name)
        if known and spec and spec != known:
            specs[name] = f"{known},{spec}" if " " not in known + spec else min(known, spec)
        else:
            specs[name] = known or spec
    return tuple(f"{name} {spec}".strip() for name, spec in sorted(specs.items()))


def split_depend(depend: str) -> tuple[str, str]:
    """``python >=3.8`` as its name and the rest."""
    match = re.match(r"\s*([^\s=<>!~\[;]+)\s*(.*?)\s*$", depend, re.DOTALL)
    return (match[1], match[2]) if match else (depend.strip(), "")
