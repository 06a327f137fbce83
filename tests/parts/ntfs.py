"""A real NTFS on a loop file, as Windows sees it: it takes `A` and `a` for one name, and keeps no x bits."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import missing


@contextmanager
def mounted(folder: Path, size: int = 1 << 30) -> Iterator[Path]:
    """Yields the folder of a new NTFS, whose loop file is in `folder`. Its files all have x bits."""
    if os.getuid() or not os.path.exists("/dev/fuse") or not shutil.which("lowntfs-3g"):
        missing("Only root can mount NTFS, and ntfs-3g must be installed")
    disk, place = folder / "ntfs.img", folder / "ntfs"
    with open(disk, "wb") as file:
        file.truncate(size)
    place.mkdir()
    subprocess.run(["mkntfs", "-F", "-Q", "-q", disk], check=True, capture_output=True)
    subprocess.run(["lowntfs-3g", "-o", "ignore_case", disk, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
        disk.unlink()
