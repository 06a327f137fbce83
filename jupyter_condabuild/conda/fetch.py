"""Finds each package in a package cache, or downloads its archive from the channel. Archives are verified by hash."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from jupyter_condabuild.conda.logins import download
from jupyter_condabuild.conda.package_cache import Cached, hash_file
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.secrets import scrub, scrub_url
from jupyter_condabuild.errors import PackageError, PackageMismatch, PackageNotFound

CONCURRENT = 8
SECONDS = 600


def locate(
    packages: Sequence[CondaPackage],
    sources: PackageSources,
    folder: Path,
    done: Callable[[CondaPackage], None] = lambda package: None,
) -> tuple[dict[str, Cached], dict[str, PackageError]]:
    """Finds or downloads packages.

    Args:
        folder: the folder for downloads.
        done: called after each download of a package.

    Returns the packages that are available, and the errors of the others; both by dist.
    """
    located: dict[str, Cached] = {}
    missing: list[CondaPackage] = []
    for package in packages:
        cached = sources.find(package)
        if cached:
            located[package.dist] = cached
        else:
            missing.append(package)
    failures: dict[str, PackageError] = {}
    if missing:
        import asyncio

        folder.mkdir(parents=True, exist_ok=True)
        for package, result in asyncio.run(_download_all(missing, sources, folder, done)):
            if isinstance(result, PackageError):
                failures[package.dist] = result
            else:
                located[package.dist] = Cached(result, False)
    return located, failures


async def _download_all(
    packages: Sequence[CondaPackage],
    sources: PackageSources,
    folder: Path,
    done: Callable[[CondaPackage], None],
) -> list[tuple[CondaPackage, Path | PackageError]]:
    import asyncio

    from rattler.networking import Client

    client = Client.default_client(max_retries=2, timeout=SECONDS)
    limit = asyncio.Semaphore(CONCURRENT)

    async def download(package: CondaPackage) -> tuple[CondaPackage, Path | PackageError]:
        async with limit:
            result = await _download(client, package, sources, folder / package.fn)
        if isinstance(result, Path):
            done(package)
        return package, result

    return await asyncio.gather(*(download(package) for package in packages))


async def _download(
    client: object, package: CondaPackage, sources: PackageSources, target: Path
) -> Path | PackageError:
    import asyncio

    from rattler.package_streaming import download_to_path

    url = sources.url(package)
    try:
        if url.startswith("file:"):
            return _verified(package, Path(os.fsdecode(url_path(url))))
        if shows_login(url, sources):
            await asyncio.to_thread(download, sources.url_with_login(package), target, SECONDS)
        else:
            await download_to_path(client, url, target)  # type: ignore[arg-type]
        return _verified(package, target)
    except PackageError as error:
        return error
    except Exception as error:  # noqa: BLE001  rattler raises many types; each means that the download failed
        return PackageNotFound(f"{package.dist} is in no package cache and cannot be downloaded: {scrub(str(error))}")


def shows_login(url: str, sources: PackageSources) -> bool:
    """Whether a request that names this URL shows a login to the servers to which it is redirected."""
    return url.startswith(("http://", "https://")) and (scrub_url(url) != url or sources.logins.url(url) != url)


def url_path(url: str) -> str:
    """Returns the percent-decoded path of a file URL."""
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(url).path)


def _verified(package: CondaPackage, archive: Path) -> Path:
    """Returns the archive if its hash is that of the package. Raises PackageNotFound or PackageMismatch."""
    if not archive.is_file():
        raise PackageNotFound(f"{package.dist} is in no package cache, and its channel does not have {package.fn}.")
    algorithm, expected = ("sha256", package.sha256) if package.sha256 else ("md5", package.md5)
    actual = hash_file(archive, algorithm)
    if actual != expected:
        raise PackageMismatch(
            f"{package.fn} from {package.channel} has {algorithm} {actual[:12]}…, "
            f"but the lock file has {expected[:12]}….",
            "The channel replaced the file, or the download was altered. Update the package, or ask its owner.",
        )
    return archive
