"""The files in conda-meta that are no records: an image has what conda obeys, and nothing that changes with time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.drift import drift
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.image_tree import SavedImage
from tests.parts.jobs import verified

PINNED = "data 1.*  # for the paper\n"
FROZEN = '{"message": "Ask the lab first"}'


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment with each file that conda 26 writes or reads in conda-meta."""
    packages = [(Metadata("data", "1.0", noarch="generic"), [File("share/data", b"data")])]
    made = install(tmp_path / "env", small_channel(tmp_path / "channel", packages), "data")
    meta = made / "conda-meta"
    (meta / "pinned").write_text(PINNED)
    (meta / "frozen").write_text(FROZEN)
    (meta / "created_at").write_text("1764500000.0")
    (meta / "state").write_text(json.dumps({"version": 1, "env_vars": {"MODE": "fast"}}))
    (meta / "history").write_text("==> 2026-11-24 06:52:10 <==\n# update specs: ['data']\n")
    return made


def in_conda_meta(image: SavedImage) -> set[str]:
    """Returns the names of the files in conda-meta of an image."""
    start = "conda-meta/"
    return {path.removeprefix(start) for path in image.tree() if path.startswith(start)}


def test_an_image_has_the_files_that_conda_obeys(prefix: Path, workshop: Workshop) -> None:
    """Those are the pins, and the mark of a frozen environment. The history is empty; no variable is set."""
    image = workshop.image(prefix)
    assert in_conda_meta(image) == {"data-1.0-0.json", "history", "pinned", "frozen"}
    assert image.read("opt/env/conda-meta/pinned").decode() == PINNED
    assert image.read("opt/env/conda-meta/frozen").decode() == FROZEN
    assert image.read("opt/env/conda-meta/history") == b""
    assert not any(item.startswith("MODE=") for item in image.environment)


def test_a_lock_file_says_nothing_of_them(prefix: Path, workshop: Workshop, tmp_path: Path) -> None:
    """They are settings of one environment, and no packages."""
    text = dump(lock(snapshot(prefix)))
    assert "frozen" not in text
    (tmp_path / "conda-lock.yml").write_text(text)
    image = workshop.image(tmp_path / "conda-lock.yml")
    assert in_conda_meta(image) == {"data-1.0-0.json", "history"}


def test_times_and_variables_change_no_image(prefix: Path, workshop: Workshop) -> None:
    """The time of creation and the state are neither drift nor content; a changed pin is content."""
    assert not drift(snapshot(prefix))
    first = workshop.build(prefix, archive=str(workshop.folder / "1.tar"))
    (prefix / "conda-meta/created_at").write_text("1.0")
    (prefix / "conda-meta/state").unlink()
    second = workshop.build(prefix, archive=str(workshop.folder / "2.tar"))
    assert first.event.digest == second.event.digest
    (prefix / "conda-meta/pinned").write_text("data 1.0\n")
    third = workshop.build(prefix, archive=str(workshop.folder / "3.tar"))
    assert third.event.digest != first.event.digest


def test_verify_finds_no_other_part(prefix: Path, workshop: Workshop) -> None:
    """Nothing proves the pins, because they are in no package. No part differs."""
    workshop.image(prefix)
    assert verified(workshop.folder / "image.tar", workshop.store).differs == ()
