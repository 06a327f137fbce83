"""The scan of an environment that changes during the scan: its metadata is never older than its files."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.fingerprint import stamp
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.planning.scan import Scan, Scanner
from tests.parts.small_prefix import SmallPrefix


@pytest.fixture
def small(tmp_path: Path) -> SmallPrefix:
    """A prefix with Python."""
    made = SmallPrefix(tmp_path / "env")
    made.python()
    return made


def _remove_record(prefix: SmallPrefix) -> None:
    next(prefix.path.glob("conda-meta/other-*.json")).unlink()


def _install_by_pip(prefix: SmallPrefix) -> None:
    prefix.pip("late")


def _remove_of_pip(prefix: SmallPrefix) -> None:
    shutil.rmtree(next(prefix.path.glob("lib/python*/site-packages/early-*.dist-info")))


def _write_metadata(prefix: SmallPrefix) -> None:
    (info,) = prefix.path.glob("lib/python*/site-packages/early-*.dist-info")
    (info / "direct_url.json").write_text('{"url": "https://h/early.whl", "archive_info": {}}')


def _write_by_a_late_clock(prefix: SmallPrefix) -> None:
    """The kernel's clock for files may be behind: the file seems to be older than the scan."""
    _write_metadata(prefix)
    late = time.time_ns() - 500_000_000
    for file in prefix.path.glob("lib/python*/site-packages/early-*.dist-info/direct_url.json"):
        os.utime(file, ns=(late, late))


@pytest.mark.parametrize(
    "change", [_remove_record, _install_by_pip, _remove_of_pip, _write_metadata, _write_by_a_late_clock]
)
def test_a_change_during_the_scan_is_noticed(small: SmallPrefix, change: Callable[[SmallPrefix], None]) -> None:
    """Either both the metadata and the stamp of the build contain the change, or neither does.

    Neither does if the walk is done before the change.
    """
    small.add("other")
    small.pip("early")
    _age(small.path)
    before = _state(snapshot(small.path), stamp(small.path))
    seen = scan(small.path, map(change, [small]))
    after = _state(snapshot(small.path), stamp(small.path))
    assert _state(seen.environment, stamp(small.path, seen.listing)) in (before, after)


def test_an_unchanged_environment_is_read_once(small: SmallPrefix, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second reading is only for an environment that changes."""
    _age(small.path)
    read: list[Path] = []

    def counted(prefix: Path, without: object) -> object:
        read.append(prefix)
        return snapshot(prefix)

    monkeypatch.setattr("jupyter_condabuild.conda.prefix.snapshot.snapshot", counted)
    scan(small.path, ())
    assert read == [small.path]


def scan(prefix: Path, meanwhile: Iterable[object]) -> Scan:
    with Scanner(prefix) as scanner:
        return scanner.scan(meanwhile)


def _state(environment: Environment, stamp: str) -> tuple[object, ...]:
    return environment.records, environment.pip, stamp


def _age(prefix: Path) -> None:
    for path in prefix.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
