"""All cases."""

from __future__ import annotations

from tests.torture import packages
from tests.torture.case import Case

CASES: list[Case] = [*packages.CASES]
