"""Replaces files atomically, and opens files that somebody else made.

A reader of a replaced file sees the old content or the new content, never a part of it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from jupyter_condabuild.errors import from_os_error


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


def open_regular(path: str | Path, folder: int | None = None) -> int:
    """Opens a regular file for reading and returns its descriptor. Never follows a link, and never waits.

    A FIFO without a writer blocks a plain `open`, and opening a device may change it.

    Args:
        folder: the descriptor of the folder that `path` is relative to.

    Raises OSError; for a link the number is ELOOP, for another kind of file EINVAL.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "Not a regular file", str(path))


def read_regular(path: Path, most: int) -> bytes:
    """Returns the content of a regular file of at most `most` bytes. See `open_regular`.

    Raises OSError; for a larger file the number is EFBIG.
    """
    with open(open_regular(path), "rb", 0) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return file.read(size) or b""
