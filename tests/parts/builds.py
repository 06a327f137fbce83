"""Pytest fixtures for whole builds: small channels, a small base, a workshop with its own store, and ready images."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import rattler.index

from jupyter_condabuild.engines.result import BuildResult
from jupyter_condabuild.events import Event, Layer, Report, Warning
from jupyter_condabuild.jobs import build
from jupyter_condabuild.oci import archive
from jupyter_condabuild.requests.build import BuildRequest
from tests.parts.channel import package, prefix
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import Entry, Metadata
from tests.parts.image_tree import SavedImage
from tests.parts.jobs import silent
from tests.parts.small_image import image, programs, tar

Package = tuple[Metadata, Sequence[Entry]]


@dataclass
class Workshop:
    """A place for builds: its store, a base of a few bytes, and the events of the last build."""

    folder: Path
    base: str
    events: list[Event] = field(default_factory=list)
    trusted: tuple[str, ...] = ("*",)
    """The trusted repositories. Tests of trust have none."""

    @property
    def store(self) -> Path:
        """The local store."""
        return self.folder / "store"

    def build(self, source: Path, report: Report = silent, **request: Any) -> BuildResult:
        """Builds from a prefix, or from a lock file if `source` is one. `report` also gets the events."""
        self.events.clear()

        def both(event: Event) -> None:
            self.events.append(event)
            report(event)

        what = {"lockfile" if source.is_file() else "prefix": str(source)}
        known = {"base": self.base, "store_dir": str(self.store), "trusted_repositories": self.trusted, **request}
        return build.run(BuildRequest.parse({**what, **known}), both)

    def image(self, source: Path, name: str = "image", **request: Any) -> SavedImage:
        """Builds into an OCI archive."""
        path = self.folder / f"{name}.tar"
        self.build(source, archive=str(path), **request)
        return SavedImage(path)

    @property
    def warnings(self) -> dict[str, str]:
        """The warnings of the last build: message by code."""
        return {event.code: event.message for event in self.events if isinstance(event, Warning)}

    def layers(self, state: str) -> set[str]:
        """Returns the packages of the layers that reached a state."""
        found = (event for event in self.events if isinstance(event, Layer) and event.state == state)
        return {name for layer in found for name in layer.packages}


def small_channel(folder: Path, packages: Iterable[Package]) -> Channel:
    """Makes a channel of these packages."""
    for subdir in ("noarch", "linux-64"):
        (folder / subdir).mkdir(parents=True, exist_ok=True)
    for metadata, entries in packages:
        package.write(metadata, entries, folder / metadata.subdir)
    asyncio.run(rattler.index.index_fs(folder, write_shards=False, force=True))
    return Channel(folder)


def install(folder: Path, channel: Channel, *specs: str) -> Path:
    """Makes a prefix of these packages, with its own package cache `pkgs` next to it."""
    return prefix.create(folder, specs, channel.url, folder.parent / "pkgs")


PUBLIC = "https://conda.example.org/lab"
"""A channel that everybody could reach. Its packages are in a package cache, so nothing connects to it."""


def published(prefix: Path) -> Path:
    """Gives the packages of a prefix the URLs of `PUBLIC`. Their folders in the package cache stay as they are."""
    for record in (prefix / "conda-meta").glob("*.json"):
        value = json.loads(record.read_bytes())
        place = f"{PUBLIC}/{value['subdir']}/{value['fn']}"
        record.write_text(json.dumps(value | {"url": place, "channel": PUBLIC}))
    return prefix


def explicit(channel: Channel, file: Path, *names: str) -> Path:
    """Writes an explicit lock file of the channel's packages, or of the packages with these names."""
    chosen = [path for path in channel.archives if not names or re.sub(r"-[^-]*-[^-]*$", "", path.stem) in names]
    lines = [f"{path.as_uri()}#{_sha256(path)}" for path in chosen]
    file.write_text("\n".join(["# platform: linux-64", "@EXPLICIT", *lines, ""]))
    return file


def of_public(lockfile: Path, channel: Channel, cache: Path) -> Path:
    """Gives the packages of a lock file the URLs of `PUBLIC`, and puts the archives into a package cache.

    A test lets builds find the cache with ``CONDA_PKGS_DIRS``.
    """
    cache.mkdir(exist_ok=True)
    for path in channel.archives:
        shutil.copy(path, cache)
    lockfile.write_text(lockfile.read_text().replace(channel.url, PUBLIC))
    return lockfile


def _sha256(path: Path) -> str:
    from hashlib import file_digest

    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="session")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base image of a few bytes, as a value of `--base`."""
    path = tmp_path_factory.mktemp("base") / "base.tar"
    runtime = {"Env": ["PATH=/usr/bin", "BASE=yes"], "Labels": {"of": "base"}, "Cmd": ["/hello"]}
    archive.write(image([programs(), tar({"etc/base": b"1\n"})], **runtime), "", path)
    return f"oci-archive:{path}"


@pytest.fixture
def newer_base(tmp_path: Path) -> str:
    """Another base, with more layers than the small base, and with its own variables and history."""
    layers = [programs(), tar({"etc/base": b"2\n"}), tar({"etc/more": b"more\n"})]
    made = image(layers, Env=["PATH=/usr/local/bin", "BASE=newer"], Labels={"of": "newer"})
    archive.write(made, "", tmp_path / "newer.tar")
    return f"oci-archive:{tmp_path / 'newer.tar'}"


@pytest.fixture
def workshop(tmp_path: Path, small_base: str) -> Workshop:
    """An empty store, and the small base."""
    return Workshop(tmp_path, small_base)


@pytest.fixture(scope="session")
def session_workshop(tmp_path_factory: pytest.TempPathFactory, small_base: str) -> Workshop:
    """A store that all tests of the session share, so that each layer is built once."""
    return Workshop(tmp_path_factory.mktemp("workshop"), small_base)


@pytest.fixture(scope="session")
def rattler_image(session_workshop: Workshop, rattler_prefix: Path) -> SavedImage:
    """The image of `rattler_prefix`."""
    return session_workshop.image(rattler_prefix, "rattler")


@pytest.fixture(scope="session")
def conda_image(tmp_path_factory: pytest.TempPathFactory, small_base: str, conda_prefix: Path) -> SavedImage:
    """The image of `conda_prefix`, built in its own store."""
    return Workshop(tmp_path_factory.mktemp("conda"), small_base).image(conda_prefix, "conda")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    with_mount = tmp_path / "disk"
    with_mount.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", with_mount]).returncode:
        pytest.skip("only root can mount a small disk")
    yield with_mount
    subprocess.run(["umount", "--lazy", with_mount], check=True)
