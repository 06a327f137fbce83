"""Measures the effect of bytecode: the first import in a new container with and without bytecode, and on the host."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.classic import Classic
from benchmarks.engine import Engine
from benchmarks.environment import Environment
from benchmarks.ours import Ours
from benchmarks.report import markdown, seconds, size

MODULES = ("pandas", "scipy.stats", "sklearn.ensemble", "matplotlib.pyplot", "statsmodels.api", "sympy", "networkx",
           "bokeh.plotting", "dask.array")  # fmt: skip
TOGETHER = ",".join(MODULES)
RUNS = 3
USER = "1000:1000"
IMPORT = "import time; started = time.perf_counter(); import {}; print(time.perf_counter() - started)"
_DROP = Path("/proc/sys/vm/drop_caches")


def run(
    engine: Engine, ours: Ours, without: Classic, environment: Environment, clean: Path, *, drop: bool
) -> dict[str, Any]:
    """Measures imports. Returns the seconds by module and place, and the sizes of the images in bytes.

    Args:
        without: the pipeline that builds the image without bytecode of noarch packages.
        clean: a prefix with the same packages, in which no module was imported yet.
        drop: also measure with an empty page cache. It is emptied for the whole machine.
    """
    engine.forget()
    without.load(environment, "bench/without:1")
    ours.build(environment, "bench/with:1", to=["--load"])
    places: dict[str, Callable[[str], float]] = {
        "container, no bytecode for noarch": lambda module: _in_container(engine, "bench/without:1", module),
        "container, ours": lambda module: _in_container(engine, "bench/with:1", module),
        "host, as py-rattler leaves it": lambda module: _on_host(clean, module, write=False),
    }
    figures = {
        module: {name: _median(place, module) for name, place in places.items()} for module in (*MODULES, TOGETHER)
    }
    _on_host(clean, TOGETHER, write=True)
    for module in figures:
        _on_host(clean, module, write=True)
        figures[module]["host, used before"] = _median(lambda module: _on_host(clean, module, write=False), module)
    if drop:
        first = {name: place for name, place in places.items() if name.startswith("container")}
        first["host, used before"] = lambda module: _on_host(clean, module, write=False)
        for name, place in first.items():
            figures[TOGETHER][f"{name}, nothing in the page cache"] = _median(place, TOGETHER, drop=True)
    sizes = {name: engine.size(f"bench/{name}:1") for name in ("without", "with")}
    return {"imports": figures, "sizes": sizes}


def text(result: dict[str, Any]) -> str:
    """Returns the result of `run` as Markdown."""
    figures, sizes = result["imports"], result["sizes"]
    names = list(figures[TOGETHER])
    lines = [["first import of", *names], ["---"] * (len(names) + 1)]
    for module, row in figures.items():
        title = "all of them" if module == TOGETHER else module
        lines.append([title, *(seconds(row[name]) if name in row else "" for name in names)])
    unpacked = f"Unpacked image: {size(sizes['without'])} without, {size(sizes['with'])} with bytecode."
    return f"{markdown(lines)}\n\n{unpacked}"


def _in_container(engine: Engine, image: str, module: str) -> float:
    return float(engine.run(image, ["/opt/env/bin/python", "-c", IMPORT.format(module)], USER).split()[-1])


def _on_host(prefix: Path, module: str, *, write: bool) -> float:
    environ = {"HOME": str(prefix.parent), "PATH": f"{prefix}/bin:/usr/bin:/bin"}
    environ |= {} if write else {"PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(prefix / "bin/python"), "-c", IMPORT.format(module)]
    return float(subprocess.run(command, check=True, env=environ, capture_output=True).stdout.split()[-1])


def _median(place: Callable[[str], float], module: str, *, drop: bool = False) -> float:
    times = []
    for _ in range(RUNS):
        if drop:
            subprocess.run(["sync"], check=True)
            _DROP.write_text("3")
        times.append(place(module))
    return statistics.median(times)
