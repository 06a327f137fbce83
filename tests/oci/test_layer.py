"""The same files always give the same bytes of a layer, and every tar reader finds these files in it."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_condabuild.errors import BadImage, ContentMismatch
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.layer import EPOCH, Entry, LayerBlob, file_entry

FIXED = (
    Entry("opt/env/bin/run", mode=0o755, data=b"#!/bin/sh\n"),
    Entry("opt/env/share/data", data=b"x" * 1000, mtime=1_700_000_000),
    Entry("opt/env/share/none", data=b""),
    Entry("opt/env/share/" + "n" * 250, data=b"a long name"),
    Entry("opt/env/share/\udce9t\udce9\n", data=b"bytes that are no text"),
    Entry("opt/env/lib64", "symlink", 0o777, target="lib"),
    Entry("opt/env/far", "symlink", 0o777, target="/" + "t" * 200),
    Entry("work", "directory", 0o1777, owner=1000),
)
DIFF_ID = "a3a98161a756dc7993b6d5b9875be29d18d2dd01d77403407019cf08689ef184"


def written(*entries: Entry, level: int = 1) -> tuple[LayerBlob, bytes]:
    """Writes a layer, and returns the blob and its tar."""
    out = io.BytesIO()
    blob = layer.write(entries, out, level)
    return blob, gzip.decompress(out.getvalue())


def members(tar: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(tar), encoding="utf-8", errors="surrogateescape") as archive:
        return archive.getmembers()


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_fixed_layer_has_a_fixed_digest(level: int) -> None:
    """A change of the bytes needs a new WRITER_VERSION and a new digest here.

    Otherwise labs cannot share layers any more.
    """
    blob, tar = written(*FIXED, level=level)
    assert hashlib.sha256(tar).hexdigest() == blob.diff_id.hex
    assert (layer.WRITER_VERSION, blob.diff_id.hex) == (3, DIFF_ID)


def test_a_blob_is_described_by_its_bytes() -> None:
    """Digest and size are of the compressed bytes, diff_id and tar size are of the tar.

    The tar ends with a full record.
    """
    out = io.BytesIO()
    blob = layer.write(FIXED, out)
    data = out.getvalue()
    tar = gzip.decompress(data)
    assert (blob.descriptor.digest.hex, blob.descriptor.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (blob.diff_id.hex, blob.tar_size) == (hashlib.sha256(tar).hexdigest(), len(tar))
    assert len(tar) % 10240 == 0


def test_the_gzip_header_has_no_name_and_no_time() -> None:
    """The header has neither name nor time (RFC 1952, FLG and MTIME)."""
    out = io.BytesIO()
    layer.write(FIXED, out)
    assert out.getvalue()[:8] == b"\x1f\x8b\x08" + bytes(5)


def test_the_order_of_the_entries_does_not_matter() -> None:
    """The order in which the file system lists the files does not change the bytes."""
    assert written(*FIXED) == written(*FIXED[::-1])


def test_time_owner_and_umask_of_a_file_do_not_matter(tmp_path: Path) -> None:
    """The mode is 0755 for executable files, and 0644 for other files."""
    found = set()
    for name, mode in (("a", 0o600), ("b", 0o644), ("c", 0o666), ("d", 0o4600)):
        path = tmp_path / name
        path.write_bytes(b"same")
        path.chmod(mode)
        os.utime(path, (mode, mode))
        found.add(written(file_entry("opt/file", str(path)))[1])
    assert len(found) == 1
    (tmp_path / "a").chmod(0o700)
    _, member = members(written(file_entry("opt/file", str(tmp_path / "a")))[1])
    assert (member.mode, member.uid, member.gid, member.mtime) == (0o755, 0, 0, EPOCH)


def test_a_tar_reader_finds_the_written_entries() -> None:
    """Names and targets of any length and with any bytes are read back, with owner, time and mode."""
    found = {member.name: member for member in members(written(*FIXED)[1])}
    for entry in FIXED:
        member = found[entry.path]
        assert (member.uid, member.gid, member.mtime, member.mode) == (
            entry.owner,
            entry.owner,
            entry.mtime,
            entry.mode,
        )
        assert (member.linkname, member.size) == (entry.target, len(entry.data))


NAMES = st.lists(
    st.binary(min_size=1, max_size=120)
    .map(lambda name: os.fsdecode(name.replace(b"\0", b"0").replace(b"/", b"-")))
    .filter(lambda name: name not in (".", "..") and not name.startswith(".wh.")),
    min_size=1,
    max_size=4,
).map("/".join)


@given(st.dictionaries(NAMES, st.binary(max_size=1100), min_size=1, max_size=6))
def test_any_name_and_content_are_read_back(files: dict[str, bytes]) -> None:
    """All bytes that a file system allows in a name are read back."""
    folders = {name.rsplit("/", depth)[0] for name in files for depth in range(1, name.count("/") + 1)}
    files = {name: data for name, data in files.items() if name not in folders}
    _, tar = written(*(Entry(name, data=data) for name, data in files.items()))
    with tarfile.open(fileobj=io.BytesIO(tar), encoding="utf-8", errors="surrogateescape") as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive if member.isreg()}  # type: ignore[union-attr]
    assert found == files


def test_parents_come_once_and_first_and_are_always_the_same() -> None:
    """Two layers have identical entries for a folder that both contain.

    Otherwise equal packages would give other layers.
    """
    one = members(written(Entry("opt/env/lib/a", data=b"a"), Entry("opt/env/lib/b", data=b"b"))[1])
    other = members(written(Entry("opt/env/lib/c", mode=0o755, mtime=5))[1])
    assert [member.name for member in one] == ["opt", "opt/env", "opt/env/lib", "opt/env/lib/a", "opt/env/lib/b"]
    parents = [(m.name, m.mode, m.uid, m.mtime) for m in one if m.isdir()]
    assert parents == [(m.name, m.mode, m.uid, m.mtime) for m in other if m.isdir()]


def test_a_folder_given_and_implied_is_written_once() -> None:
    """The folder has the mode of its entry."""
    entries = (Entry("work", "directory", 0o1777, owner=1000), Entry("work/file", data=b""))
    for some in (entries, entries[::-1]):
        assert [(m.name, m.mode) for m in members(written(*some)[1])] == [("work", 0o1777), ("work/file", 0o644)]


def test_the_last_of_two_entries_for_a_path_wins() -> None:
    """A tar with a repeated name would be read differently by different programs."""
    _, tar = written(Entry("a", data=b"first"), Entry("b", data=b""), Entry("a", mode=0o755, data=b"the last"))
    assert [(m.name, m.size, m.mode) for m in members(tar)] == [("a", 8, 0o755), ("b", 0, 0o644)]


def test_a_path_that_is_a_link_and_a_folder_is_a_folder() -> None:
    """A link would hide the files in the folder."""
    _, tar = written(Entry("lib64", "symlink", 0o777, target="lib"), Entry("lib64/a", data=b"a"))
    assert [(m.name, m.isdir()) for m in members(tar)] == [("lib64", True), ("lib64/a", False)]


def test_a_deleted_path_is_written_as_a_whiteout() -> None:
    """A whiteout is an empty file ``.wh.NAME`` (image-spec layer.md, "Whiteouts"), at the top and in folders."""
    found = members(written(Entry("opt/env/gone", "whiteout"), Entry("top", "whiteout"))[1])
    assert [(m.name, m.size, m.isreg()) for m in found if not m.isdir()] == [
        ("opt/env/.wh.gone", 0, True),
        (".wh.top", 0, True),
    ]


@pytest.mark.parametrize("name", [".wh.numpy", "opt/env/.wh.numpy", "opt/env/.wh..wh..opq"])
@pytest.mark.parametrize("kind", ["file", "symlink", "directory"])
def test_a_file_with_the_name_of_a_whiteout_is_refused(name: str, kind: str) -> None:
    """A package with such a file would delete files of other packages."""
    with pytest.raises(BadImage, match="cannot be in an image"):
        written(Entry(name, kind))


def test_a_link_is_kept_and_not_followed(tmp_path: Path) -> None:
    """The target of a link does not matter."""
    (tmp_path / "link").symlink_to("/nowhere/at/all")
    (member,) = (m for m in members(written(file_entry("link", str(tmp_path / "link")))[1]))
    assert (member.issym(), member.linkname) == (True, "/nowhere/at/all")


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """An image cannot contain a socket, a pipe or a device of this machine."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ContentMismatch, match="pipe is not a file"):
        file_entry("pipe", str(tmp_path / "pipe"))


def test_a_file_is_checked_against_its_hash(tmp_path: Path) -> None:
    """The hash is computed from the same bytes that go into the layer."""
    (tmp_path / "file").write_bytes(b"good")
    good = hashlib.sha256(b"good").hexdigest()
    written(file_entry("file", str(tmp_path / "file"), sha256=good))
    (tmp_path / "file").write_bytes(b"evil")
    with pytest.raises(ContentMismatch):
        written(file_entry("file", str(tmp_path / "file"), sha256=good))


class Stop(Exception):
    """Raised when the test has seen enough bytes."""


class Truncating(io.BytesIO):
    """A file object that cuts a source file when the first bytes of the layer are written."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def write(self, data: object) -> int:
        os.truncate(self.path, 10)
        return super().write(data)  # type: ignore[arg-type]


def test_a_file_that_shrinks_during_the_read_is_an_error(tmp_path: Path) -> None:
    """Otherwise the layer would be a broken tar."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(5 << 20))
    with pytest.raises(ContentMismatch, match="shorter"):
        layer.write([file_entry("file", str(path))], Truncating(path))


class Head(io.BytesIO):
    """A file object that accepts only the first bytes."""

    def write(self, data: object) -> int:
        super().write(data)  # type: ignore[arg-type]
        if self.tell() > 600:
            raise Stop
        return len(data)  # type: ignore[arg-type]


def test_a_file_above_8_gib_has_its_size(tmp_path: Path) -> None:
    """The octal field is too small for this size, so the number is written in binary, as GNU tar does."""
    size = (8 << 30) + 5
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    out = Head()
    with pytest.raises(Stop):
        layer.write([file_entry("large", str(tmp_path / "large"))], out)
    header = zlib.decompressobj(31).decompress(out.getvalue())[:512]
    assert tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape").size == size


def test_a_full_disk_is_an_error(small_disk: Path) -> None:
    """A partial layer is never returned as a complete layer."""
    with (small_disk / "layer").open("wb") as out, pytest.raises(OSError, match="No space left"):
        layer.write([Entry("a", data=os.urandom((1 << 20) + 5000))], out)


def test_progress_adds_up_to_the_tar() -> None:
    """Each byte of the tar is reported once."""
    moved: list[int] = []
    blob = layer.write([Entry("a", data=os.urandom(3 << 20))], io.BytesIO(), 1, moved.append)
    assert sum(moved) == blob.tar_size


@pytest.mark.parametrize(
    "path", ["", "/etc/x", "..", "../x", "a/../x", "a/..", "a//b", "a/", ".", "./x", "a/./b", "a\0b"]
)
@pytest.mark.parametrize("kind", ["file", "symlink", "directory", "whiteout"])
def test_no_entry_is_outside_of_the_image(path: str, kind: str) -> None:
    """A program that unpacks the layer could write such an entry."""
    with pytest.raises(BadImage, match="cannot be a path"):
        written(Entry(path, kind))


def test_names_with_dots_are_written() -> None:
    """Dots are ordinary characters of a name."""
    names = ["...", "..a", "a..", ".a", "a/.../b"]
    assert {member.name for member in members(written(*(Entry(name) for name in names))[1])} >= set(names)


def test_a_file_behind_a_link_is_not_read(tmp_path: Path) -> None:
    """The link may have replaced a folder after the file was checked."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home/secret").write_text("secret")
    (tmp_path / "package").mkdir()
    (tmp_path / "package/d").symlink_to(tmp_path / "home")
    entry = file_entry("secret", str(tmp_path / "package/d/secret"), root=str(tmp_path / "package"))
    with pytest.raises(ContentMismatch, match="symbolic link"):
        written(entry)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_replaced_file_is_noticed(tmp_path: Path, kind: str) -> None:
    """The new file is neither followed nor waited for."""
    path = tmp_path / "file"
    path.write_text("before")
    entry = file_entry("file", str(path))
    path.unlink()
    if kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(ContentMismatch, match="regular file"):
        written(entry)


class Writing(Truncating):
    """Changes the file while its layer is written."""

    def write(self, data: object) -> int:
        with open(self.path, "r+b") as file:
            file.write(b"other")
        os.utime(self.path, ns=(0, 1))
        return io.BytesIO.write(self, data)  # type: ignore[arg-type]


def test_a_file_that_changes_during_the_read_is_noticed(tmp_path: Path) -> None:
    """Otherwise one half would be old, and the other half new."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(5 << 20))
    with pytest.raises(ContentMismatch, match="changed"):
        layer.write([file_entry("file", str(path))], Writing(path))
