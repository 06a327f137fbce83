"""Replaces files atomically, makes folders that belong to this user alone, and opens files that somebody else made.

A reader of a replaced file sees the old content or the new content, never a part of it.
"""

from __future__ import annotations

import errno
import functools
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from jupyter_condabuild.errors import StoreUnwritable, from_os_error

PRIVATE = 0o600
"""The mode of a file that only this user may read and write."""


def home_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Returns the user's home folder; for a user without one, a folder that does not exist."""
    try:
        return Path(environ.get("HOME") or Path.home())
    except RuntimeError:  # no HOME, and the user has no entry in /etc/passwd, as in some containers
        return Path("/nonexistent")


def private_folder(folder: Path, doing: str) -> None:
    """Makes a folder that only this user may enter, or takes the rights of others to an existing folder away.

    The folder is made private before anything is written to it, so that nobody else can put a file there or read one.

    Args:
        doing: completes "… while …" in an error message, for example "opening the store".

    Raises StoreUnwritable if the folder belongs to another user, and StoreError if it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.geteuid():
            raise StoreUnwritable(f"{folder} belongs to another user (uid {status.st_uid}).", "Choose another folder.")
        if status.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise from_os_error(error, doing, folder) from None


def open_private(path: str, flags: int) -> int:
    """An opener for `open`: only this user may read and write a file that it makes."""
    return os.open(path, flags | os.O_CLOEXEC, PRIVATE)


def write_whole(path: Path, content: str | bytes, doing: str, *, mode: int = 0o666) -> None:
    """Writes a file under a temporary name in the same folder, and then renames it.

    Each call has its own temporary name, so that several threads and processes may write the same file at the same
    time. The last rename decides the content.

    Args:
        content: bytes, or a text that is written as UTF-8. Surrogate escapes in the text become the bytes that they
            stand for (file names may contain any bytes).
        doing: completes "… while …" in an error message, for example "writing the lock file".
        mode: the permissions before the umask is applied.

    Raises StoreError. The file keeps its old content then.
    """
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        error.filename = None
        raise from_os_error(error, doing, path) from None
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def others_can_write(folder: Path) -> bool:
    """Whether a user other than this one and root can change what lies in a folder, or put another folder in its place.

    A group counts as this user if it is the user's own group, which many Linux systems make for each user.
    """
    places = {Path(os.path.abspath(folder)), Path(os.path.realpath(folder))}
    above = {parent for place in places for parent in place.parents} - places
    try:
        return any(writable_by_others(os.stat(place)) for place in places) or any(
            writable_by_others(os.stat(place), sticky=True) for place in above
        )
    except OSError:
        return True


def others_can_write_into(folder: Path) -> bool:
    """Whether `folder` is a link, or a folder that a user other than this one and root can write."""
    try:
        status = os.lstat(folder)
    except OSError:
        return True
    return not stat.S_ISDIR(status.st_mode) or writable_by_others(status)


def writable_by_others(status: os.stat_result, *, sticky: bool = False) -> bool:
    """Whether a user other than this one and root can write a file or a folder with this status.

    Args:
        sticky: whether to ignore rights that the sticky bit limits to new files.
    """
    if status.st_uid not in (0, os.geteuid()):
        return True
    if sticky and status.st_mode & stat.S_ISVTX:
        return False
    return bool(status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and _has_others(status.st_gid)))


@functools.cache
def _has_others(group: int) -> bool:
    import grp  # Windows has neither module
    import pwd

    try:
        user, members = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return True
    own = group in (0, user.pw_gid) and members.gr_name in (user.pw_name, "root")
    return not own or not {user.pw_name, "root"}.issuperset(members.gr_mem)


def open_regular(path: str | Path, folder: int | None = None, *, follow: bool = False) -> int:
    """Opens a regular file for reading and returns its descriptor. Never waits.

    A FIFO without a writer blocks a plain `open`.

    Args:
        folder: the descriptor of the folder that `path` is relative to.
        follow: whether `path` may be a symbolic link to a file.

    Raises OSError; for a link that is not followed the number is ELOOP, for another kind of file EINVAL.
    """
    return _opened(path, folder, 0 if follow else os.O_NOFOLLOW)[0]


def _opened(path: str | Path, folder: int | None, flags: int) -> tuple[int, os.stat_result]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags, dir_fd=folder)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return descriptor, status
    os.close(descriptor)
    raise OSError(errno.EINVAL, "Not a regular file", str(path))


def read_regular(path: Path, most: int, *, follow: bool = False) -> bytes:
    """Returns the content of a regular file of at most `most` bytes. See `open_regular`.

    Raises OSError; for a larger file the number is EFBIG.
    """
    with open(open_regular(path, follow=follow), "rb", 0) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return file.read(size) or b""


class BeneathFolder:
    """Opens regular files by their paths, relative to the descriptor of their folder. A context manager.

    Below a given root, no folder may be a symbolic link. The folders of the last file stay open, so that the files of a
    tree that are opened in order cost one look-up for each folder.
    """

    def __init__(self) -> None:
        self._top = self._root = self._folder = ""
        self._names: list[str] = []  # of the open folders below the topmost one
        self._descriptors: list[int] = []  # of the topmost folder, and of these folders

    def __enter__(self) -> BeneathFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._close(0)

    def open(self, path: str, root: str = "") -> tuple[int, os.stat_result]:
        """Opens a file and returns its descriptor and its status.

        Args:
            path: the path of the file.
            root: a folder above `path` whose own path may contain links. If it is empty, the folder of the file.

        Raises OSError as `open_regular` does; ENOTDIR for a link in the place of a folder.
        """
        folder, _, name = path.rpartition("/")
        if not self._descriptors or self._folder != folder or self._root != root:
            self._enter(folder, root)
        return _opened(name, self._descriptors[-1], os.O_NOFOLLOW)

    def _enter(self, folder: str, root: str) -> None:
        below = root and folder.startswith(f"{root}/")
        names = folder[len(root) + 1 :].split("/") if below else []
        top = root if below else folder or "/"
        flags = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC  # macOS has no O_PATH
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(names, self._names, strict=False)))
        self._close(same + 1 if self._top == top else 0)
        self._top, self._root, self._folder = top, root, "\0"  # no folder, until all are open
        if not self._descriptors:
            self._descriptors.append(os.open(top, flags))
        for name in names[len(self._names) :]:
            self._descriptors.append(os.open(name, flags | os.O_NOFOLLOW, dir_fd=self._descriptors[-1]))
            self._names.append(name)
        self._folder = folder

    def _close(self, keep: int) -> None:
        """Closes all folders but the first ones."""
        while len(self._descriptors) > keep:
            os.close(self._descriptors.pop())
        del self._names[max(0, keep - 1) :]
