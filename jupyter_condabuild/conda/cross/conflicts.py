"""Conflicts of packages: which packages and versions a solver's text is about, in words that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from jupyter_condabuild.text import listed

_WORD = re.compile(r"[\w.-]+")
_SHOWN = 5


def named_in(reason: str, names: Collection[str]) -> list[str]:
    """Returns the names that a solver's text has, in the order of the text."""
    return [word for word in dict.fromkeys(_WORD.findall(reason)) if word in names]


def offered(name: str, versions: Iterable[str]) -> str:
    """Returns a sentence with the newest versions of a package that channels have."""
    from rattler import Version

    found = sorted(set(versions), key=Version, reverse=True)
    return f"The channels have {name} {listed(found, _SHOWN)}." if found else f"The channels have no {name}."
