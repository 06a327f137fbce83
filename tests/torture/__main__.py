"""``python -m tests.torture [KIND …]``: runs all cases, or those of some kinds, and prints a table."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from tests.torture.cases import CASES
from tests.torture.judge import MEGABYTES, SECONDS, Verdict, judge


def main() -> None:
    """Ends with status 1 if a case found a fault."""
    kinds = sys.argv[1:] or sorted({case.kind for case in CASES})
    chosen = [case for case in CASES if case.kind in kinds]
    with ThreadPoolExecutor(2) as threads:
        verdicts = list(threads.map(judge, chosen))
    for verdict in verdicts:
        for fault in verdict.faults:
            print(f"FAULT  {verdict.case.title}: {fault}")
    print(
        f"{'kind':<12} {'cases':>6} {'faults':>7} {'slowest':>9} {'largest':>9}   limits: {SECONDS} s, {MEGABYTES} MB"
    )
    for kind in kinds:
        _print(kind, [verdict for verdict in verdicts if verdict.case.kind == kind])
    _print("all", verdicts)
    raise SystemExit(any(verdict.faults for verdict in verdicts))


def _print(title: str, verdicts: list[Verdict]) -> None:
    slowest = max((verdict.seconds for verdict in verdicts), default=0.0)
    largest = max((verdict.megabytes for verdict in verdicts), default=0.0)
    faults = sum(bool(verdict.faults) for verdict in verdicts)
    print(f"{title:<12} {len(verdicts):>6} {faults:>7} {slowest:>7.1f} s {largest:>6.0f} MB")


if __name__ == "__main__":
    main()
