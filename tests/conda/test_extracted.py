"""Extracted packages: files that can be used unchanged, and files for the installer.

In doubt, the installer is used.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.linking.extracted import Extracted, split, trim
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot

SITE = "lib/python3.11/site-packages"
PLAIN = {"path_type": "hardlink", "sha256": "a" * 64, "size_in_bytes": 1}


def extracted(folder: Path, paths: Any, *, noarch: str = "", link: Any = None) -> Path:
    """Makes the folder of a package with this metadata."""
    (folder / "info").mkdir(parents=True)
    (folder / "info/paths.json").write_text(json.dumps({"paths": paths, "paths_version": 1}))
    (folder / "info/index.json").write_text(json.dumps({"name": "x", "noarch": noarch or None}))
    if link is not None:
        (folder / "info/link.json").write_text(json.dumps(link))
    return folder


def test_only_plain_files_are_used_unchanged(tmp_path: Path) -> None:
    """Files with the prefix, files that must not be linked, unusual links and unknown kinds are for the installer."""
    special = [
        {"_path": "link", **PLAIN, "path_type": "softlink", "no_link": True},
        {"_path": "odd", **PLAIN, "path_type": "softlink", "sha256": "x"},
        {"_path": "prefix", **PLAIN, "prefix_placeholder": "/old", "file_mode": "text"},
        {"_path": "copied", **PLAIN, "no_link": True},
        {"_path": "unproved", **PLAIN, "sha256": ""},
        {"_path": "future", **PLAIN, "mode": "encrypted"},
    ]
    usual = [{"_path": "plain", **PLAIN}, {"_path": "usual", **PLAIN, "path_type": "softlink"}]
    found = split(Extracted(extracted(tmp_path, [*usual, *special])), "")
    assert found
    assert [name for name, _ in found.plain] == ["plain"]
    assert [name for name, _ in found.links] == ["usual"]
    assert list(found.rewritten) == special
    assert not found.entry_points


def test_files_of_noarch_python_packages_are_put_into_site_packages(tmp_path: Path) -> None:
    """The record has their paths in the prefix."""
    names = ["site-packages/x/__init__.py", "python-scripts/run", "etc/x.conf", "site-packages-x/y"]
    folder = extracted(tmp_path, [{"_path": name, **PLAIN} for name in names], noarch="python")
    found = split(Extracted(folder), SITE)
    assert found
    assert [(name, entry["_path"]) for name, entry in found.plain] == [
        ("site-packages/x/__init__.py", f"{SITE}/x/__init__.py"),
        ("python-scripts/run", "bin/run"),
        ("etc/x.conf", "etc/x.conf"),
        ("site-packages-x/y", "site-packages-x/y"),
    ]
    assert split(Extracted(folder), "") is None


@pytest.mark.parametrize(("points", "expected"), [(["x = x:main"], True), ([], False), (None, False)])
def test_entry_points_are_for_the_installer(tmp_path: Path, points: list[str] | None, expected: bool) -> None:
    """Console scripts, which no archive contains, are for the installer."""
    link = None if points is None else {"noarch": {"type": "python", "entry_points": points}}
    found = split(Extracted(extracted(tmp_path, [], noarch="python", link=link)), SITE)
    assert found
    assert bool(found.entry_points) is expected


@pytest.mark.parametrize("paths", [None, [{}], ["x"], [{"_path": 3}], [{"_path": "../x", **PLAIN}], [{"_path": "/x"}]])
def test_odd_metadata_is_for_the_installer(tmp_path: Path, paths: Any) -> None:
    """The installer can read it, or refuses it with a clear error."""
    assert split(Extracted(extracted(tmp_path, paths)), "") is None


def test_a_folder_without_metadata_is_for_the_installer(tmp_path: Path) -> None:
    """It says what is missing."""
    assert split(Extracted(tmp_path), "") is None


@pytest.mark.parametrize("wrong", ["has_prefix", "no_link", "files"])
def test_an_old_package_is_split_unless_its_lists_are_unusual(tmp_path: Path, wrong: str) -> None:
    """Such a package has info/files and info/has_prefix. The form of a line is that of conda-build 2."""
    folder = extracted(tmp_path, [])
    (folder / "info/paths.json").unlink()
    (folder / "info/files").write_text("a\nb c\nd\nlink\n")
    (folder / "info/has_prefix").write_text('"/old place" binary "b c"\n/old text a\nd\n')
    (folder / "link").symlink_to("a")
    found = split(Extracted(folder), "")
    assert found
    assert [(entry["_path"], entry.get("prefix_placeholder"), entry.get("file_mode")) for entry in found.rewritten] == [
        ("a", "/old", "text"),
        ("b c", "/old place", "binary"),
        ("d", "/opt/anaconda1anaconda2anaconda3", "text"),
    ]
    assert [entry for _, entry in found.links] == [{"_path": "link", "path_type": "softlink"}]
    with (folder / "info" / wrong).open("a") as file:
        file.write("one two three four\n" if wrong == "has_prefix" else "a\n")
    assert split(Extracted(folder), "") is None


def test_a_trimmed_package_is_the_same_package_with_fewer_files(tmp_path: Path) -> None:
    """The copy has only the files that are rewritten, by hard links, under other names: `bin/a` and `bin/A` can be one.

    Links stay links. A command gets another name, too. The cache's folder does not change.
    """
    link = {"noarch": {"type": "python", "entry_points": ["run = a:main"]}}
    wanted = [
        {"_path": "python-scripts/a", **PLAIN, "no_link": True},
        {"_path": "lib", "path_type": "softlink", "no_link": True},
    ]
    source = extracted(tmp_path / "source", wanted, noarch="python", link=link)
    for name in ("python-scripts/a", "share/b"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    (source / "lib").symlink_to("share")
    before = sorted(source.rglob("*"))
    found = split(Extracted(source), SITE)
    assert found
    trim(Extracted(source), found, "x-1-0", tmp_path / "thin")
    assert (tmp_path / "thin/python-scripts/x-1-0/0").samefile(source / "python-scripts/a")
    assert os.readlink(tmp_path / "thin/x-1-0/1") == "share"
    assert not (tmp_path / "thin/share").exists()
    names = [entry["_path"] for entry in json.loads((tmp_path / "thin/info/paths.json").read_text())["paths"]]
    assert names == ["python-scripts/x-1-0/0", "x-1-0/1"]
    points = json.loads((tmp_path / "thin/info/link.json").read_text())["noarch"]["entry_points"]
    assert points == ["x-1-0.0 = a:main"]
    assert [found.place(name, entry_point=False) for name in ("bin/x-1-0/0", "x-1-0/1")] == ["bin/a", "lib"]
    assert found.place("bin/x-1-0.0", entry_point=True) == "bin/run"
    assert json.loads((tmp_path / "thin/info/index.json").read_text())["name"] == "x"
    assert sorted(source.rglob("*")) == before
    (source / "lib").unlink()
    with pytest.raises(FileNotFoundError):
        trim(Extracted(source), found, "x-1-0", tmp_path / "other")


def test_most_files_of_a_real_environment_are_plain(rattler_prefix: Path, package_cache: Path) -> None:
    """The place of each file is the same as in py-rattler's records."""
    environment = snapshot(rattler_prefix)
    locked = lock(environment)
    files = {record.dist: set(record.files) for record in environment.records}
    plain = 0
    for package in locked.conda:
        found = split(Extracted(package_cache / package.dist), locked.site_packages)
        assert found, package.dist
        assert {entry["_path"] for _, entry in found.plain} <= files[package.dist]
        plain += len(found.plain)
    assert plain > 0.9 * sum(len(paths) for paths in files.values())
