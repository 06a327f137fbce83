"""Files are replaced as a whole, and only regular files are opened."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from jupyter_condabuild.errors import StoreError, StoreUnwritable
from jupyter_condabuild.files import private_folder, read_regular, write_whole
from jupyter_condabuild.system.beneath import BeneathFolder
from jupyter_condabuild.system.owners import others_can_write


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    """The content is text or bytes. Text can contain file names with any bytes."""
    file = tmp_path / "lock.yml"
    write_whole(file, "é \udcff\n", "writing")
    assert file.read_bytes() == "é ".encode() + b"\xff\n"
    write_whole(file, b"new", "writing")
    assert file.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["lock.yml"]


def test_the_mode_is_the_given_mode_without_the_umask(tmp_path: Path) -> None:
    """A program is executable, and only the owner can read a private file."""
    before = os.umask(0o022)
    try:
        for name, mode, expected in (("a", 0o666, 0o644), ("b", 0o777, 0o755), ("c", 0o600, 0o600)):
            write_whole(tmp_path / name, "", "writing", mode=mode)
            assert (tmp_path / name).stat().st_mode & 0o777 == expected
    finally:
        os.umask(before)


def test_several_threads_can_write_one_file(tmp_path: Path) -> None:
    """The threads of a process use different temporary files."""
    file = tmp_path / "lock.yml"
    contents = [str(number) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda text: write_whole(file, text, "writing"), contents * 20))
    assert file.read_text() in contents
    assert os.listdir(tmp_path) == ["lock.yml"]


@pytest.mark.parametrize("name", ["missing/lock.yml", "folder"])
def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    """The folder does not exist, or the path of the file is a folder."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=f"while writing the lock file.*{name}"):
        write_whole(tmp_path / name, "text", "writing the lock file")
    assert os.listdir(tmp_path) == ["folder"]


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A pipe without a writer is not waited for."""
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert read_regular(tmp_path / "file", 4) == b"text"
    assert read_regular(tmp_path / "link", 4, follow=True) == b"text"
    for name, number in (("link", errno.ELOOP), ("pipe", errno.EINVAL), (".", errno.EINVAL), ("none", errno.ENOENT)):
        with pytest.raises(OSError, match=rf"Errno {number}\b"):
            read_regular(tmp_path / name, 4)
    with pytest.raises(OSError, match="large"):
        read_regular(tmp_path / "file", 3)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    """The descriptors of folders are closed, also if a folder is not found."""
    before = set(os.listdir("/proc/self/fd"))
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_text("text")
    (tmp_path / "a/link").symlink_to("b")
    with BeneathFolder() as folder:
        for name in ("a/b/file", "a/link/file", "a/b/none", "a/none/file", "a/b/file"):
            with suppress(OSError):
                os.close(folder.open(f"{tmp_path}/{name}", str(tmp_path))[0])
    assert set(os.listdir("/proc/self/fd")) == before


def test_each_file_belongs_to_its_path(tmp_path: Path) -> None:
    """The result does not depend on files that were opened before, and not on the root."""
    names = ["a/b/c/1", "a/b/2", "a/b/c/d/3", "4", "x/b/c/5", "a/6", "x/b/7", "a/b/c/1"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "x/link").symlink_to(tmp_path / "a")
    with BeneathFolder() as folder:
        for root in (str(tmp_path), "", f"{tmp_path}/a", str(tmp_path)):
            for name in names:
                descriptor, status = folder.open(f"{tmp_path}/{name}", root)
                with open(descriptor) as file:
                    assert (file.read(), status.st_size) == (name, len(name))
            with pytest.raises(NotADirectoryError):
                folder.open(f"{tmp_path}/x/link/6", str(tmp_path))
        descriptor, _ = folder.open(f"{tmp_path}/x/link/6", f"{tmp_path}/x/link")
        os.close(descriptor)


def test_a_folder_that_others_can_write_is_recognised(tmp_path: Path) -> None:
    """The user's own group is not another user. With the sticky bit, the folder above protects its entries."""
    folder = tmp_path / "above/folder"
    folder.mkdir(parents=True)
    assert not others_can_write(folder)
    folder.chmod(0o757)
    assert others_can_write(folder)
    folder.chmod(0o1777)
    assert others_can_write(folder)
    folder.chmod(0o700)
    (tmp_path / "above").chmod(0o777)
    assert others_can_write(folder)
    (tmp_path / "above").chmod(0o1777)
    assert not others_can_write(folder)
    if os.getuid() == 0:
        folder.chmod(0o775)
        assert not others_can_write(folder)
        os.chown(folder, -1, 4242)
        assert others_can_write(folder)
    assert others_can_write(tmp_path / "none")


def test_a_folder_is_made_only_for_this_user(tmp_path: Path) -> None:
    """Other users lose their permissions on a new or existing folder before it has content."""
    for folder in (tmp_path / "new" / "state", tmp_path / "old"):
        if folder.name == "old":
            folder.mkdir(mode=0o755)
        private_folder(folder, "opening it")
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner of the folder could change our files. The message names the folder and the owner."""
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o777)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StoreUnwritable, match=f"{folder} belongs to another user .uid {os.getuid()}."):
        private_folder(folder, "opening it")
    (tmp_path / "file").write_text("")
    monkeypatch.undo()
    with pytest.raises(StoreError, match="opening it"):
        private_folder(tmp_path / "file", "opening it")
