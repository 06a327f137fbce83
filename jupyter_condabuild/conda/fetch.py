"""Finds each package in a package cache, or downloads its archive from the channel. Archives are verified by hash."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from jupyter_condabuild.conda.clients import NO_CONNECTION, LostHosts, make_client
from jupyter_condabuild.conda.logins import download
from jupyter_condabuild.conda.package_cache import Cached, hash_file
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.secrets import scrub, scrub_url
from jupyter_condabuild.errors import PackageError, PackageMismatch, PackageNotFound

CONCURRENT = 8
SECONDS = 600
LARGEST = 16 << 30
"""The largest archive in bytes that is downloaded if the lock file does not name its size."""

_CONNECTION_HINT = (
    "Check that the channel can be reached, and HTTPS_PROXY and NO_PROXY. If the authority of your lab has issued the "
    "channel's certificate, name the file with the authority's certificate in SSL_CERT_FILE or REQUESTS_CA_BUNDLE."
)
_LOOK_SECONDS = 0.2
_SCHEME_HINT = "A lock file may name packages by https, http or file. Use a channel with one of them."


def locate(
    packages: Sequence[CondaPackage],
    sources: PackageSources,
    folder: Path,
    done: Callable[[CondaPackage], None] = lambda package: None,
    *,
    unverified: bool = False,
) -> tuple[dict[str, Cached], dict[str, PackageError]]:
    """Finds or downloads packages.

    Args:
        folder: the folder for downloads.
        done: called after each download of a package.
        unverified: whether a package without any hash is downloaded. Otherwise, it counts as not available.

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
        for package, result in asyncio.run(_download_all(missing, sources, folder, done, unverified)):
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
    unverified: bool,
) -> list[tuple[CondaPackage, Path | PackageError]]:
    import asyncio

    client = make_client(map(sources.url, packages), retries=2, seconds=SECONDS)
    limit = asyncio.Semaphore(CONCURRENT)
    lost = LostHosts()

    async def download(package: CondaPackage) -> tuple[CondaPackage, Path | PackageError]:
        url = sources.url(package)
        async with limit:
            if not (package.sha256 or package.md5 or unverified):
                result: Path | PackageError = PackageNotFound(
                    f"No hash of {package.fn} is known, so its archive cannot be verified.",
                    "Make a lock file with hashes: conda list --explicit --sha256.",
                )
            elif failed := lost.failed(url):
                result = PackageNotFound(
                    f"{package.dist} is in no package cache, and {lost.name(url)} did not answer for {failed} others.",
                    _CONNECTION_HINT,
                )
            elif sources.may_fetch(package):
                result = await _download(client, package, sources, folder / package.fn)
                lost.note(url, "" if isinstance(result, Path) else result.message)
            else:
                result = PackageNotFound(
                    f"{package.dist} is not downloaded from {scrub(package.url[:200])}.", _SCHEME_HINT
                )
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
            login = sources.url_with_login(package)
            await asyncio.to_thread(download, login, target, SECONDS, largest(package))
        else:
            await _within(package, target, download_to_path(client, url, target))  # type: ignore[arg-type]
        return _verified(package, target)
    except PackageError as error:
        return error
    except Exception as error:  # noqa: BLE001  rattler raises many types; each means that the download failed
        text = scrub(str(error))
        hint = _CONNECTION_HINT if NO_CONNECTION.search(text) else None
        return PackageNotFound(f"{package.dist} is in no package cache and cannot be downloaded: {text}", hint)


def shows_login(url: str, sources: PackageSources) -> bool:
    """Whether a request that names this URL shows a login to the servers to which it is redirected."""
    return url.startswith(("http://", "https://")) and (scrub_url(url) != url or sources.logins.url(url) != url)


async def _within(package: CondaPackage, target: Path, download: Awaitable[object]) -> None:
    """Waits for a download, and ends it when the file has more bytes than the package. Raises PackageMismatch."""
    import asyncio

    most = largest(package)
    task = asyncio.ensure_future(download)
    while not (await asyncio.wait((task,), timeout=_LOOK_SECONDS))[0]:
        if _size(target) > most:
            task.cancel()
            await asyncio.wait((task,))
            raise PackageMismatch(
                f"{package.fn} from {package.channel} has more than {most} bytes.",
                "The channel has another file. Update the package, or ask its owner.",
            )
    await task


def largest(package: CondaPackage) -> int:
    """Returns the number of bytes that a download of a package may have."""
    return LARGEST if package.size is None else package.size


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def url_path(url: str) -> str:
    """Returns the percent-decoded path of a file URL."""
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(url).path)


def _verified(package: CondaPackage, archive: Path) -> Path:
    """Returns the archive if its hash is that of the package. Raises PackageNotFound or PackageMismatch."""
    if not archive.is_file():
        raise PackageNotFound(f"{package.dist} is in no package cache, and its channel does not have {package.fn}.")
    if package.size is not None and archive.stat().st_size != package.size:
        raise PackageMismatch(
            f"{package.fn} from {package.channel} has {archive.stat().st_size} bytes instead of {package.size}.",
            "The channel replaced the file, or the download was altered. Update the package, or ask its owner.",
        )
    algorithm, expected = ("sha256", package.sha256) if package.sha256 else ("md5", package.md5)
    if not expected:  # the caller records the hash
        return archive
    actual = hash_file(archive, algorithm)
    if actual != expected:
        raise PackageMismatch(
            f"{package.fn} from {package.channel} has {algorithm} {actual}, not {expected}.",
            "The channel replaced the file, or the download was altered. Update the package, or ask its owner.",
        )
    return archive
