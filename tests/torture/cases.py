"""All cases."""

from __future__ import annotations

from tests.torture import archives, images, lockfiles, packages, prefixes, registries
from tests.torture.case import Case

CASES: list[Case] = [
    *packages.CASES,
    *archives.CASES,
    *prefixes.CASES,
    *lockfiles.CASES,
    *images.CASES,
    *registries.CASES,
]
