"""The order of the versions of Debian packages.

Source: deb-version(7), "Sorting algorithm".
"""

from __future__ import annotations

import re
from typing import Any

_PARTS = re.compile(r"([^0-9]*)([0-9]*)", re.ASCII)
_END = 0


def sort_key(version: str) -> tuple[Any, ...]:
    """Returns a value by which versions are sorted, the oldest first."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "0")
    return int(epoch) if epoch.isdecimal() else 0, _parts(upstream), _parts(revision)


def _parts(text: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Returns pairs of other characters and a number. A tilde comes before the end, and a letter before other signs."""
    found = (pair for pair in _PARTS.findall(text) if any(pair))
    pairs = [((*map(_order, letters), _END), int(digits or "0")) for letters, digits in found]
    return (*pairs, ((_END,), 0))


def _order(sign: str) -> int:
    if sign == "~":
        return -1
    return ord(sign) if sign.isalpha() else ord(sign) + 256
