"""All cases."""

from __future__ import annotations

from tests.torture import archives, packages, prefixes
from tests.torture.case import Case

CASES: list[Case] = [*packages.CASES, *archives.CASES, *prefixes.CASES]
