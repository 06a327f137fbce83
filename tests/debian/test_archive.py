"""A package of Debian is unpacked without a way out of its folder, whatever it contains."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from jupyter_condabuild.debian.archive import LEAST_BYTES, Unpacked, unpack
from jupyter_condabuild.errors import UnsafePackage
from tests.parts.debian.mirror import ar, deb, member, members, tar_xz

CONTROL = tar_xz([member("./control", b"Package: a\n")])


def read(tmp_path: Path, data: bytes) -> Unpacked:
    archive, folder = tmp_path / "a.deb", tmp_path / "folder"
    archive.write_bytes(data)
    folder.mkdir()
    return unpack(archive, folder, lambda path: "doc/" not in path)


def test_files_folders_links_and_the_files_for_dpkg_are_read(tmp_path: Path) -> None:
    """The list of dpkg names what was left out, too, and no bit lets a program run as another user."""
    data = [
        *members({"bin/a": b"A", "doc/b": b"B", "lib/c": "../bin/a"}),
        member("./bin/hard", kind=tarfile.LNKTYPE, target="./bin/a", mode=0o4755),
        member("./tmp/", kind=tarfile.DIRTYPE, mode=0o3777),
    ]
    found = read(tmp_path, deb("a", data, control={"postinst": b"#!/bin/sh\nrm -rf /\n"}))
    assert {entry.path: (entry.kind, oct(entry.mode)) for entry in found.members} == {
        "bin": ("directory", "0o755"),
        "doc": ("directory", "0o755"),
        "lib": ("directory", "0o755"),
        "bin/a": ("file", "0o755"),
        "lib/c": ("symlink", "0o777"),
        "bin/hard": ("file", "0o755"),
        "tmp": ("directory", "0o1777"),
    }
    assert {Path(entry.source).read_bytes() for entry in found.members if entry.source} == {b"A"}
    assert found.control["postinst"].startswith(b"#!/bin/sh")
    assert "/doc/b" in found.listed


@pytest.mark.parametrize(
    "hostile",
    [
        member("../outside", b"x"),
        member("./a/../../outside", b"x"),
        member("/etc/passwd", b"x"),
        member("./a\nb", b"x"),
        member("./dev/sda", kind=tarfile.BLKTYPE),
        member("./dev/tty", kind=tarfile.CHRTYPE),
        member("./pipe", kind=tarfile.FIFOTYPE),
        member("./hard", kind=tarfile.LNKTYPE, target="/etc/shadow"),
        member("./link", kind=tarfile.SYMTYPE),
    ],
    ids=lambda pair: pair[0].name,
)
def test_a_hostile_member_is_refused(tmp_path: Path, hostile: tuple[tarfile.TarInfo, bytes]) -> None:
    """Nothing is written outside of the folder."""
    with pytest.raises(UnsafePackage, match="which is refused"):
        read(tmp_path, deb("a", [hostile]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.deb", "folder"]


def test_a_file_below_a_link_is_not_written_through_the_link(tmp_path: Path) -> None:
    """Files have numbers as names on this machine."""
    out = tmp_path / "out"
    out.mkdir()
    read(tmp_path, deb("a", [member("./etc", kind=tarfile.SYMTYPE, target=str(out)), member("./etc/x", b"x")]))
    assert list(out.iterdir()) == []


def test_a_package_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    """The limit is met while it is unpacked."""
    with pytest.raises(UnsafePackage, match="unpacks to more than"):
        read(tmp_path, deb("a", [member("./zeros", bytes(2 * LEAST_BYTES))]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        b"!<arch>\nshort",
        ar({"debian-binary": b"2.0\n"}),
        ar({"control.tar.xz": CONTROL}),
        ar({"control.tar.xz": CONTROL, "data.tar.xz": CONTROL[:40]}),
        ar({"control.tar.xz": CONTROL, "data.tar.lzma": b""}),
        ar({"control.tar.xz": CONTROL, "data.tar.zst": b"x"}),
        ar({"control.tar.xz": CONTROL, "data.tar.gz": b"x"}),
        ar({"control.tar.xz": tar_xz([]), "data.tar.xz": tar_xz([])}),
        ar({"control.tar.xz": CONTROL, "data.tar.xz": tar_xz([])})[:-8],
        b"!<arch>\n" + ar({"data.tar.xz": b""})[8:56] + b"9999999999`\n",
    ],
)
def test_a_damaged_package_is_refused(tmp_path: Path, data: bytes) -> None:
    """With a message, not with a traceback."""
    with pytest.raises(UnsafePackage, match=r"a\.deb cannot be unpacked"):
        read(tmp_path, data)
