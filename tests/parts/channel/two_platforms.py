"""Packages for two platforms, and a lock file of them: a build of it makes an index of two images."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.parts.builds import Package, small_channel
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata

BOTH = ("linux-64", "linux-aarch64")
PACKAGES: list[Package] = [
    (Metadata("shared", "1.0", noarch="generic"), [File("share/shared", b"shared" * 9000)]),
    (Metadata("native", "1.0"), [File("lib/native", b"x86" * 5000)]),
    (Metadata("native", "1.0", platform="linux-aarch64"), [File("lib/native", b"arm" * 5000)]),
]


def _written(path: Path, channel: Channel) -> Path:
    """Writes a conda-lock.yml of all packages of a channel, for both platforms."""
    packages = [
        {
            "name": archive.name.split("-")[0],
            "version": "1.0",
            "manager": "conda",
            "platform": platform,
            "dependencies": {},
            "url": archive.as_uri(),
            "hash": {"sha256": hashlib.sha256(archive.read_bytes()).hexdigest()},
            "category": "main",
            "optional": False,
        }
        for platform in BOTH
        for archive in channel.archives
        if archive.parent.name in (platform, "noarch")
    ]
    metadata = {
        "content_hash": dict.fromkeys(BOTH, "0" * 64),
        "channels": [{"url": channel.url, "used_env_vars": []}],
        "platforms": list(BOTH),
        "sources": [],
    }
    path.write_text(json.dumps({"version": 1, "metadata": metadata, "package": packages}))
    return path


def two_platform_lock(folder: Path) -> Path:
    """Makes a lock file for two platforms, with one package for all platforms and one for each, and its channel."""
    (folder / "channel/linux-aarch64").mkdir(parents=True)
    return _written(folder / "conda-lock.yml", small_channel(folder / "channel", PACKAGES))
