"""Archives of packages are unpacked in both formats. No member of a hostile archive leaves the folder."""

from __future__ import annotations

import bz2
import os
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from jupyter_condabuild.conda.linking import archive
from jupyter_condabuild.conda.linking.archive import unpack
from jupyter_condabuild.conda.package_cache import hash_file
from jupyter_condabuild.errors import LinkFailed, PackageMismatch, UnsafePackage
from tests.parts.channel.hostile import Member, conda, file, info, link, special, tar, tar_bz2
from tests.parts.channel.package import zstd

Maker = Callable[[Path, Sequence[Member], Sequence[Member]], Path]
both = pytest.mark.parametrize("make", [conda, tar_bz2])


@both
def test_files_folders_and_links_are_unpacked(tmp_path: Path, make: Maker) -> None:
    """Times, x bits, and hard links to the package's own files are kept. Other mode bits are not kept."""
    member = tarfile.TarInfo("empty")
    member.type = tarfile.DIRTYPE
    script = file("./bin/run", b"#!/bin/sh", 0o6755)
    script[0].mtime = 1_700_000_000
    members = [script, (member, b""), file("lib/a", b"a"), link("lib/b", "lib/a", hard=True)]
    members += [link("lib/up", "../bin/run"), link("etc/ssl", "/etc/ssl"), file("odd/\n\\x2d\udcff")]
    unpack(make(tmp_path, members, info([])), tmp_path / "to")
    made = {str(path.relative_to(tmp_path / "to")) for path in (tmp_path / "to").rglob("*")}
    assert made >= {"bin/run", "empty", "lib/a", "lib/b", "lib/up", "etc/ssl", "info/index.json", "odd/\n\\x2d\udcff"}
    status = (tmp_path / "to/bin/run").stat()
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o755, 1_700_000_000)
    assert (tmp_path / "to/lib/b").read_bytes() == b"a"
    assert os.readlink(tmp_path / "to/etc/ssl") == "/etc/ssl"


def test_the_last_member_with_a_name_counts(tmp_path: Path) -> None:
    """This rule is the same as in every tar. A link with this name is replaced, and not followed."""
    (tmp_path / "outside").write_text("kept")
    members = [link("a", str(tmp_path / "outside")), file("a", b"second")]
    unpack(conda(tmp_path, members, info([])), tmp_path / "to")
    assert (tmp_path / "to/a").read_bytes() == b"second"
    assert (tmp_path / "outside").read_text() == "kept"


HOSTILE: dict[str, list[Member]] = {
    "absolute": [file("/etc/x")],
    "above": [file("share/../../x")],
    "above, with backslashes": [file("share\\..\\..\\x")],
    "through a link": [link("share/d", "/tmp"), file("share/d/x")],
    "through a link to a folder of the package": [file("lib/x"), link("lib64", "lib"), file("lib64/y")],
    "below a file": [file("a"), file("a/b")],
    "a link in the place of a folder": [file("a/b"), link("a", "/tmp")],
    "hard link outside": [link("x", "/etc/hostname", hard=True)],
    "hard link above": [link("x", "../../../etc/hostname", hard=True)],
    "hard link to a link": [link("l", "/etc/hostname"), link("x", "l", hard=True)],
    "character device": [special("x", tarfile.CHRTYPE)],
    "block device": [special("x", tarfile.BLKTYPE)],
    "FIFO": [special("x", tarfile.FIFOTYPE)],
    "contiguous file": [special("x", tarfile.CONTTYPE)],
    "long name": [file("n" * 300)],
    "long path": [file("/".join(["n" * 200] * 20)[1:])],
    "300 folders": [file("d/" * 300 + "x")],
    "1 MB name": [file("n" * (1 << 20))],
    "1 MB target": [link("x", "n" * (1 << 20))],
    "too large": [file("zeros", bytes((16 << 20) + (4 << 20)))],
}


@both
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_member_is_refused(tmp_path: Path, name: str, make: Maker) -> None:
    """The error is one sentence, and no file is outside of the folder."""
    path = make(tmp_path, HOSTILE[name], info([]))
    before = set(tmp_path.iterdir())
    with pytest.raises(UnsafePackage):
        unpack(path, tmp_path / "to")
    assert set(tmp_path.iterdir()) == before | {tmp_path / "to"}


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each member needs a file on the disk, but no space in the archive."""
    monkeypatch.setattr(archive, "LEAST_MEMBERS", 50)
    path = conda(tmp_path, [file(f"f{number}") for number in range(1000)], info([]))
    with pytest.raises(UnsafePackage, match="too many members"):
        unpack(path, tmp_path / "to")


def test_nested_headers_are_refused(tmp_path: Path) -> None:
    """The archive has a long name for a long name for a long name, and so on."""
    nested = tar([(_long(), b"name\0")])[:1024] * 3000
    path = tmp_path / "evil-1-0.tar.bz2"
    path.write_bytes(bz2.compress(nested + tar([file("x")])))
    with pytest.raises(UnsafePackage, match="headers"):
        unpack(path, tmp_path / "to")


def _long() -> tarfile.TarInfo:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 5
    return member


def test_bytes_after_the_tar_count(tmp_path: Path) -> None:
    """A reader that stops at the end of the tar would not read these bytes, but another reader would."""
    path = conda(tmp_path, [file("x")], info([]))
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("pkg-evil-1-0.tar.zst", zstd.compress(tar([file("x")]) + bytes(20 << 20)))
        out.writestr("info-evil-1-0.tar.zst", zstd.compress(tar(info([]))))
    with pytest.raises(UnsafePackage, match="unpacks to more than"):
        unpack(path, tmp_path / "to")


@pytest.mark.parametrize(
    "names", [["pkg-evil-1-0.tar.zst"], ["pkg-a.tar.zst", "pkg-b.tar.zst", "info-a.tar.zst"], ["pkg-a.tar.bz2"]]
)
def test_an_archive_with_other_parts_is_damaged(tmp_path: Path, names: list[str]) -> None:
    """Two readers could choose different parts of the archive."""
    path = tmp_path / "evil-1-0.conda"
    with zipfile.ZipFile(path, "w") as out:
        for name in names:
            out.writestr(name, zstd.compress(tar([file("x")])))
    with pytest.raises(LinkFailed, match="cannot be unpacked"):
        unpack(path, tmp_path / "to")


@pytest.mark.parametrize("cut", [10, 200, 400])
@both
def test_a_damaged_archive_is_named(tmp_path: Path, cut: int, make: Maker) -> None:
    """The archive is cut, or has other bytes at its end."""
    path = make(tmp_path, [file("x", os.urandom(300))], info([]))
    data = path.read_bytes()
    for number, damaged in enumerate((data[:-cut], data[:-cut] + bytes(cut), b"")):
        path.write_bytes(damaged)
        with pytest.raises(LinkFailed, match=path.name):
            unpack(path, tmp_path / f"to-{number}")


def test_an_archive_that_others_can_change_is_checked_again(tmp_path: Path) -> None:
    """A copy is checked, because the archive can be replaced after the check of its hash."""
    folder = tmp_path / "pkgs"
    folder.mkdir()
    path = conda(folder, [file("x", b"x")], info([]))
    digest = hash_file(path)
    conda(folder, [file("x", b"forged")], info([]))
    unpack(path, tmp_path / "own", digest)  # no other user can have made this change
    folder.chmod(0o777)
    with pytest.raises(PackageMismatch, match="was changed"):
        unpack(path, tmp_path / "to", digest)
    unpack(path, tmp_path / "again", hash_file(path))
    assert (tmp_path / "again/x").read_bytes() == b"forged"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "own", "pkgs", "to"]


def test_no_package_of_the_channel_is_near_the_limits(test_cache: Path, channel: object) -> None:
    """The limits stop bombs, and no real packages."""
    archives = [path for path in (test_cache / "tiny").glob("*/*.conda") if path.stat().st_size > 100_000]
    assert archives
    for path in archives:
        with zipfile.ZipFile(path) as opened:
            size = sum(len(zstd.decompress(opened.read(n))) for n in opened.namelist() if n.endswith(".zst"))
        assert size < archive.RATIO / 10 * path.stat().st_size
