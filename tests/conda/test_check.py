"""Extracted packages with wrong metadata are refused: it names other files, or the files differ from the metadata."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.linking import check as checks
from jupyter_condabuild.conda.linking.check import check
from jupyter_condabuild.conda.linking.extracted import Extracted
from jupyter_condabuild.conda.linking.link import link, linked_package
from jupyter_condabuild.conda.package_cache import Cached
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.errors import LinkFailed, PackageMismatch, UnsafePackage
from jupyter_condabuild.image.paths import PREFIX
from tests.parts.channel.hostile import path_entry

SITE = "lib/python3.12/site-packages"
NEVER_THERE = {"sha256": "a" * 64, "size_in_bytes": 1}


class Folder:
    """An extracted package with the files and links of a test."""

    def __init__(self, folder: Path, name: str = "evil") -> None:
        self.path = folder / name
        self.package = CondaPackage.of_url(f"https://lab.org/noarch/{name}-1-0.conda", sha256="0" * 64, size=1000)
        (self.path / "info").mkdir(parents=True)
        self.index(name=name)

    def index(self, **more: Any) -> None:
        value = {"name": "evil", "version": "1", "build": "0", "build_number": 0, **more}
        (self.path / "info/index.json").write_text(json.dumps(value))

    def paths(self, *entries: Any) -> Folder:
        (self.path / "info/paths.json").write_text(json.dumps({"paths": entries, "paths_version": 1}))
        return self

    def file(self, name: str, content: str = "") -> Folder:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(content)
        return self

    def link(self, name: str, target: str) -> Folder:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, self.path / name)
        return self

    def check(self) -> checks.Checked:
        return check(self.package, Extracted(self.path), SITE)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        *(
            "/etc/x",
            "../x",
            "a/../../x",
            "a/..",
            "..",
            ".",
            "a//b",
            "a/./b",
            "a/",
            "",
            "a\\..\\..\\x",
            "a\0b",
            "\ud800",
        ),
        *("n" * 256, "/".join(["n" * 200] * 11)),
    ],
)
def test_a_path_outside_is_refused(folder: Folder, name: str, hashed: bool) -> None:
    """This rule also holds for an entry that no installer reads."""
    entry = {"_path": name, "path_type": "hardlink", **(NEVER_THERE if hashed else {})}
    with pytest.raises(UnsafePackage):
        folder.paths(entry).check()


@pytest.mark.parametrize("value", [3, None, ["x"], {"x": 1}, True])
def test_a_path_that_is_not_text_is_refused(folder: Folder, value: object) -> None:
    """A path of any other type is refused."""
    with pytest.raises(UnsafePackage):
        folder.paths({"_path": value, "path_type": "hardlink"}).check()


@pytest.mark.parametrize("entry", [path_entry("share/d/x", None), path_entry("share/d/x", b"secret")])
def test_no_path_goes_through_a_link(folder: Folder, tmp_path: Path, entry: dict[str, Any]) -> None:
    """The file behind the link belongs to the user."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home/x").write_text("secret")
    folder.link("share/d", str(tmp_path / "home"))
    with pytest.raises(UnsafePackage, match="not a folder"):
        folder.paths(path_entry("share/d", None, "softlink"), entry).check()


@pytest.mark.parametrize("kind", ["hardlink", "directory", "future", None, 3])
def test_a_link_must_be_declared_as_a_link(folder: Folder, kind: object) -> None:
    """An installer that replaces the prefix in the file would read through the link."""
    folder.link("etc/x", "/etc/passwd").file("etc/y")
    entry = {"_path": "etc/x", "path_type": kind, "prefix_placeholder": "/old", "file_mode": "text"}
    if isinstance(kind, str) and kind != "future":
        with pytest.raises(UnsafePackage, match="not the file"):
            folder.paths(entry).check()
    else:
        assert folder.paths(entry).check().links == {"etc/x"}


def test_a_pipe_is_not_read(folder: Folder) -> None:
    """A pipe without a writer is read neither as a file of the package nor as its metadata."""
    os.mkfifo(folder.path / "pipe")
    with pytest.raises(UnsafePackage):
        folder.paths({"_path": "pipe", "path_type": "hardlink"}).check()
    os.mkfifo(folder.path / "info/link.json")
    with pytest.raises(UnsafePackage, match="must be a file"):
        folder.paths().check()


@pytest.mark.parametrize(
    ("name", "target", "fine"),
    [
        ("lib/x.so", "x.so.1", True),
        ("lib/a/b/x", "../../../bin/x", True),
        ("lib/x", "/usr/lib/x", True),
        ("lib/x", "../../x", False),
        ("lib/x", "a/../../../x", False),
        ("x", "..", False),
    ],
)
def test_a_relative_link_stays_in_the_environment(folder: Folder, name: str, target: str, fine: bool) -> None:
    """An absolute link names a file of the base image, as in conda-build."""
    folder.link(name, target).paths(path_entry(name, None, "softlink"))
    if fine:
        assert folder.check().links == {name}
    else:
        with pytest.raises(UnsafePackage, match="outside of the environment"):
            folder.check()


def test_links_of_noarch_packages_are_checked_at_their_installed_path(folder: Folder) -> None:
    """The links are deeper in the prefix than in the package."""
    folder.index(noarch="python")
    folder.link("site-packages/x", "../../../bin/x").paths(path_entry("site-packages/x", None, "softlink"))
    assert folder.check().links == {f"{SITE}/x"}


@pytest.mark.parametrize("command", ["../x", "/bin/x", "a/b", "..", "", "x\0"])
def test_an_entry_point_is_one_name(folder: Folder, command: str) -> None:
    """The installer writes bin/<name>."""
    folder.index(noarch="python")
    (folder.path / "info/link.json").write_text(
        json.dumps({"noarch": {"type": "python", "entry_points": [f"{command} = x:main"]}})
    )
    with pytest.raises(UnsafePackage):
        folder.paths().check()


def test_a_link_in_place_of_a_command_is_refused(folder: Folder) -> None:
    """The installer would write the script into the target of the link."""
    folder.index(noarch="python")
    (folder.path / "info/link.json").write_text('{"noarch": {"type": "python", "entry_points": ["run = x:main"]}}')
    folder.link("bin/run", "/tmp/x")
    with pytest.raises(UnsafePackage, match="something else"):
        folder.paths(path_entry("bin/run", None, "softlink")).check()


@pytest.mark.parametrize("name", ["conda-meta/other-1-0.json", "conda-meta/history", "conda-meta", "bin"])
def test_a_package_cannot_replace_files_of_the_installer(folder: Folder, name: str) -> None:
    """The paths in a record of another package would be used. Through a link, files would be written outside."""
    if "/" in name:
        folder.file(name).paths(path_entry(name, b""))
    else:
        folder.link(name, "/tmp").paths(path_entry(name, None, "softlink"))
    with pytest.raises(UnsafePackage):
        folder.check()


def test_metadata_is_limited(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit depends on the size of the archive. The nesting is limited, too."""
    folder.paths()
    (folder.path / "info/link.json").write_text("[" * 200_000)
    with pytest.raises(UnsafePackage, match="too deeply"):
        folder.check()
    monkeypatch.setattr(checks, "LEAST_METADATA", 1000)
    with pytest.raises(UnsafePackage, match="too much"):
        folder.check()


def test_lists_of_files_of_older_packages_are_checked(folder: Folder) -> None:
    """Older packages have no paths.json."""
    (folder.path / "info/files").write_text("bin/x\n../../x\n")
    with pytest.raises(UnsafePackage):
        folder.file("bin/x").check()
    (folder.path / "info/files").write_text("bin/x\nlib/l\n")
    assert folder.link("lib/l", "x").check().links == {"lib/l"}


@pytest.mark.parametrize("false", [{"name": "numpy"}, {"version": "2"}, {"build": "1"}, {"name": None}])
def test_a_package_has_the_name_that_the_lock_file_states(folder: Folder, false: dict[str, object]) -> None:
    """An SBOM lists the packages of the lock file. So a package under a false name is refused, and both are named."""
    folder.paths().check()
    folder.index(**false)
    with pytest.raises(PackageMismatch, match=r"evil-1-0\.conda is not evil-1-0: the archive contains ") as caught:
        folder.check()
    assert (
        "-".join(
            str({"name": "evil", "version": "1", "build": "0", **false}[key]) for key in ("name", "version", "build")
        )
        in caught.value.message
    )


@pytest.mark.parametrize("text", [None, "[]", "1"])
def test_a_package_states_its_name(folder: Folder, text: str | None) -> None:
    """A package without info/index.json, or with another value there, is refused."""
    index = folder.paths().path / "info/index.json"
    index.unlink()
    if text:
        index.write_text(text)
    with pytest.raises(LinkFailed, match=r"evil-1-0: info/index\.json is missing or not valid"):
        folder.check()


def test_an_incomplete_package_is_named(folder: Folder) -> None:
    """The package cache can be damaged. Then the archive is used."""
    with pytest.raises(LinkFailed, match="evil-1-0"):
        folder.check()
    with pytest.raises(LinkFailed, match="'share' is missing"):
        folder.paths(path_entry("share/x", b"")).check()


@pytest.mark.parametrize("old", [False, True])
def test_a_file_is_not_written_through_the_link_of_another_package(tmp_path: Path, *, old: bool) -> None:
    """The folder behind the link may be the user's. The installer gets links with unusual entries, and old packages.

    Packages of the old format have no paths.json. With a list of files that must not be linked, we do not read theirs.
    """
    home = tmp_path / "home"
    home.mkdir()
    (home / "x").write_text("the user's")
    one, two = Folder(tmp_path, "one"), Folder(tmp_path, "two")
    one.link("share/d", str(home)).paths({**path_entry("share/d", None, "softlink"), "inode_paths": []})
    two.file("share/d/x", "of the package").paths(path_entry("share/d/x", None))
    for folder, name in ((one, "share/d"), (two, "share/d/x")) if old else ():
        (folder.path / "info/paths.json").unlink()
        (folder.path / "info/files").write_text(f"{name}\n")
        (folder.path / "info/no_link").write_text("")
    sources = {item.package.dist: Cached(item.path, True) for item in (one, two)}
    staged = link([one.package, two.package], sources, tmp_path / "link", PREFIX)
    linked = [linked_package(item, None, 0, "") for item in staged.values()]
    files = {file.path: Path(file.source) for package in linked for file in package.files}
    assert files["share/d/x"].read_text() == "of the package"
    assert os.readlink(files["share/d"]) == str(home)
    assert [path.name for path in home.iterdir()] == ["x"]
    assert (home / "x").read_text() == "the user's"
