"""The hostile inputs: some cases of each kind, as many as `make test` has time for."""

from __future__ import annotations

import os
from collections import defaultdict

import pytest

from tests.torture.case import Case
from tests.torture.cases import CASES
from tests.torture.judge import judge

EACH = int(os.environ.get("CONDABUILD_TORTURE_CASES", "8"))
"""Cases of a kind; `python -m tests.torture` runs all."""


def some(cases: list[Case]) -> list[Case]:
    """An even choice of the cases of each kind."""
    by_kind: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_kind[case.kind].append(case)
    return [case for found in by_kind.values() for case in found[:: max(1, len(found) // EACH)]]


@pytest.mark.parametrize("case", some(CASES), ids=lambda case: case.title)
def test_the_program_survives(case: Case) -> None:
    """Nothing outside is read or written, nothing is executed, each error is caught, within the limits."""
    verdict = judge(case, limit=10.0)  # other tests use the processors at the same time
    assert verdict.faults == [], verdict.output[-2000:]


def test_no_two_cases_have_one_title() -> None:
    """Each case is a fault of its own."""
    titles = [case.title for case in CASES]
    assert len(titles) == len(set(titles))
