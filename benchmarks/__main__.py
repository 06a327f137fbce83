"""`python -m benchmarks`: measures, prints the results as Markdown, and writes them as JSON with `--json`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import bytecode, cross, cuda, floor, memory, report, rows, small
from benchmarks.classic import Classic, make_builder
from benchmarks.engine import Engine
from benchmarks.environment import environments
from benchmarks.measure import Sample
from benchmarks.ours import Ours
from benchmarks.report import say, seconds

SECTIONS = ("table", "small", "floor", "bytecode", "memory", "cuda", "cross")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the arguments of the command line and runs the benchmarks."""
    options = _parser().parse_args(arguments)
    results: dict[str, Any] = {}
    try:
        _run(options, results)
    finally:  # a failure must not lose the results of the sections before it: a run takes half an hour
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n")


def _run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    base = os.environ["CONDABUILD_TEST_BASE_REFERENCE"]
    with tempfile.TemporaryDirectory(prefix="condabuild-bench-", dir=options.work) as folder:
        work = Path(folder)
        if "cross" in options.sections:
            results["cross"] = cross.run(work)
            show(cross.text(results["cross"]))
        if "cuda" in options.sections:
            results["cuda"] = cuda.run(Ours(work, base), work, options.scale, options.rounds)
            show(cuda.text(results["cuda"]))
            shutil.rmtree(work / "cuda-env")
            shutil.rmtree(work / "cuda-pkgs")
        if not set(options.sections) - {"cross", "cuda"}:
            return
        engine = Engine() if {"table", "bytecode"} & set(options.sections) else None
        results["machine"] = report.machine(engine.version if engine else "", options.rounds)
        show(report.about(results["machine"]))
        say("making the environment")
        with environments(work, options.cache) as variants:
            results["environment"] = _describe(variants["all"].prefix)
            show(results["environment"]["text"])
            ours = Ours(work, base)
            classics: list[Classic] = []
            if engine:
                builder = f"{base.partition('/')[0]}/bench/builder:1"
                make_builder(engine, base, variants["all"].channel, work, builder)
                classics = [
                    Classic(engine, base, builder, bytecode=compiled)
                    for compiled in ((False,) if options.plain else (False, True))
                ]
            results["changed"] = {name: variants[name].changed_bytes for name in ("small", "large", "ten", "second")}
            show(report.changed(results["changed"]))
            if engine and "table" in options.sections:
                results["table"] = _table(options, engine, [*classics, ours], variants, base, work)
            if "small" in options.sections:
                results["small"] = small.run(work)
                show(small.text(results["small"]))
            if "floor" in options.sections:
                results["floor"] = floor.run(ours, variants["all"], work, base.partition("/")[0], options.rounds)
                show(floor.text(results["floor"]))
            if engine and "bytecode" in options.sections:
                results["bytecode"] = bytecode.run(
                    engine, ours, classics[0], variants["all"], variants["clean"].prefix, drop=options.drop_caches
                )
                show(bytecode.text(results["bytecode"]))
        if "memory" in options.sections:
            results["memory"] = memory.run(ours, work)
            show(memory.text(results["memory"]))
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()


def _table(
    options: argparse.Namespace,
    engine: Engine,
    pipelines: Sequence[Classic | Ours],
    variants: rows.Environments,
    base: str,
    work: Path,
) -> dict[str, Any]:
    registry = base.partition("/")[0]
    newer = f"{registry}/bench/base:newer"
    engine.build({"Dockerfile": f"FROM {base}\nRUN echo newer > /etc/newer\n".encode()}, newer)
    engine.push(newer)
    result = rows.rows()
    for number in range(options.rounds):
        for position, pipeline in enumerate(pipelines):
            repository = f"{registry}/bench/round{number}-{position}"
            for key, sample in _steps(pipeline, engine, variants, repository, (base, newer), work):
                say(f"  {number + 1}/{options.rounds} {pipeline.name}: {result[key].name}: {seconds(sample.seconds)}")
                result[key].add(pipeline.name, sample)
    result["pack"].add("conda-pack", rows.conda_pack(variants["all"], work))
    show(report.table(list(result.values()), [pipeline.name for pipeline in pipelines]))
    return report.as_json(result)


def _steps(
    pipeline: Classic | Ours,
    engine: Engine,
    variants: rows.Environments,
    repository: str,
    bases: tuple[str, str],
    work: Path,
) -> Iterator[tuple[str, Sample]]:
    """Yields one sample for each row that the pipeline has: the key of the row, and the sample."""
    yield from rows.build_rows(pipeline, variants, repository, bases)
    yield from rows.pull_rows(engine, repository, stacked=isinstance(pipeline, Ours))
    if isinstance(pipeline, Ours):
        pipeline.forget()
        yield "cold-lean", pipeline.build(variants["all"], f"{repository}-lean:latest", to=["--push", "--no-bytecode"])
        pipeline.forget()
        yield "cold-lock", pipeline.build_lockfile(variants["all"], f"{repository}-lock:latest")
        yield from rows.our_outputs(pipeline, engine, variants, work)
    else:
        yield from rows.classic_outputs(pipeline, engine, variants, work)


def show(text: str) -> None:
    """Prints a paragraph or a table of the results."""
    print(f"{text}\n", flush=True)


def _describe(prefix: Path) -> dict[str, Any]:
    packages = len(list(prefix.glob("conda-meta/*.json")))
    sizes = [path.lstat().st_size for path in prefix.rglob("*") if path.is_file() and not path.is_symlink()]
    text = f"The environment: {packages} packages, {len(sizes):,} files, {report.size(sum(sizes))}."
    return {"packages": packages, "files": len(sizes), "bytes": sum(sizes), "text": text}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(SECTIONS)
    parser.add_argument("sections", nargs="*", default=SECTIONS, metavar="SECTION", help=f"one of {names}; default all")
    parser.add_argument("--rounds", type=int, default=3, help="how often each row is measured (default 3)")
    parser.add_argument("--plain", action="store_true", help="leave out the BuildKit pipeline that compiles bytecode")
    parser.add_argument("--scale", type=float, default=1.0, help="cuda: the size of its packages (default 1: 4.2 GB)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to this file")
    parser.add_argument("--work", type=Path, help="folder for temporary files (default: the system's)")
    parser.add_argument(
        "--drop-caches", action="store_true", help="bytecode: also measure with an empty page cache (needs root)"
    )
    cache = os.environ.get("JUPYTER_CONDABUILD_TEST_CACHE") or Path.home() / ".cache/jupyter-condabuild-tests"
    parser.add_argument("--cache", type=Path, default=Path(cache), help="folder that keeps the channel and its wheels")
    return parser


if __name__ == "__main__":
    main()
