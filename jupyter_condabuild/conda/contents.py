"""The paths that a package puts into a prefix, from its metadata: in a package cache, or in a part of an archive."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.fetch import url_path
from jupyter_condabuild.conda.package_cache import Cached
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage

_CONCURRENT = 16
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
    by_dist: dict[str, list[str]] = {}
    archives: list[tuple[CondaPackage, Cached | None]] = []
    for package in packages:
        cached = sources.find(package)
        if cached and cached.extracted:
            paths, link = (_json(cached.path / name) for name in _NAMES)
            by_dist[package.dist] = _resolved(paths, link, site_packages)
        else:
            archives.append((package, cached))
    if archives:
        import asyncio

        for (package, _), (paths, link) in zip(archives, asyncio.run(_fetch_all(archives, sources)), strict=True):
            if paths:
                by_dist[package.dist] = _resolved(paths, link, site_packages)
    return by_dist


_NAMES = ("info/paths.json", "info/link.json")


def _resolved(paths: Mapping[str, Any], link: Mapping[str, Any], site_packages: str) -> list[str]:
    """Returns the paths in the prefix from the contents of paths.json and link.json."""
    names = [entry["_path"] for entry in paths.get("paths") or ()]
    noarch = link.get("noarch") or {}
    if noarch.get("type") != "python":
        return names
    site, scripts = f"{site_packages.rpartition('site-packages')[0]}site-packages/", "bin/"
    names = [
        name.replace("site-packages/", site, 1)
        if name.startswith("site-packages/")
        else name.replace("python-scripts/", scripts, 1)
        for name in names
    ]
    return names + [f"bin/{point.partition('=')[0].strip()}" for point in noarch.get("entry_points") or ()]


async def _fetch_all(
    packages: Sequence[tuple[CondaPackage, Cached | None]], sources: PackageSources
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    import asyncio

    from rattler.networking import Client
    from rattler.package_streaming import PackageArchive

    client = Client.default_client(max_retries=1, timeout=20)
    limit = asyncio.Semaphore(_CONCURRENT)

    async def fetch(package: CondaPackage, cached: Cached | None) -> tuple[dict[str, Any], dict[str, Any]]:
        url = sources.url(package)
        async with limit:
            try:
                if cached or url.startswith("file:"):
                    archive = await PackageArchive.from_path(cached.path if cached else url_path(url))
                else:
                    archive = await PackageArchive.from_url(client, url, max_spool_size=_WHOLE_ARCHIVE)
                texts = await archive.read_files(_NAMES)
            except Exception:  # noqa: BLE001  rattler raises many types; the caller reports packages without paths
                return {}, {}
        paths, link = (_object(texts[name] or b"{}") for name in _NAMES)
        return paths, link

    return await asyncio.gather(*(fetch(package, cached) for package, cached in packages))


def _json(path: Path) -> dict[str, Any]:
    try:
        return _object(path.read_bytes())
    except OSError:
        return {}


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
