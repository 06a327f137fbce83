"""The paths of a package are read without its archive. They are the same from a cache, a channel and a prefix."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_condabuild.conda.contents import package_paths
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.package_cache import PackageCaches
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from tests.parts.channel import channel as channels
from tests.parts.channel.channel import Channel
from tests.parts.registry.faults import Relay


@pytest.fixture(scope="module")
def locked(rattler_prefix: Path) -> Lockfile:
    return lock(snapshot(rattler_prefix))


@pytest.fixture(scope="module")
def installed(rattler_prefix: Path) -> dict[str, list[str]]:
    """Returns the paths in py-rattler's records, by dist."""
    return {record.dist: sorted(record.files) for record in snapshot(rattler_prefix).records}


def sorted_paths(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {dist: sorted(paths) for dist, paths in found.items()}


def test_the_paths_are_read_from_a_cache(
    locked: Lockfile, installed: dict[str, list[str]], package_cache: Path
) -> None:
    """Noarch Python files have their place in the prefix. Entry points, which no archive contains, are included."""
    found = package_paths(locked.conda, PackageSources(PackageCaches([package_cache])), locked.site_packages)
    assert sorted_paths(found) == installed


def test_the_paths_are_read_from_a_channel(locked: Lockfile, installed: dict[str, list[str]]) -> None:
    """The channel is used if no cache has the package."""
    assert sorted_paths(package_paths(locked.conda, PackageSources(), locked.site_packages)) == installed


def test_only_a_part_of_a_large_archive_is_read(locked: Lockfile, channel: Channel) -> None:
    """Only the part with the metadata is downloaded."""
    python = locked.python
    assert python
    assert python.size
    with channels.serve(channel) as url, Relay(url.removeprefix("http://")) as relay:
        urls = {python.dist: f"http://{relay.host}/linux-64/{python.fn}"}
        found = package_paths([python], PackageSources(urls=urls), locked.site_packages)
    assert len(found[python.dist]) > 1000
    assert 0 < relay.received < python.size / 10


def test_the_paths_are_read_from_a_local_archive(
    channel: Channel, conda_prefix: Path, installed: dict[str, list[str]]
) -> None:
    """The archive is in a package cache or in a channel on this machine, in either format."""
    locked = lock(snapshot(conda_prefix))
    urls = {package.dist: f"{channel.url}/{package.subdir}/{package.fn}" for package in locked.conda}
    assert sorted_paths(package_paths(locked.conda, PackageSources(urls=urls), locked.site_packages)) == installed
    greet = next(package for package in locked.conda if package.name == "greet")
    cache = PackageCaches([channel.folder / "linux-64"])
    nowhere = {greet.dist: "http://127.0.0.1:9/greet-1.0-h0_0.conda"}
    found = package_paths([greet], PackageSources(cache, nowhere), locked.site_packages)
    assert sorted_paths(found) == {greet.dist: installed[greet.dist]}


def test_packages_without_a_source_are_left_out(locked: Lockfile, tmp_path: Path) -> None:
    """The paths of the other packages are returned, and nothing is raised."""
    package = next(item for item in locked.conda if item.name == "greet")
    urls = {package.dist: "http://127.0.0.1:9/nobody/greet-1.0-h0_0.conda"}
    found = package_paths(locked.conda, PackageSources(PackageCaches([tmp_path]), urls), locked.site_packages)
    assert package.dist not in found
    assert len(found) == len(locked.conda) - 1
