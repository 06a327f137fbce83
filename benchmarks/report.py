"""The result of a run as Markdown and as JSON, with a description of the machine."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import psutil

from benchmarks.measure import Sample, median
from benchmarks.rows import Row


def machine(engine: str, rounds: int) -> dict[str, Any]:
    """Returns a description of the machine and the software. It has nothing that identifies the owner.

    Args:
        engine: the version of the Docker Engine; empty if it is not used.
        rounds: how often each row is measured; 0 if this does not apply.
    """
    return {
        "date": datetime.date.today().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "engine": engine,
        "py-rattler": version("py-rattler"),
        "isal": version("isal"),
        "rounds": rounds,
        "load_before": round(os.getloadavg()[0], 1),
    }


def about(value: dict[str, Any]) -> str:
    """Returns the description of `machine` in one line."""
    engine = f"Docker Engine {value['engine']}, " if value["engine"] else ""
    rounds = f"median of {value['rounds']}; " if value["rounds"] else ""
    return (
        f"{value['date']}, {value['cores']} cores, {value['memory_gb']} GB memory, Linux {value['kernel']}, "
        f"Python {value['python']}, {engine}py-rattler {value['py-rattler']}; registry and "
        f"channel on loopback; {rounds}load before the run {value['load_before']}"
    )


def table(rows: Sequence[Row], pipelines: Sequence[str]) -> str:
    """Returns the table: seconds, bytes moved and peak memory of each pipeline, and the ratios of the seconds.

    Args:
        pipelines: the names of the columns. The last one is ours; the ratios compare it with each of the others.
    """
    *others, ours = pipelines
    head = ["work", *(f"{name}" for name in pipelines), *(f"ratio to {name}" for name in others), "target"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        samples = {name: median(measurements) for name, measurements in row.samples.items()}
        if not samples:
            continue
        cells = [_cell(samples.get(name)) for name in pipelines]
        ratios = [_ratio(samples.get(name), samples.get(ours)) for name in others]
        for name in samples.keys() - set(pipelines):  # a pipeline without a column: the cell has its name
            cells[0], ratios[0] = f"{name}: {_cell(samples[name])}", _ratio(samples[name], samples.get(ours))
        lines.append([row.name, *cells, *ratios, f"{row.target:.3g}x" if row.target else ""])
    return markdown(lines)


def changed(value: dict[str, int]) -> str:
    """Returns a sentence with the size of the changed packages of each variant of the environment."""
    sizes = [f"{name} {size(count)}" for name, count in value.items()]
    return f"Archives of the changed packages: {', '.join(sizes)}."


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table.

    Args:
        lines: the cells of each line; the first line is the head, the second one the separator.
    """
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_json(rows: dict[str, Row]) -> dict[str, Any]:
    """Returns the rows with every sample, for JSON."""
    return {
        key: {
            "name": row.name,
            "target": row.target,
            "samples": {name: [vars(sample) for sample in samples] for name, samples in row.samples.items()},
        }
        for key, row in rows.items()
    }


def from_json(value: dict[str, Any]) -> dict[str, Row]:
    """Returns the rows of a value of `as_json`."""
    return {
        key: Row(
            name=row["name"],
            target=row["target"],
            samples={name: [Sample(**sample) for sample in samples] for name, samples in row["samples"].items()},
        )
        for key, row in value.items()
    }


def size(count: float) -> str:
    """Returns a number of bytes as text, such as "341 MB"."""
    for unit, bytes_in_it in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= bytes_in_it:
            return f"{count / bytes_in_it:.{0 if count >= 100 * bytes_in_it else 1}f} {unit}"
    return f"{count:.0f} B"


def seconds(value: float) -> str:
    """Returns a duration as text, such as "9.91 s"."""
    return f"{value:.{1 if value >= 10 else 2}f} s"


def say(text: str) -> None:
    """Prints a message about the progress of the run to standard error."""
    print(text, file=sys.stderr, flush=True)


def _ratio(other: Sample | None, ours: Sample | None) -> str:
    return f"{other.seconds / ours.seconds:.1f}x" if other and ours else ""


def _cell(sample: Sample | None) -> str:
    if sample is None:
        return ""
    parts = [seconds(sample.seconds)]
    if sample.moved is not None:
        parts.append(size(sample.moved))
    if sample.memory > 0:
        parts.append(f"{sample.memory / 1e6:.0f} MB memory")
    return ", ".join(parts)
