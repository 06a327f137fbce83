"""Pytest fixtures: channels on disk and by HTTP, and prefixes from them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.channel import channel as channels
from tests.parts.channel import platforms, prefix, wheels
from tests.parts.channel.channel import Channel
from tests.parts.channel.wheel_index import WheelIndex, serving
from tests.parts.shared import shared

SPECS = (
    *channels.SETS["tiny"].specs,
    *("pip", "changing=1.0", "greet", "textprefix", "activation", "templated", "xyzkernel"),
)
"""The specs of `rattler_prefix` and `conda_prefix`. Tests can add the unusual packages of the channel."""


@pytest.fixture(scope="session")
def test_cache() -> Path:
    """The folder in which packages and wheels stay between runs."""
    default = Path.home() / ".cache" / "jupyter-condabuild-tests"
    return Path(os.environ.get("JUPYTER_CONDABUILD_TEST_CACHE") or default)


@pytest.fixture(scope="session")
def channel(test_cache: Path) -> Channel:
    """The `tiny` channel: Python, requests, tqdm, pip and the special packages."""
    return channels.build(test_cache / "tiny", {"tiny"}, test_cache / "wheels")


@pytest.fixture(scope="session")
def channel_url(channel: Channel) -> Iterator[str]:
    """The `tiny` channel, served on loopback for the whole session."""
    with channels.serve(channel) as url:
        yield url


@pytest.fixture(scope="session")
def pip_wheel(test_cache: Path) -> Path:
    """A pure wheel that is in no conda package of the channel, for `pip install --no-index --no-deps`."""
    return wheels.download(["humanize"], test_cache / "wheels")[0]


@pytest.fixture(scope="session")
def package_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A py-rattler package cache of the session.

    Prefixes have hard links to it: never write into their files in place.
    """
    return tmp_path_factory.mktemp("package-cache")


@pytest.fixture(scope="session")
def rattler_prefix(tmp_path_factory: pytest.TempPathFactory, channel_url: str, package_cache: Path) -> Path:
    """A prefix that py-rattler made. It is read only: a test that changes a prefix makes its own."""
    return prefix.create(tmp_path_factory.mktemp("rattler") / "env", SPECS, channel_url, package_cache)


@pytest.fixture(scope="session")
def kernel_prefix(tmp_path_factory: pytest.TempPathFactory, test_cache: Path) -> Iterator[Path]:
    """A prefix with ipykernel, whose Python can be a kernel. It is read only."""

    def make(folder: Path) -> str:
        channel = channels.build(test_cache / "kernel", {"kernel"}, test_cache / "wheels")
        specs = channels.SETS["kernel"].specs
        return str(prefix.create(folder / "envs" / "analysis", specs, channel.url, folder / "pkgs"))

    with shared(tmp_path_factory, "kernel", make) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def conda_prefix(tmp_path_factory: pytest.TempPathFactory, channel_url: str) -> Path:
    """The same packages in a prefix as conda makes it: `envs/demo` next to its `pkgs`. It is read only."""
    root = tmp_path_factory.mktemp("miniconda3")
    return prefix.conda_made(root / "envs" / "demo", root / "pkgs", SPECS, channel_url)


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """A channel with the Linux builds of the macOS sample; it has gaps (see `platforms.forge`)."""
    return platforms.forge(tmp_path_factory.mktemp("forge") / "channel")


@pytest.fixture(scope="session")
def mixed(channel: Channel, tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """The `tiny` channel with packages for other platforms (see `platforms.mixed`)."""
    return platforms.mixed(tmp_path_factory.mktemp("mixed") / "channel", channel)


@pytest.fixture
def mac(tmp_path: Path, mixed: Channel) -> Path:
    """A macOS environment as rattler links it there."""
    return platforms.installed(tmp_path / "mac", "osx-arm64", platforms.SPECS, mixed.url, tmp_path / "pkgs")


@pytest.fixture
def linux(tmp_path: Path, mixed: Channel) -> Path:
    """A Linux environment of this machine's platform."""
    return prefix.create(tmp_path / "linux", platforms.SPECS, mixed.url, tmp_path / "cache")


@pytest.fixture
def index() -> Iterator[WheelIndex]:
    """An index on loopback."""
    with serving() as found:
        yield found
