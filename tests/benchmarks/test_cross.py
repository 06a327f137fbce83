"""The benchmark of the solve for another platform measures what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import cross
from jupyter_condabuild.conda.formats import load


def test_every_package_is_solved_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock file for Linux has all packages, nearly all as close as the environment's. conda-lock needs conda."""
    monkeypatch.setattr(cross, "PACKAGES", 40)
    monkeypatch.setattr(cross, "RUNS", 1)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    figures = cross.run(tmp_path)
    here, there = (
        {package.name: package.version for package in load(tmp_path / name).conda}
        for name in ("mac-lock.yml", "linux-lock.yml")
    )
    other = {name for name in here if here[name] != there[name]}
    assert len(there) == len(here) == 40
    assert other == {f"package-{number:03}" for number in range(1, 40, 25)}
    assert all(found["seconds"] > 0 and found["memory"] > 0 for found in figures.values())
    table = cross.text(figures).splitlines()
    assert table[2].startswith("| ours, no cache of repodata | ")
    assert table[-1].startswith("| conda-lock | not measured: no conda,")
