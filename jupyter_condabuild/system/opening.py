"""How a file is opened and read, so that it is the file that the caller means, with the bytes that are on the disk.

On Windows a file has a text mode, which changes bytes, and a folder has no descriptor that other paths start from.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from pathlib import Path

if sys.platform == "win32":
    READ = os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT
    WRITE = os.O_BINARY | os.O_NOINHERIT
    NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | WRITE
    _NO_LINK = 0
    _position = threading.Lock()
    RENAMES_OPEN = False
else:
    READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    """The flags of `os.open` for reading. A FIFO without a writer is not waited for."""

    WRITE = os.O_CLOEXEC
    """The flags of `os.open` that are added to those for writing."""

    NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | WRITE
    """The flags of `os.open` for a file that does not exist yet."""

    RENAMES_OPEN = True
    """Whether a file can be renamed while somebody reads it."""

    _NO_LINK = os.O_NOFOLLOW


def open_file(path: str | Path, folder: int | None = None, *, follow: bool = False) -> tuple[int, os.stat_result]:
    """Opens a regular file for reading. Never waits. Returns its descriptor and its status.

    Args:
        folder: the descriptor of the folder that `path` is relative to.
        follow: whether `path` may be a symbolic link to a file.

    Raises OSError; for a link that is not followed the number is ELOOP, for another kind of file EINVAL.
    """
    descriptor = os.open(path, READ | (0 if follow else _NO_LINK), dir_fd=folder)
    status = os.fstat(descriptor)
    fault = 0 if stat.S_ISREG(status.st_mode) else errno.EINVAL
    if not fault and not _NO_LINK and not follow and not is_same_file(path, status):
        fault = errno.ELOOP
    if not fault:
        return descriptor, status
    os.close(descriptor)
    raise OSError(fault, "Not a regular file" if fault == errno.EINVAL else os.strerror(fault), str(path))


def is_same_file(path: str | Path, status: os.stat_result) -> bool:
    """Whether a path is a file with this status, and not a link to that file."""
    return os.path.samestat(os.lstat(path), status)


def is_plain_folder(path: str) -> bool:
    """Whether a path is a folder, and neither a symbolic link nor a junction of Windows to a folder. Raises OSError."""
    status = os.lstat(path)
    return stat.S_ISDIR(status.st_mode) and not getattr(status, "st_reparse_tag", 0)


if sys.platform == "win32":

    def read_at(descriptor: int, length: int, offset: int) -> bytes:
        """Returns at most `length` bytes of a file from `offset` on. The position in the file stays the same."""
        with _position:
            before = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.lseek(descriptor, offset, os.SEEK_SET)
            try:
                return os.read(descriptor, length)
            finally:
                os.lseek(descriptor, before, os.SEEK_SET)

    def read_into(descriptor: int, buffer: memoryview) -> int:
        """Reads bytes of a file into a buffer and returns their number; 0 at the end of the file."""
        data = os.read(descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)

else:

    def read_at(descriptor: int, length: int, offset: int) -> bytes:
        """Returns at most `length` bytes of a file from `offset` on. The position in the file stays the same."""
        return os.pread(descriptor, length, offset)

    def read_into(descriptor: int, buffer: memoryview) -> int:
        """Reads bytes of a file into a buffer and returns their number; 0 at the end of the file."""
        return os.readv(descriptor, [buffer])
