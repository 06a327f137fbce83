"""jupyter condabuild recreate: the packages of an image, and what pip and the user have added, in a new environment."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.receive import recreate
from jupyter_condabuild.receive.unfinished import remove_abandoned, unfinished
from tests.oci.tree.test_merged import layer
from tests.parts.command_line import CommandLine
from tests.parts.small_image import image

MARK = ".condabuild-unfinished"


def tree(prefix: Path) -> dict[str, str]:
    """Returns the files of an environment, with PREFIX for its path; without bytecode, records and caches."""
    found = {}
    for path in sorted(prefix.rglob("*")):
        name = str(path.relative_to(prefix))
        if (path.is_dir() and not path.is_symlink()) or "__pycache__" in name or name.startswith("conda-meta/"):
            continue
        data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        data = data.replace(os.fsencode(prefix), b"PREFIX") if b"\0" not in data else data.replace(b"\0", b"")
        data = data.replace(os.fsencode(prefix), b"PREFIX")
        found[name] = f"{hashlib.sha256(data).hexdigest()} {path.lstat().st_mode & 0o100}"
    return found


def test_the_environment_is_that_of_the_image(changed_environment: Path, changed_image: Path, tmp_path: Path) -> None:
    """Packages, pip's packages, changes and own files are there, with the new prefix in them; and its programs run."""
    command = CommandLine(tmp_path)
    archived = f"oci-archive:{changed_image}"
    new = tmp_path / "new" / "analysis"
    refused = command("recreate", archived, new)
    assert (refused.status, "Unsigned" in refused.err, new.exists()) == (2, True, False)
    done = command("recreate", "--yes", archived, new, "--json")
    assert done.status == 0, done.err
    assert (done.json["pip_packages"], done.json["prefix"]) == (1, str(new))
    expected, found = tree(changed_environment), tree(new)
    different = {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)}
    assert {name for name in different if not name.endswith(("RECORD", "direct_url.json", "CACHEDIR.TAG"))} == set()
    code = "import sys, tqdm, humanize; print(sys.prefix, tqdm.CHANGED)"
    ran = subprocess.run([new / "bin/python", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == f"{new} 1\n"
    records = {path.name: json.loads(path.read_text()) for path in (new / "conda-meta").glob("*.json")}
    for path in (changed_environment / "conda-meta").glob("*.json"):
        before = json.loads(path.read_text())
        after = records.pop(path.name)
        assert {name: after[name] for name in ("name", "url", "sha256")} == {
            name: before[name] for name in ("name", "url", "sha256")
        }
    assert records == {}
    assert (new / "conda-meta/history").exists()
    for bad in (new, tmp_path / "a b"):
        assert command("recreate", "--yes", archived, bad).status == 2
    assert sorted(path.name for path in new.parent.iterdir()) == ["analysis"]


def test_an_environment_for_another_platform_is_refused_with_the_next_step(
    changed_image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names both platforms, and how a container runs the image. Nothing is made."""
    monkeypatch.setattr(recreate, "linux_platform", lambda: "linux-aarch64")
    request = recreate.RecreateRequest.parse(
        {
            "reference": f"oci-archive:{changed_image}",
            "target": str(tmp_path / "new"),
            "yes": True,
            "store_dir": str(tmp_path / "store"),
        }
    )
    with pytest.raises(BadImage, match="for linux-64, and this machine is linux-aarch64") as raised:
        recreate.run(request, lambda event: None, lambda found: True)
    assert "jupyter condabuild run" in raised.value.hint
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("opt/env/../../etc/x", b"1"), "leads out"),
        (("opt/env/b", "-> ../../outside"), "its target is outside"),
        (("opt/env/link/x", b"1"), "behind a link"),
        (("opt/env/b", "= opt/env/a"), "as a hard link"),
        (("opt/env/conda-meta/history", "-> /etc/made"), "write records"),
        (("opt/env/conda-meta", "-> /etc"), "write records"),
        (("opt/env/conda-meta", b"1"), "write records"),
    ],
)
def test_the_layers_of_a_stranger_write_into_the_prefix_alone(
    entry: tuple[str, str | bytes], message: str, tmp_path: Path
) -> None:
    """A path or a link that leads out of the prefix is refused, also through a link that a package has brought."""
    part = tmp_path / "part"
    part.mkdir()
    (part / "link").symlink_to(tmp_path)
    with pytest.raises(BadImage, match=message):
        recreate._add_own(image([layer(("opt/env/a", b"1"), entry)]), part, tmp_path / "prefix")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part"]


def test_what_the_image_has_instead_of_a_folder_or_a_file_counts(tmp_path: Path) -> None:
    """As in a container of the image: a user may have replaced a folder of a package by a file, or the other way."""
    part = tmp_path / "part"
    (part / "share/folder").mkdir(parents=True)
    (part / "share/folder/x").touch()
    (part / "share/file").touch()
    (part / "share/dangling").symlink_to("gone")
    entries = (("opt/env/share/folder", b"1"), ("opt/env/share/file/x", b"2"), ("opt/env/share/dangling/x", b"3"))
    recreate._add_own(image([layer(*entries)]), part, tmp_path / "prefix")
    found = {str(path.relative_to(part)): path.read_bytes() for path in part.rglob("*") if path.is_file()}
    assert found == {"share/folder": b"1", "share/file/x": b"2", "share/dangling/x": b"3"}


def test_a_folder_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    """Nobody removes it meanwhile. After an error, there is what was there before, and nothing else.

    It may have any content, also a folder with the name of the mark.
    """
    place = tmp_path / "above" / "envs" / "new"

    def fail() -> None:
        with unfinished(place) as part:
            (part / "file").touch()
            remove_abandoned(place)
            assert (part / "file").exists()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not list(tmp_path.iterdir())
    (tmp_path / "above").mkdir()
    (tmp_path / "above/mine").touch()
    with pytest.raises(KeyError):
        fail()
    assert [path.name for path in (tmp_path / "above").iterdir()] == ["mine"]
    with unfinished(place) as part:
        (part / MARK).mkdir()  # the name of our own mark, in an image
        remove_abandoned(place)
    assert [path.name for path in place.rglob("*")] == [MARK]
    assert list(place.parent.iterdir()) == [place]
