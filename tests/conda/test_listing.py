"""The walk over an environment gives the same result in every process, and delays no error."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jupyter_condabuild.conda.prefix.listing import Listing, Walk, listing
from jupyter_condabuild.conda.prefix.walk import MODE, SIZE


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment with odd names, links, a nested environment, and conda's own files."""
    folder = tmp_path / "env"
    for path in (
        "conda-meta/a.json",
        "bin/tool",
        "share/new\nline",
        "inner/conda-meta/x.json",
        "inner/bin/y",
        "pkgs/z",
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"12345")
    (folder / os.fsdecode(b"share/caf\xe9")).write_bytes(b"")
    (folder / "lib").mkdir()
    (folder / "lib64").symlink_to("lib")
    (folder / "gone").symlink_to("nowhere")
    return folder


def test_another_process_finds_the_same_files(prefix: Path) -> None:
    """The other process finds every path except folders, nested environments and conda's own files, with its status."""
    calls: list[int] = []
    found = walked(prefix, _steps(calls))
    assert found == listing(prefix)
    assert calls == [1]
    odd = {"share/new\nline", os.fsdecode(b"share/caf\xe9")}
    assert set(found.statuses) == {"bin/tool", "lib64", "gone", "pkgs/z"} | odd
    assert (found.nested, found.empty) == (["inner"], ["lib"])
    status = found.statuses["bin/tool"]
    assert status
    assert (status[SIZE], status[MODE]) == (5, (prefix / "bin/tool").stat().st_mode)


@pytest.mark.parametrize("mark", ["condabin/conda", "pkgs/urls.txt"])
def test_a_base_environment_contains_other_environments(prefix: Path, mark: str) -> None:
    """Its package cache and its environments are not its own files. The base of micromamba has no condabin."""
    for path in ("envs/other/conda-meta/x.json", "envs/.conda_envs_dir_test", "conda-bld/linux-64/a.conda"):
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).touch()
    (prefix / mark).parent.mkdir(exist_ok=True)
    (prefix / mark).touch()
    found = walked(prefix, iter([None]))
    assert not [path for path in found.statuses if path.startswith(("pkgs/", "envs/", "conda-bld/"))]
    assert found.nested == ["inner"]


def test_the_list_of_desktop_shortcuts_is_left_out(prefix: Path) -> None:
    """menuinst writes it. It has paths in the home folder of the user."""
    for path in ("Menu/menuinst.toml", "Menu/menuinst.toml.tmp", "Menu/app.json", "share/menuinst.toml"):
        (prefix / path).parent.mkdir(exist_ok=True)
        (prefix / path).touch()
    found = {path for path in listing(prefix).statuses if "Menu" in path or "menuinst" in path}
    assert found == {"Menu/app.json", "share/menuinst.toml"}


@pytest.mark.parametrize("executable", ["/bin/false", "/nowhere/python"])
def test_the_walk_runs_in_this_process_if_no_other_can(
    prefix: Path, executable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the other process does not start, or fails, this process walks over the environment."""
    expected = listing(prefix)
    calls: list[int] = []
    monkeypatch.setattr(sys, "executable", executable)
    assert walked(prefix, _steps(calls)) == expected
    assert calls == [1]


def test_an_error_is_raised_before_the_walk_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is no environment can be the whole file system. The walk of this test does not end."""
    endless = tmp_path / "python"
    endless.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    endless.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(endless))

    def refuse() -> Iterator[object]:
        raise LookupError
        yield

    before = psutil.Process().children()
    with pytest.raises(LookupError):
        walked(tmp_path, refuse())
    assert psutil.Process().children() == before


def test_the_steps_end_with_the_walk(prefix: Path) -> None:
    """A build without changes does not wait for work that only a build with changes needs."""
    steps = itertools.count()
    assert walked(prefix, steps) == listing(prefix)
    assert next(steps) > 0


def walked(prefix: Path, meanwhile: Iterator[object]) -> Listing:
    with Walk(prefix) as walk:
        return walk.listing(meanwhile)


def _steps(calls: list[int]) -> Iterator[None]:
    calls.append(1)
    yield
