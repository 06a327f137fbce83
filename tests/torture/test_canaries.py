"""Secrets of a user's: none is in anything that a build writes, sends, prints or keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parts.registry.faults import serving
from tests.torture.canaries import Result, contents, run
from tests.torture.planted import LEFT_OUT, STOPPING, canary, planted, scene


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One run, for all tests."""
    return run(tmp_path_factory.mktemp("canaries"))


def test_no_secret_is_in_any_sink(result: Result) -> None:
    """The builds did what they should, and nothing of what they left is a secret."""
    assert result.faults == []
    assert result.hits == [], result.table()
    assert result.pairs >= 60


def test_the_sinks_are_not_empty(result: Result) -> None:
    """A sink that was not found would hold no secret. The pool gets nothing, because all packages need a login."""
    assert {name for name, text in result.sinks.items() if not text} == {"layer pool"}
    assert b"three" in result.sinks["layers"]
    assert b"jupyter_condabuild build" in result.sinks["command lines"]


def test_the_traps_are_set(tmp_path: Path) -> None:
    """Each secret is in its place, and no two places have the same."""
    assert len({canary(place) for place in LEFT_OUT + STOPPING}) == len(LEFT_OUT + STOPPING)
    with serving() as registry, scene(tmp_path / "user", registry.host) as made:
        made.plant_stopping()
        assert planted(made, LEFT_OUT + STOPPING, contents) == set(LEFT_OUT + STOPPING)


def test_what_is_allowed_is_found_in_the_image(result: Result) -> None:
    """The search finds a secret that is there: the files of --allow-secret, and those alone."""
    found = {place for place in LEFT_OUT + STOPPING if canary(place).encode() in result.image}
    assert found == set(STOPPING)
