"""`python -m benchmarks.scale lab|packages|sizes|store`: measures, prints Markdown, and writes JSON with `--json`."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.ours import Ours
from benchmarks.report import say, size
from benchmarks.scale import growth, simulation
from benchmarks.scale.lab import make
from benchmarks.scale.policies import policies

SEED = 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the arguments of the command line and runs the benchmark."""
    options = _parser().parse_args(arguments)
    result = _lab(options.seed) if options.benchmark == "lab" else _grow(options)
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


def _grow(options: argparse.Namespace) -> dict[str, Any]:
    machine = report.machine(engine="", rounds=0)
    print(f"{report.about(machine)}; cold builds once, all others the best of {growth.RUNS}\n", flush=True)
    base = os.environ["CONDABUILD_TEST_BASE_REFERENCE"]
    registry = base.partition("/")[0]
    with tempfile.TemporaryDirectory(prefix="condabuild-bench-", dir=options.work) as folder:
        work = Path(folder)
        ours = Ours(work, base)
        match options.benchmark:
            case "packages":
                steps = growth.packages(ours, work, registry)
                print(growth.table("packages", steps))
            case "sizes":
                steps = growth.sizes(ours, work, registry, (*growth.SIZES, *((growth.HUGE,) if options.huge else ())))
                print(growth.table("bytes", steps, size))
            case _:
                steps = growth.store(ours, work, registry)
                print(growth.table("builds in the store", steps))
    return {"machine": machine, options.benchmark: growth.as_json(steps)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("benchmark", choices=("lab", "packages", "sizes", "store"), help="the benchmark to run")
    parser.add_argument("--seed", type=int, default=SEED, help=f"lab: the seed of the simulation (default {SEED})")
    parser.add_argument(
        "--huge", action="store_true", help="sizes: also measure a package of 4 GB, which needs 20 GB of disk space"
    )
    parser.add_argument("--work", type=Path, help="folder for temporary files (default: the system's)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to this file")
    return parser


if __name__ == "__main__":
    main()
