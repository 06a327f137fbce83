"""The paths and the kind of a package, from its metadata: in a package cache, or in a part of an archive."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from jupyter_condabuild.conda.clients import LostHosts, make_client
from jupyter_condabuild.conda.fetch import largest, shows_login, url_path
from jupyter_condabuild.conda.linking.check import most_metadata
from jupyter_condabuild.conda.linking.extracted import target_of
from jupyter_condabuild.conda.logins import download
from jupyter_condabuild.conda.package_cache import Cached
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.files import read_regular

if TYPE_CHECKING:
    from rattler.package_streaming import PackageArchive

_CONCURRENT = 16
_INDEX, _PATHS, _LINK = "info/index.json", "info/paths.json", "info/link.json"
_WHOLE_ARCHIVE = 8 << 20
"""The maximum size in bytes of an archive that is downloaded completely if the channel does not send parts of it."""


def package_paths(
    packages: Sequence[CondaPackage], sources: PackageSources, site_packages: str
) -> dict[str, list[str]]:
    """Returns the paths of each package, relative to the prefix, by dist.

    The result lacks packages whose metadata is neither in a package cache nor at the channel. Only the part with the
    metadata of a ``.conda`` archive is transferred from a channel.

    Args:
        site_packages: the site-packages folder for noarch Python packages, relative to the prefix.

    Source: info/paths.json and info/link.json (conda-build's package metadata).
    """
    return {
        dist: _resolved(files[_PATHS], files[_LINK], site_packages)
        for dist, files in _metadata(packages, sources, (_PATHS, _LINK)).items()
    }


def package_dependencies(packages: Sequence[CondaPackage], sources: PackageSources) -> dict[str, tuple[str, ...]]:
    """Returns the dependencies of each package by dist, according to info/index.json.

    The result lacks packages whose metadata is neither in a package cache nor at the channel.
    """
    return {
        dist: tuple(map(str, _list(files[_INDEX].get("depends"))))
        for dist, files in _metadata(packages, sources, (_INDEX,)).items()
    }


def package_kinds(packages: Sequence[CondaPackage], sources: PackageSources) -> dict[str, str]:
    """Returns the ``noarch`` of each package by dist, according to info/index.json: ``python``, ``generic`` or empty.

    The result lacks packages whose metadata is neither in a package cache nor at the channel.
    """
    return {
        dist: noarch if isinstance(noarch := files[_INDEX].get("noarch"), str) else ""
        for dist, files in _metadata(packages, sources, (_INDEX,)).items()
    }


def _metadata(
    packages: Sequence[CondaPackage], sources: PackageSources, names: Sequence[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns JSON objects of packages by dist and name. A package whose first object cannot be read is left out."""
    by_dist: dict[str, dict[str, dict[str, Any]]] = {}
    archives: list[tuple[CondaPackage, Cached | None]] = []
    for package in packages:
        cached = sources.find(package)
        if cached and cached.extracted:
            by_dist[package.dist] = {name: _json(cached.path / name, most_metadata(package)) for name in names}
        else:
            archives.append((package, cached))
    if archives:
        import asyncio

        for (package, _), files in zip(archives, asyncio.run(_fetch_all(archives, sources, names)), strict=True):
            if files[names[0]]:
                by_dist[package.dist] = files
    return by_dist


def _resolved(paths: Mapping[str, Any], link: Mapping[str, Any], site_packages: str) -> list[str]:
    """Returns the paths in the prefix from the contents of paths.json and link.json.

    The result is not checked: nothing is read or written under these names.
    """
    names = [str(entry.get("_path")) for entry in _list(paths.get("paths")) if isinstance(entry, dict)]
    noarch = link.get("noarch")
    if not isinstance(noarch, dict) or noarch.get("type") != "python":
        return names
    names = [target_of(name, site_packages) for name in names]
    return names + [f"bin/{str(point).partition('=')[0].strip()}" for point in _list(noarch.get("entry_points"))]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


async def _fetch_all(
    packages: Sequence[tuple[CondaPackage, Cached | None]], sources: PackageSources, names: Sequence[str]
) -> list[dict[str, dict[str, Any]]]:
    """Returns the JSON objects with these names in the archives of packages; empty for each that cannot be read."""
    import asyncio

    from rattler.package_streaming import PackageArchive

    from jupyter_condabuild.conda.linking.archive import read_files  # imports zipfile and tarfile

    client = make_client((sources.url(package) for package, _ in packages), retries=1, seconds=20)
    limit = asyncio.Semaphore(_CONCURRENT)
    lost = LostHosts()

    async def fetch(package: CondaPackage, cached: Cached | None) -> dict[str, dict[str, Any]]:
        url = sources.url(package)
        async with limit:
            file = folder / package.fn
            if not cached and lost.failed(url):
                return {name: {} for name in names}
            try:
                if cached or url.startswith("file:"):
                    path = cached.path if cached else Path(os.fsdecode(url_path(url)))
                    texts = await asyncio.to_thread(read_files, path, names, most_metadata(package))
                elif shows_login(url, sources):
                    await asyncio.to_thread(download, sources.url_with_login(package), file, 20, largest(package))
                    texts = await asyncio.to_thread(read_files, file, names, most_metadata(package))
                else:
                    archive = await PackageArchive.from_url(client, url, max_spool_size=_WHOLE_ARCHIVE)
                    texts = await _read_remote(archive, names, most_metadata(package))
                if not cached:
                    lost.note(url, "")
            except Exception as error:  # noqa: BLE001  rattler raises many; the caller reports packages without paths
                lost.note(url, str(error))
                texts = {}
            finally:
                file.unlink(missing_ok=True)
        return {name: _object(texts.get(name, b"{}")) for name in names}

    with TemporaryDirectory() as name:
        folder = Path(name)
        return await asyncio.gather(*(fetch(package, cached) for package, cached in packages))


async def _read_remote(archive: PackageArchive, names: Sequence[str], most: int) -> dict[str, bytes]:
    """Returns files of an archive. Stops at the last of them, or at many other bytes of info/."""
    texts: dict[str, bytes] = {}
    left = 16 * most
    async for entry in archive.stream("info"):
        left -= entry.size
        if left < 0 or len(texts) == len(names):
            break
        if entry.is_file and entry.name in names and entry.size <= most:
            texts[entry.name] = await entry.read()
    return texts


def _json(path: Path, most: int) -> dict[str, Any]:
    try:
        return _object(read_regular(path, most))
    except OSError:
        return {}


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
