"""An image for ARM processors that was made of a Mac's lock file on this machine starts, under an emulator."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jupyter_condabuild.jobs import lock
from jupyter_condabuild.requests.others import LockRequest
from tests.parts.builds import Workshop
from tests.parts.channel import aarch64, platforms
from tests.parts.channel.channel import Channel
from tests.parts.jobs import silent


@pytest.fixture
def image(tmp_path: Path, workshop: Workshop, mixed: Channel, test_cache: Path) -> Path:
    """An archive with the image of the lock file of a Mac, and with a real Python for ARM."""
    aarch64.check_programs()
    root = aarch64.debian(test_cache)
    channel = aarch64.channel(tmp_path / "channel", root, mixed)
    specs = ("python", "fastlib", "idna", "tqdm")
    mac = platforms.installed(tmp_path / "mac", "osx-arm64", specs, channel.url, tmp_path / "pkgs")
    request = LockRequest.parse({"prefix": str(mac)})
    lockfile = tmp_path / "conda-lock.yml"
    lockfile.write_text(lock.run(request, silent).lockfile_text(request))
    base = aarch64.base(root, tmp_path / "base.tar")
    archive = tmp_path / "image.tar"
    workshop.build(lockfile, archive=str(archive), platform="linux-aarch64", base=base)
    return archive


def test_an_image_for_arm_runs(image: Path, tmp_path: Path) -> None:
    """Its entrypoint activates the environment, packages are imported, and a command starts.

    The bytecode is that of its Python, if the Python that runs the tests is of the same release.
    """
    program = (
        "import importlib.util, pathlib, platform, sys, idna, tqdm; cached = pathlib.Path(idna.__cached__); "
        "right = cached.exists() and cached.read_bytes()[:4] == importlib.util.MAGIC_NUMBER; "
        "print(platform.machine(), sys.prefix, right)"
    )
    found = aarch64.run(image, ["python", "-B", "-c", program], tmp_path)  # -B: it writes no bytecode itself
    assert found == f"aarch64 /opt/env {sys.version_info[:2] == (3, 11)}\n"
    assert aarch64.run(image, ["tqdm", "--version"], tmp_path)[0].isdigit()
    variables = aarch64.run(image, ["sh", "-c", 'echo "$CONDA_PREFIX $(uname -m)"'], tmp_path)
    assert variables == "/opt/env aarch64\n"
