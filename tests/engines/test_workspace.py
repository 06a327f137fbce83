"""The user's folder in the image: the image's user can change its files, and unneeded files are left out."""

from __future__ import annotations

import functools
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest

from jupyter_condabuild.engines.layers.workspace import left_out
from jupyter_condabuild.engines.layers.workspace import workspace as entries_of
from jupyter_condabuild.oci.layer import Entry
from jupyter_condabuild.planning.own_files.ignore_files import included_names
from jupyter_condabuild.system import names


def write(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.fsencode(name))
    return folder


def workspace(folder: Path) -> list[Entry]:
    """The entries of a folder without private files."""
    return entries_of(folder, included_names(folder))


def files(entries: Iterable[Entry]) -> set[str]:
    return {entry.path.removeprefix("work/") for entry in entries if entry.kind != "directory"}


def test_files_are_owned_by_the_images_user(tmp_path: Path) -> None:
    """Folders belong to this user, too, who otherwise could not save a notebook. Any user can write to /work."""
    entries = workspace(write(tmp_path, ["a.ipynb", "sub/b.py"]))
    assert {entry.owner for entry in entries} == {1000}
    assert {entry.path: entry.mode for entry in entries if entry.kind == "directory"} == {
        "work": 0o1777,
        "work/sub": 0o755,
    }


def test_a_folder_whose_file_is_included_again_belongs_to_the_user(tmp_path: Path) -> None:
    """The folder belongs to the user even if the folder itself is ignored."""
    write(tmp_path, ["big/keep.txt", "big/other.txt"])
    (tmp_path / ".dockerignore").write_text("big\n!big/keep.txt\n")
    entries = {entry.path: entry for entry in workspace(tmp_path)}
    assert "work/big/keep.txt" in entries
    assert "work/big/other.txt" not in entries
    assert entries["work/big"].owner == 1000


def test_names_of_macos_are_composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HFS+ lists `é` as two characters. An image has one, as Git and Python have. Names of Linux do not change."""
    composed, listed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    write(tmp_path, [f"{listed}/{listed}.py"])
    (tmp_path / "link").symlink_to(f"{listed}/{listed}.py")
    for system, name in (("linux", listed), ("darwin", composed)):
        monkeypatch.setattr(names, "in_image", functools.partial(names.in_image, system=system))
        entries = {entry.path: entry for entry in workspace(tmp_path)}
        assert entries.keys() == {"work", "work/link", f"work/{name}", f"work/{name}/{name}.py"}
        assert entries["work/link"].target == f"{name}/{name}.py"
        assert Path(entries[f"work/{name}/{name}.py"].source).is_file()


def test_dockerignore_is_used(tmp_path: Path) -> None:
    """Comments, patterns and exceptions have the same meaning as in Docker."""
    write(tmp_path, ["a.txt", "a.tmp", "keep.tmp", "secret/key", "deep/b.tmp"])
    (tmp_path / ".dockerignore").write_text("# nothing\n\n*.tmp\n!keep.tmp\nsecret\n**/b.tmp\n")
    assert files(workspace(tmp_path)) == {".dockerignore", "a.txt", "keep.tmp"}


def test_a_dockerignore_that_is_not_text_is_read(tmp_path: Path) -> None:
    """The file contains the bytes of file names."""
    write(tmp_path, ["caf\udce9", "other"])
    (tmp_path / ".dockerignore").write_bytes(b"caf\xe9\n")
    assert files(workspace(tmp_path)) == {".dockerignore", "other"}


def test_unneeded_files_are_left_out(tmp_path: Path) -> None:
    """Version control, caches and checkpoints are left out."""
    litter = [
        ".git/config",
        "a/__pycache__/b.pyc",
        ".ipynb_checkpoints/x",
        "node_modules/x",
        ".DS_Store",
        "x.log",
    ]
    assert files(workspace(write(tmp_path, ["a/b.py", *litter]))) == {"a/b.py"}


def test_environments_are_left_out(tmp_path: Path) -> None:
    """The environment of the build is often in the project's folder."""
    write(
        tmp_path, ["a.py", "env/conda-meta/history", "env/bin/python", "deep/v/pyvenv.cfg", "deep/v/bin/x", "deep/b.py"]
    )
    entries = workspace(tmp_path)
    assert files(entries) == {"a.py", "deep/b.py"}
    assert not any("env" in entry.path for entry in entries)


def test_left_out_data_folders_are_reported(tmp_path: Path) -> None:
    """Data folders are included only on request, and a message names them."""
    write(tmp_path, ["a.py", "data/x.csv"])
    assert left_out(tmp_path, workspace(tmp_path)) == ["data"]
    (tmp_path / ".dockerignore").write_text("!data\n")
    entries = workspace(tmp_path)
    assert (files(entries), left_out(tmp_path, entries)) == ({".dockerignore", "a.py", "data/x.csv"}, [])


def test_links_stay_links(tmp_path: Path) -> None:
    """Links are not followed, whatever their target is."""
    write(tmp_path, ["a.py"])
    (tmp_path / "link").symlink_to("a.py")
    (tmp_path / "out").symlink_to("/etc")
    found = {entry.path: entry.target for entry in workspace(tmp_path) if entry.kind == "symlink"}
    assert found == {"work/link": "a.py", "work/out": "/etc"}


def test_executable_files_stay_executable(tmp_path: Path) -> None:
    """A script can be run, for any umask."""
    write(tmp_path, ["run", "read"])
    os.chmod(tmp_path / "run", 0o700)
    os.chmod(tmp_path / "read", 0o600)
    found = {entry.path: entry.mode for entry in workspace(tmp_path)}
    assert (found["work/run"], found["work/read"]) == (0o755, 0o644)
