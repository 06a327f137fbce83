"""diff compares the files that belong to no package: equal packages are not enough for equal environments."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import NotThere
from jupyter_condabuild.jobs import diff
from jupyter_condabuild.requests.others import DiffRequest
from tests.jobs.test_verdict import pip_install
from tests.parts.builds import Workshop
from tests.parts.channel import prefix as prefixes
from tests.parts.jobs import request, silent

SPECS = ("python", "tqdm", "greet")


@pytest.fixture
def prefix(tmp_path: Path, channel_url: str, package_cache: Path) -> Path:
    made = prefixes.create(tmp_path / "env", SPECS, channel_url, package_cache)
    pip_install(made, "mine")
    (made / "bin/mine").write_text(f"#!{made}/bin/python\nimport mine\n")
    (made / "etc").mkdir(exist_ok=True)
    (made / "etc/link").symlink_to(made / "share")
    (made / "share/greet/message.txt").unlink()
    return made


def compared(workshop: Workshop, before: Any, after: Any) -> diff.Difference:
    return diff.run(request(DiffRequest, before=str(before), after=str(after), store_dir=workshop.store), silent)


def files(found: diff.Difference) -> list[tuple[str, str, str, str]]:
    return [
        (change.name, change.kind, change.before, change.after) for change in found.changes if change.manager == "file"
    ]


def test_an_image_is_equal_to_its_environment(workshop: Workshop, prefix: Path) -> None:
    """Paths of the environment are replaced in the image, links and deleted files are there: none is a difference."""
    saved = workshop.image(prefix)
    found = compared(workshop, prefix, saved.archive)
    assert found.files_compared
    assert found.changes == ()
    assert found.summary()["equal"] is True
    assert "not compared" not in found.text()


def test_files_of_two_images_are_compared(workshop: Workshop, prefix: Path) -> None:
    """With the same packages, added, removed and changed files are named with their sizes."""
    (prefix / "old.bin").write_bytes(b"x" * 1000)
    (prefix / "same.bin").write_bytes(b"x" * 1000)
    (prefix / "changed.bin").write_bytes(b"x" * 1000)
    first = workshop.image(prefix, "first")
    (prefix / "old.bin").unlink()
    (prefix / "changed.bin").write_bytes(b"y" * 1000)
    (prefix / "new.bin").write_bytes(b"y" * 42_000_000)
    second = workshop.image(prefix, "second")
    found = compared(workshop, first.archive, second.archive)
    assert files(found) == [
        ("changed.bin", "changed", "1.0 kB", "1.0 kB"),
        ("new.bin", "added", "", "42 MB"),
        ("old.bin", "removed", "1.0 kB", ""),
    ]
    assert found.summary()["equal"] is False
    assert "+ new.bin 42 MB (file)" in found.text()
    assert "~ changed.bin 1.0 kB, other content (file)" in found.text()
    assert "No difference" not in found.text()


def test_a_name_with_invisible_characters_is_given_as_it_is_and_shown_as_a_literal(
    workshop: Workshop, prefix: Path
) -> None:
    """The JSON object has the path, so that a client decides how to show it. The text cannot reorder its characters."""
    before = workshop.image(prefix, "before")
    (prefix / "report-\u202egnp.exe").write_bytes(b"x")
    found = compared(workshop, before.archive, prefix)
    assert files(found) == [("report-\u202egnp.exe", "added", "", "1 B")]
    assert "+ 'report-\\u202egnp.exe' 1 B (file)" in found.text()


def test_the_users_folder_is_compared(workshop: Workshop, prefix: Path, tmp_path: Path) -> None:
    """Files of --include have the paths that a container has."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project/notes.txt").write_text("notes")
    plain = workshop.image(prefix, "plain")
    included = workshop.image(prefix, "included", include=str(tmp_path / "project"))
    assert files(compared(workshop, plain.archive, included.archive)) == [("/work/notes.txt", "added", "", "5 B")]


def test_a_package_of_pip_is_a_package_and_its_files_are_files(workshop: Workshop, prefix: Path) -> None:
    """Both are named."""
    first = workshop.image(prefix, "first")
    pip_install(prefix, "yours")
    found = compared(workshop, first.archive, prefix)
    assert ("yours", "pip", "added") in [(change.name, change.manager, change.kind) for change in found.changes]
    assert any(name.endswith("site-packages/yours.py") for name, *_ in files(found))


def test_a_lock_file_has_no_files_and_that_is_said(workshop: Workshop, prefix: Path, tmp_path: Path) -> None:
    """ "No difference" without a word about the files would be false."""
    lockfile = tmp_path / "conda-lock.yml"
    lockfile.write_text(dump(lock(snapshot(prefix))))
    found = compared(workshop, prefix, lockfile)
    assert not found.files_compared
    assert "Files that belong to no package were not compared." in found.text()


def test_an_image_of_this_machine_is_known_by_its_digest(workshop: Workshop, prefix: Path, registry: str) -> None:
    """Right after a build, without the archive, and without a request to a registry."""
    archived = workshop.build(prefix, archive=str(workshop.folder / "gone.tar")).event
    (workshop.folder / "gone.tar").unlink()
    (prefix / "new.bin").write_bytes(b"y" * 1000)
    name = f"localhost:1/{uuid.uuid4().hex}"
    pushed = workshop.build(prefix, push=True, reference=f"{registry}/diff/{uuid.uuid4().hex}:v1").event
    found = compared(workshop, archived.digest, f"{name}@{pushed.digest}")
    assert files(found) == [("new.bin", "added", "", "1.0 kB")]
    with pytest.raises(NotThere, match="does not have the image"):
        compared(workshop, archived.digest, "sha256:" + "0" * 64)
    shutil.rmtree(workshop.store)
    with pytest.raises(NotThere, match="does not have the image"):
        compared(workshop, archived.digest, archived.digest)


def test_an_image_of_the_registry_is_read_there(
    workshop: Workshop, prefix: Path, registry: str, tmp_path: Path
) -> None:
    """A machine that has not built the images reads the layers of files."""
    names = [f"{registry}/diff/{uuid.uuid4().hex}:v1" for _ in range(2)]
    workshop.build(prefix, push=True, reference=names[0])
    (prefix / "new.bin").write_bytes(b"y" * 1000)
    workshop.build(prefix, push=True, reference=names[1])
    shutil.rmtree(workshop.store)
    assert files(compared(workshop, *names)) == [("new.bin", "added", "", "1.0 kB")]
