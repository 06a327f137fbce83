"""Measures the solve of an environment of 500 packages for another platform, beside py-rattler alone and conda-lock."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.measure import measured
from benchmarks.report import markdown, say, seconds, size
from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.lockfile import of_packages
from jupyter_condabuild.conda.packages import CondaPackage
from tests.parts.channel.channel import Channel, serve

PACKAGES, VERSIONS = 500, 40
"""The packages of the environment, and the versions that the channel has of each."""

HERE, THERE = "osx-arm64", "linux-64"
RUNS = 3
_SOLVE = """
import asyncio, json, os, sys
import rattler
url, specs, cache = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
gateway = rattler.Gateway(cache_dir=cache)
found = asyncio.run(rattler.solve([url], specs, gateway, platforms=["linux-64", "noarch"]))
assert len(found) == int(sys.argv[4])
os._exit(0)  # as our command line: at its usual end, Python may wait for a thread of rattler, or crash with it
"""


def run(work: Path) -> dict[str, Any]:
    """Returns the figures of each program, by name: the best of `RUNS` with a warm cache, and our first, cold run.

    conda-lock starts a conda program. It is not measured where there is none.
    """
    channel, packages, requested = make_channel(work / "cross-channel")
    environment = {**os.environ, "RATTLER_CACHE_DIR": str(work / "rattler"), "XDG_CACHE_HOME": str(work / "cache")}
    figures: dict[str, Any] = {}
    with serve(channel) as url:
        lockfile = work / "mac-lock.yml"
        lockfile.write_text(dump(of_packages(HERE, [_package(url, *package) for package in packages], (), requested)))
        ours = [sys.executable, "-m", "jupyter_condabuild", "lock", "--lockfile", str(lockfile), "--platform", THERE]
        ours += ["-o", str(work / "linux-lock.yml")]
        say("  cross solve: ours")
        figures["ours, no cache of repodata"] = _measure(ours, environment)
        figures["ours"] = _best(ours, environment)
        say("  cross solve: py-rattler alone")
        plain = [sys.executable, "-c", _SOLVE, url, json.dumps(requested), str(work / "plain"), str(PACKAGES)]
        _measure(plain, environment)
        figures["py-rattler alone: one solution of the requested packages"] = _best(plain, environment)
        if program := next(filter(None, map(shutil.which, ("micromamba", "mamba", "conda"))), None):
            say(f"  cross solve: conda-lock with {program}")
            source = work / "environment.yml"
            lines = "".join(f"  - {spec}\n" for spec in requested)
            source.write_text(f"channels:\n  - {url}\ndependencies:\n{lines}")
            theirs = [sys.executable, "-m", "conda_lock", "lock", "--conda", program, "-f", str(source), "-p", THERE]
            theirs += ["--lockfile", str(work / "theirs.yml")]
            _measure(theirs, environment)
            figures[f"conda-lock with {Path(program).name}"] = _best(theirs, environment)
    return figures


def text(figures: dict[str, Any]) -> str:
    """Returns the result of `run` as Markdown."""
    rows = [[f"{PACKAGES} packages for another platform", "time", "CPU", "memory"], ["---"] * 4]
    rows += [
        [name, seconds(found["seconds"]), seconds(found["cpu"]), size(found["memory"])]
        for name, found in figures.items()
    ]
    if not any(name.startswith("conda-lock") for name in figures):
        rows.append(["conda-lock", "not measured: no conda, mamba or micromamba is installed", "", ""])
    return markdown(rows)


def make_channel(folder: Path) -> tuple[Channel, list[tuple[Any, ...]], list[str]]:
    """Makes a channel of repodata alone, and an environment of it: its packages, and specs of those that none needs.

    On the other platform, one package in 25 lacks the version of the environment, and one in ten has another build.
    """
    draw = random.Random(1)
    packages, names = [], [f"package-{number:03}" for number in range(PACKAGES)]
    repodata: dict[str, dict[str, Any]] = {HERE: {}, THERE: {}, "noarch": {}}
    for number, name in enumerate(names):
        needs = sorted(draw.sample(names[:number], min(number, draw.randint(1, 4))))
        has = draw.randint(VERSIONS // 2, VERSIONS - 5)
        for version in range(VERSIONS):
            depends = [f"{other} >=1.{max(0, version - 30)}" for other in needs]
            for platform in (HERE, THERE):
                if platform == THERE and number % 25 == 1 and version == has:
                    continue
                build = 1 if platform == THERE and number % 10 == 2 else 0
                record = _record(name, f"1.{version}.0", build, depends, platform)
                repodata[platform][record["fn"]] = {key: value for key, value in record.items() if key != "fn"}
        packages.append((name, f"1.{has}.0", tuple(f"{other} >=1.{max(0, has - 30)}" for other in needs)))
    for subdir, found in repodata.items():
        (folder / subdir).mkdir(parents=True)
        value = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": found, "repodata_version": 1}
        (folder / subdir / "repodata.json").write_text(json.dumps(value))
    needed = {spec.split()[0] for _, _, depends in packages for spec in depends}
    return Channel(folder), packages, [f"{name} >=1.0" for name in names if name not in needed]


def _record(name: str, version: str, build: int, depends: Sequence[str], platform: str) -> dict[str, Any]:
    fn = f"{name}-{version}-h{build}_{build}.conda"
    record = {"fn": fn, "name": name, "version": version, "build": f"h{build}_{build}", "build_number": build}
    record |= {"depends": list(depends), "subdir": platform, "size": 1000, "timestamp": 1_700_000_000_000}
    digest = sha256(f"{platform}/{fn}".encode()).hexdigest()
    return record | {"sha256": digest, "md5": "0" * 32, "license": "MIT"}


def _package(url: str, name: str, version: str, depends: tuple[str, ...]) -> CondaPackage:
    fn = f"{name}-{version}-h0_0.conda"
    return CondaPackage.of_url(
        f"{url}/{HERE}/{fn}", sha256=sha256(f"{HERE}/{fn}".encode()).hexdigest(), depends=depends
    )


def _best(command: Sequence[str], environment: dict[str, str]) -> dict[str, float]:
    return min((_measure(command, environment) for _ in range(RUNS)), key=lambda found: found["seconds"])


def _measure(command: Sequence[str], environment: dict[str, str]) -> dict[str, float]:
    """Runs a command; returns its seconds, the seconds of processors, and its peak memory in bytes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with measured(os.getpid(), itself=False) as sample:
        subprocess.run(command, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": sample.seconds, "cpu": cpu, "memory": sample.memory}
