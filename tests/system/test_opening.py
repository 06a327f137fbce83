"""A file is opened as itself, never as what a link leads to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from jupyter_condabuild.system import opening
from jupyter_condabuild.system.beneath import FoldersByPath


def test_a_link_is_recognised_after_it_was_opened(tmp_path: Path) -> None:
    """Windows follows links. The opened file is compared with the path."""
    (tmp_path / "file").write_text("text")
    try:
        (tmp_path / "link").symlink_to("file")
    except OSError:  # Windows: only developers and administrators may make links
        pytest.skip("links are not allowed here")
    status = os.stat(tmp_path / "link")
    assert opening.is_same_file(tmp_path / "file", status)
    assert not opening.is_same_file(tmp_path / "link", status)


def test_only_a_regular_file_is_opened_and_no_link(tmp_path: Path) -> None:
    """With `follow`, a link to a file is opened."""
    (tmp_path / "file").write_text("text")
    try:
        (tmp_path / "link").symlink_to("file")
    except OSError:
        pytest.skip("links are not allowed here")
    with pytest.raises(OSError, match=rf"Errno {errno.ELOOP}\b"):
        opening.open_file(tmp_path / "link")
    for name, follow in (("link", True), ("file", False)):
        descriptor, status = opening.open_file(tmp_path / name, follow=follow)
        os.close(descriptor)
        assert status.st_size == 4
    with pytest.raises(OSError, match="Errno"):
        opening.open_file(tmp_path)


def test_a_folder_is_not_a_link_to_a_folder(tmp_path: Path) -> None:
    """A file is no folder, either."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert opening.is_plain_folder(str(tmp_path / "folder"))
    assert not opening.is_plain_folder(str(tmp_path / "file"))


def test_bytes_are_read_as_they_are(tmp_path: Path) -> None:
    """No line end and no end of a text (Ctrl-Z) changes them. Reading at a place does not move the position."""
    data = b"a\r\nb\x1ac\n" * 1000
    descriptor = os.open(tmp_path / "file", opening.NEW)
    os.write(descriptor, data)
    os.close(descriptor)
    descriptor, status = opening.open_file(tmp_path / "file")
    try:
        assert status.st_size == len(data)
        assert opening.read_at(descriptor, 5, 8) == data[8:13]
        buffer = memoryview(bytearray(len(data)))
        assert opening.read_into(descriptor, buffer) == len(data)
        assert bytes(buffer) == data
        assert opening.read_into(descriptor, buffer) == 0
    finally:
        os.close(descriptor)


def test_files_are_opened_by_their_paths(tmp_path: Path) -> None:
    """Below the root, no folder may be a link; this is how Windows, without descriptors of folders, opens files."""
    for name in ("a/b/1", "a/2", "3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    with FoldersByPath() as folders:
        for root in (str(tmp_path), "", str(tmp_path / "a")):
            for name in ("a/b/1", "a/2", "3", "a/b/1"):
                with open(folders.open(f"{tmp_path}/{name}", root)[0]) as file:
                    assert file.read() == name
        with pytest.raises(OSError, match=rf"Errno {errno.ENOENT}\b"):
            folders.open(f"{tmp_path}/a/none", str(tmp_path))


def test_no_file_is_opened_through_a_link_in_the_place_of_a_folder(tmp_path: Path) -> None:
    """The same link above the root is followed."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_text("text")
    try:
        (tmp_path / "link").symlink_to("a")
    except OSError:
        pytest.skip("links are not allowed here")
    with FoldersByPath() as folders:
        with pytest.raises(NotADirectoryError):
            folders.open(f"{tmp_path}/link/b/file", str(tmp_path))
        os.close(folders.open(f"{tmp_path}/link/b/file", f"{tmp_path}/link")[0])
