"""`python -m benchmarks.scale lab|packages|sizes|store`: measures, prints Markdown, and writes JSON where told to."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import say
from benchmarks.scale import simulation
from benchmarks.scale.lab import make
from benchmarks.scale.policies import policies

SEED = 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line and does what it says."""
    options = _parser().parse_args(arguments)
    result = _lab(options.seed)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _lab(seed: int) -> dict[str, Any]:
    lab = make(seed)
    about = simulation.describe(lab, seed)
    print(f"{about}\n", flush=True)
    years = []
    for policy in policies(lab):
        say(f"  {policy.name}")
        years.append(simulation.run(lab, policy))
    print(simulation.table(years))
    return {"about": about, "seed": seed, "policies": [year.summary() for year in years]}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("what", choices=("lab",))
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the simulated lab (default {SEED})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    return parser


if __name__ == "__main__":
    main()
