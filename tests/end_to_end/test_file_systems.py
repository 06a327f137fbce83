"""The bytes of an image do not depend on the file system of the store, of the package caches, or of a checkout.

The file system here is a real NTFS with a driver that folds capital letters, lists names in another order, and has no x
bits. Two kinds of systems are not tried: a Windows without the right to make symbolic links, and HFS+, which changes
the form of accents.
"""

from __future__ import annotations

import importlib
import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from jupyter_condabuild.conda.linking.archive import unpack
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.package_cache import PackageCaches
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import StoreUnwritable
from jupyter_condabuild.image import programs
from tests.end_to_end.ntfs import mounted
from tests.end_to_end.test_determinism import SPECS
from tests.parts.builds import Workshop
from tests.parts.channel import prefix as prefixes
from tests.parts.channel.hostile import Member, conda, file, info, link, tar_bz2

Maker = Callable[[Path, Sequence[Member], Sequence[Member]], Path]


@pytest.fixture
def ntfs(tmp_path: Path) -> Iterator[Path]:
    """A folder on NTFS."""
    with mounted(tmp_path) as place:
        yield place


@pytest.mark.parametrize("caches", ["extracted", "archives"])
def test_a_store_on_ntfs_gives_the_same_image(
    ntfs: Path, tmp_path: Path, channel_url: str, small_base: str, caches: str
) -> None:
    """Packages are linked and compiled there; without an extracted package in a cache, they are unpacked there, too."""
    prefix = prefixes.create(tmp_path / "env", SPECS, channel_url, tmp_path / "pkgs")
    expected = Workshop(tmp_path / "usual", small_base).image(prefix)
    files = [node for node in expected.tree().values() if node.kind == "file"]
    assert {node.executable for node in files} == {True, False}
    if caches == "archives":
        for extracted in (path for path in (tmp_path / "pkgs").iterdir() if path.is_dir()):
            shutil.rmtree(extracted)
    found = Workshop(ntfs / "work", small_base).image(prefix)
    assert found.layers == expected.layers
    assert found.digest == expected.digest


def test_an_extracted_package_without_modes_is_not_used(
    ntfs: Path, tmp_path: Path, channel_url: str, small_base: str
) -> None:
    """Its x bits say nothing. The archive beside it has them."""
    prefix = prefixes.create(tmp_path / "env", ["python"], channel_url, tmp_path / "pkgs")
    shutil.copytree(tmp_path / "pkgs", ntfs / "pkgs", symlinks=True)
    for package in lock(snapshot(prefix)).conda:
        usual = PackageCaches([tmp_path / "pkgs"]).find(package)
        assert usual is not None
        assert usual.extracted
        there = PackageCaches([ntfs / "pkgs"]).find(package)
        assert there is None or not there.extracted


@pytest.mark.parametrize("make", [conda, tar_bz2])
def test_folders_whose_names_differ_in_capitals_are_one(ntfs: Path, tmp_path: Path, make: Maker) -> None:
    """The database of terminals has folders `N` and `n`. Each file is found by its path."""
    members = [file("share/N/x", b"1", 0o755), file("share/n/y", b"2"), file("share/N/z", b"3")]
    unpacked = unpack(make(tmp_path, members, info([])), ntfs / "to")
    for name, data in (("share/N/x", b"1"), ("share/n/y", b"2"), ("share/N/z", b"3")):
        assert (ntfs / "to" / name).read_bytes() == data
    assert unpacked.executables == {"share/N/x"}


@pytest.mark.parametrize(
    "members",
    [
        [file("share/A", b"1"), file("share/a", b"2")],
        [file("share/A", b"1"), link("share/a", "A")],
        [link("share/a", "b"), file("share/A", b"1")],
        [file("share/a", b"1"), file("share/A/x", b"2")],
    ],
)
def test_files_whose_names_differ_in_capitals_are_refused(
    ntfs: Path, tmp_path: Path, members: Sequence[Member]
) -> None:
    """One would replace the other. The error says where they fit. Where both fit, both are there."""
    archive = conda(tmp_path, members, info([]))
    unpack(archive, tmp_path / "to")
    assert len(os.listdir(tmp_path / "to/share")) == 2
    with pytest.raises(StoreUnwritable, match="differs only in capital letters") as caught:
        unpack(archive, ntfs / "to")
    assert "store_dir" in caught.value.hint


def test_the_form_of_accents_is_that_of_the_archive(ntfs: Path, tmp_path: Path) -> None:
    """`é` may be one character or two. Both names stay, on each file system, and neither is changed."""
    names = {unicodedata.normalize(form, "lib/caf\u00e9") for form in ("NFC", "NFD")}
    archive = conda(tmp_path, [file(name, name.encode()) for name in sorted(names)], info([]))
    for folder in (tmp_path / "to", ntfs / "to"):
        unpack(archive, folder)
        assert {f"lib/{name}" for name in os.listdir(folder / "lib")} == names
        assert all((folder / name).read_bytes() == name.encode() for name in names)


def test_the_ends_of_lines_in_a_checkout_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git on Windows writes CR and LF. A shell in the image would not run such a program."""
    expected = programs.PROGRAMS
    read = Path.read_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: read(path).replace(b"\n", b"\r\n"))
        found = importlib.reload(programs).PROGRAMS
    importlib.reload(programs)
    assert found == expected
    assert not any(b"\r" in data for data in found.values())
