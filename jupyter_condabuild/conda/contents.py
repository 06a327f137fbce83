"""Which paths a package puts into a prefix, told from its metadata alone: package cache, or a few bytes of the channel's archive."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.package_cache import PackageCaches
from jupyter_condabuild.conda.packages import CondaPackage

_CONCURRENT = 16


def package_paths(
    packages: Sequence[CondaPackage], caches: PackageCaches, urls: Mapping[str, str], site_packages: str
) -> dict[str, list[str]]:
    """Paths relative to the prefix by dist, less the packages that neither cache nor channel tells of.

    Args:
        urls: dist to the URL to ask where it differs from the locked one (it may hold credentials).
        site_packages: where noarch Python packages go, relative to the prefix.

    Source: info/paths.json and info/link.json (conda-build's package metadata). Of a ``.conda`` archive at a channel only
    the part with the metadata is transferred.
    """
    found: dict[str, list[str]] = {}
    remote = []
    for package in packages:
        cached = caches.find(package)
        if cached and cached.extracted:
            paths, link = _json(cached.path / "info/paths.json"), _json(cached.path / "info/link.json")
            found[package.dist] = _resolved(paths, link, site_packages)
        else:
            remote.append(package)
    if remote:
        import asyncio

        for package, (paths, link) in zip(remote, asyncio.run(_fetch_all(remote, urls)), strict=True):
            if paths:
                found[package.dist] = _resolved(paths, link, site_packages)
    return found


def _resolved(paths: Mapping[str, Any], link: Mapping[str, Any], site_packages: str) -> list[str]:
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
    packages: Sequence[CondaPackage], urls: Mapping[str, str]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    import asyncio

    from rattler.networking import Client

    client = Client.default_client(max_retries=1, timeout=20)
    limit = asyncio.Semaphore(_CONCURRENT)

    async def one(package: CondaPackage) -> tuple[dict[str, Any], dict[str, Any]]:
        url = urls.get(package.dist) or package.url
        async with limit:
            paths = await _fetch(client, url, "info/paths.json")
            link = await _fetch(client, url, "info/link.json") if paths and package.subdir == "noarch" else {}
            return paths, link

    return await asyncio.gather(*(one(package) for package in packages))


async def _fetch(client: Any, url: str, path: str) -> dict[str, Any]:
    from rattler.package_streaming import fetch_raw_package_file_from_url

    try:
        value = json.loads(await fetch_raw_package_file_from_url(client, url, path) or b"{}")
    except Exception:  # of many kinds; to know nothing is an answer here, and the caller says so
        return {}
    return value if isinstance(value, dict) else {}


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
