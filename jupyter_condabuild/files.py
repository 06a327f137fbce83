"""Replaces files atomically, makes folders that belong to this user alone, and opens files that somebody else made.

A reader of a replaced file sees the old content or the new content, never a part of it.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from jupyter_condabuild.errors import OUTSIDE, StoreUnwritable, from_os_error
from jupyter_condabuild.system import opening, owners

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
        if not owners.is_mine(status):
            raise StoreUnwritable(f"{folder} belongs to another user (uid {status.st_uid}).", "Choose another folder.")
        if owners.HAS_OWNERS and status.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise from_os_error(error, doing, folder) from None


def open_private(path: str, flags: int) -> int:
    """An opener for `open`: only this user may read and write a file that it makes."""
    return os.open(path, flags | opening.WRITE, PRIVATE)


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
        descriptor = os.open(temporary, opening.NEW, mode)
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        error.filename = None
        raise from_os_error(error, doing, path, hint=OUTSIDE) from None
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def open_regular(path: str | Path, folder: int | None = None, *, follow: bool = False) -> int:
    """Opens a regular file for reading and returns its descriptor. Never waits.

    A FIFO without a writer blocks a plain `open`.

    Args:
        folder: the descriptor of the folder that `path` is relative to.
        follow: whether `path` may be a symbolic link to a file.

    Raises OSError; for a link that is not followed the number is ELOOP, for another kind of file EINVAL.
    """
    return opening.open_file(path, folder, follow=follow)[0]


def read_regular(path: Path, most: int, *, follow: bool = False) -> bytes:
    """Returns the content of a regular file of at most `most` bytes. See `open_regular`.

    Raises OSError; for a larger file the number is EFBIG.
    """
    with open(open_regular(path, follow=follow), "rb", 0) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return file.read(size) or b""
