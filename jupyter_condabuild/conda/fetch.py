"""Where each package's archive is to be had: package cache first, then the channel, verified by sha256."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from jupyter_condabuild.conda.package_cache import Cached, hash_file
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.errors import PackageError, PackageMismatch, PackageNotFound

CONCURRENT = 8
SECONDS = 600


def locate(
    packages: Sequence[CondaPackage],
    sources: PackageSources,
    folder: Path,
    done: Callable[[CondaPackage], None] = lambda package: None,
) -> tuple[dict[str, Cached], dict[str, PackageError]]:
    """Finds or downloads packages; returns what was found and what was not, both by dist.

    Args:
        folder: where downloads go.
        done: called when a package has been downloaded.
    """
    found: dict[str, Cached] = {}
    missing: list[CondaPackage] = []
    for package in packages:
        cached = sources.find(package)
        if cached:
            found[package.dist] = cached
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
                found[package.dist] = Cached(result, False)
    return found, failures


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

    async def one(package: CondaPackage) -> tuple[CondaPackage, Path | PackageError]:
        async with limit:
            result = await _download(client, package, sources.url(package), folder / package.fn)
        if isinstance(result, Path):
            done(package)
        return package, result

    return await asyncio.gather(*(one(package) for package in packages))


async def _download(client: object, package: CondaPackage, url: str, target: Path) -> Path | PackageError:
    from rattler.package_streaming import download_to_path

    try:
        if url.startswith("file:"):
            return _verified(package, Path(os.fsdecode(url_path(url))))
        await download_to_path(client, url, target)  # type: ignore[arg-type]
        return _verified(package, target)
    except PackageError as error:
        return error
    except Exception as error:  # noqa: BLE001  rattler's are plain and of many kinds, all of them "not to be had"
        return PackageNotFound(f"{package.dist} is in no package cache and cannot be downloaded: {scrub(str(error))}")


def url_path(url: str) -> str:
    """The path of a file URL, percent-encoding undone."""
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(url).path)


def _verified(package: CondaPackage, archive: Path) -> Path:
    if not archive.is_file():
        raise PackageNotFound(f"{package.dist} is in no package cache, and its channel no longer has {package.fn}.")
    algorithm, expected = ("sha256", package.sha256) if package.sha256 else ("md5", package.md5)
    actual = hash_file(archive, algorithm)
    if actual != expected:
        raise PackageMismatch(
            f"{package.fn} from {package.channel} has {algorithm} {actual[:12]}…, the lock file says {expected[:12]}….",
            "The channel replaced the file, or the download was altered: update the package, or ask its owner.",
        )
    return archive
