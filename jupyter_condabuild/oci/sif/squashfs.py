"""Makes a squashfs file system of a tar stream with tar2sqfs, or with sqfstar where tar2sqfs is not installed.

tar2sqfs comes first: it takes a compression level, which sqfstar 4.5 cannot read, and needs a few megabytes of memory.

Source: tar2sqfs(1), sqfstar(1).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from jupyter_condabuild.errors import DiskFull, SquashfsFailed, SquashfsUnavailable

_TAR2SQFS = ("--quiet", "--force", "--no-xattr", "--no-skip", "--compressor", "gzip", "--comp-extra", "level=6")
_SQFSTAR = ("-quiet", "-no-progress", "-force", "-exit-on-error", "-no-xattrs", "-comp", "gzip", "-mem", "64M")
_LITTLE = 1 << 20
"""The number of free bytes below which a disk is full."""


def command(out: Path, time: int) -> Sequence[str]:
    """Returns the command that reads a tar and writes a file system over an existing file.

    Args:
        time: the time of every file, in seconds since the epoch.

    Raises SquashfsUnavailable if there is no program for it.
    """
    if program := shutil.which("tar2sqfs"):
        defaults = f"uid=0,gid=0,mode=0755,mtime={time}"
        return (program, *_TAR2SQFS, "--defaults", defaults, "--no-keep-time", str(out))
    if program := shutil.which("sqfstar"):
        times = ("-mkfs-time", str(time), "-all-time", str(time))
        return (program, *_SQFSTAR, *times, "-root-mode", "755", str(out))
    raise SquashfsUnavailable("Neither tar2sqfs nor sqfstar is installed, one of which writes the files of a SIF.")


def check_program() -> None:
    """Raises SquashfsUnavailable if there is no program that makes a file system."""
    command(Path(), 0)


def squash(tar: Iterable[bytes], out: Path, time: int) -> None:
    """Writes a squashfs file system with the files of a tar. The same tar and program give the same bytes.

    Args:
        tar: the tar in chunks. If it raises an error, the program is ended.
        out: an existing empty file.
        time: the time of every file, in seconds since the epoch.

    Raises:
        SquashfsUnavailable: there is no program that makes a file system.
        SquashfsFailed: the program failed, with its last words.
        DiskFull: no space is left.
    """
    # SOURCE_DATE_EPOCH would change the times.
    variables = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"} | {"LC_ALL": "C"}
    program = command(out.absolute(), time)
    process = subprocess.Popen(
        program,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=variables,
    )
    assert process.stdin
    assert process.stderr
    words: deque[bytes] = deque(maxlen=1)
    listener = threading.Thread(target=_listen, args=(process.stderr, words), daemon=True)
    listener.start()
    try:
        with suppress(BrokenPipeError):  # the program has ended: its exit status and its last words say why
            for chunk in tar:
                process.stdin.write(chunk)
            process.stdin.close()
        status = process.wait()
    finally:
        process.kill()
        process.wait()
        listener.join()
        process.stderr.close()
        with suppress(BrokenPipeError):
            process.stdin.close()
    if status:
        # tar2sqfs removes the file before it ends, and the disk has room again. It reads no disk, so it means a write.
        if shutil.disk_usage(out.parent).free < _LITTLE or any(b"I/O error" in word for word in words):
            raise DiskFull(
                "No space is left while writing the files of the SIF, or the disk has failed.",
                "Free space on that disk, or name a file in another folder with -o.",
            )
        said = b"".join(words).decode(errors="replace").strip().splitlines()
        last = said[-1][:300] if said else f"it ended with status {status}"
        raise SquashfsFailed(f"{Path(program[0]).name} failed: {last}")


def _listen(errors: IO[bytes], words: deque[bytes]) -> None:
    """Reads all that a program says, and keeps the last part."""
    last = b""
    while part := errors.read1(4096):  # type: ignore[attr-defined]
        last = (last + part)[-4096:]
    words.append(last)
