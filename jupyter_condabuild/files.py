"""Files that are replaced whole: a reader sees the old content or the new content, never a part."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from jupyter_condabuild.errors import from_os_error


def write_whole(path: Path, content: str | bytes, doing: str, *, mode: int = 0o666) -> None:
    """Writes a file under a temporary name in the same folder, then renames it.

    The temporary name is of this call alone, so that threads and processes may write the same file at one time: the
    last rename wins.

    Args:
        content: text is written as UTF-8; file names of any bytes in it come back as they were (surrogateescape).
        doing: completes "… while …" in an error, as in "writing the lock file".
        mode: the permissions, less the umask.

    Raises StoreError; the file is then as it was before.
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
