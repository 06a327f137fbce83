"""Replaces files atomically: a reader sees the old content or the new content, never a part of it."""

from __future__ import annotations

import os
import secrets
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
