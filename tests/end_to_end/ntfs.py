"""A real NTFS on a loop file, as Windows sees it: it takes `A` and `a` for one name, and keeps no x bits."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import missing


@contextmanager
def mounted(folder: Path, size: int = 1 << 30, options: str = "ignore_case") -> Iterator[Path]:
    """Yields the folder of a new NTFS, whose loop file is in `folder`. Its files all have x bits.

    Args:
        options: those of the driver. With `windows_names`, it refuses the names that Windows refuses.
    """
    if os.getuid() or not os.path.exists("/dev/fuse"):
        pytest.skip("only root can mount NTFS, and only where the kernel has FUSE")
    if not shutil.which("lowntfs-3g"):
        missing("ntfs-3g is not installed")
    disk, place = folder / "ntfs.img", folder / "ntfs"
    with open(disk, "wb") as file:
        file.truncate(size)
    place.mkdir()
    subprocess.run(["mkntfs", "-F", "-Q", "-q", disk], check=True, capture_output=True)
    subprocess.run(["lowntfs-3g", "-o", options, disk, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
        disk.unlink()
