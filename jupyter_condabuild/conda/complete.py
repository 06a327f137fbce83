"""What a plan needs of every package, sha256 and archive size, found where a record or a lock file does not say."""

from __future__ import annotations

import urllib.request
from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from jupyter_condabuild.conda.fetch import locate
from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.match_specs import merged_depends
from jupyter_condabuild.conda.package_cache import PackageCaches, hash_file
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.errors import PackageError

_SECONDS = 20


def complete(lockfile: Lockfile, sources: PackageSources, folder: Path) -> tuple[Lockfile, dict[str, PackageError]]:
    """The lock file with every sha256 and size that can be found, and by dist why it cannot be for the rest.

    The package caches are asked first, then the channel: for a size its headers are enough, for a sha256 the archive
    itself is downloaded to `folder`. Packages that cannot be completed are left as they are.
    """
    # @EXPLICIT files name no dependencies, and only these tell noarch Python packages from other noarch ones
    bare = not any(package.depends for package in lockfile.conda)
    packages = [_from_cache(package, sources.caches, bare) for package in lockfile.conda]
    packages = _with_sizes(packages, sources)
    wanting = [package for package in packages if not package.sha256 or package.size is None]
    found, failures = locate(wanting, sources, folder) if wanting else ({}, {})
    done = {
        package.dist: replace(package, sha256=hash_file(cached.path), size=cached.path.stat().st_size)
        for package in wanting
        if (cached := found.get(package.dist)) and not cached.extracted
    }
    failures |= {
        package.dist: PackageError(
            f"Nothing tells the {'size' if package.sha256 else 'sha256'} of the archive of {package.dist}.",
            "Check that its channel can be reached, or build from a lock file that says it (conda-lock's format).",
        )
        for package in wanting
        if package.dist not in done and package.dist not in failures
    }
    packages = [done.get(package.dist, package) for package in packages]
    return of_packages(lockfile.platform, packages, lockfile.pip, lockfile.requested), failures


def _from_cache(package: CondaPackage, caches: PackageCaches, bare: bool) -> CondaPackage:
    if package.sha256 and package.size is not None and not (bare and package.subdir == "noarch"):
        return package
    index = caches.index(package)
    size = package.size if package.size is not None else index.get("size")
    depends = merged_depends(index.get("depends") or ()) if bare else package.depends
    return replace(package, sha256=package.sha256 or index.get("sha256") or "", size=size, depends=depends)


def _with_sizes(packages: Sequence[CondaPackage], sources: PackageSources) -> list[CondaPackage]:
    def one(package: CondaPackage) -> CondaPackage:
        if package.size is not None or not package.sha256:
            return package
        return replace(package, size=_content_length(sources.url(package)))

    with ThreadPoolExecutor(8) as executor:
        return list(executor.map(one, packages))


def _content_length(url: str) -> int | None:
    """What the channel says of a file's size. A login in the URL goes to the URL's own host alone."""
    try:
        parts = urlsplit(url)
        login, _, host = parts.netloc.rpartition("@")
        request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)), method="HEAD")  # noqa: S310
        if login:
            secret = b64encode(unquote(login).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {secret}")
        # records and lock files name local channels by file URLs
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            length = answer.headers.get("Content-Length")
    except (OSError, ValueError, HTTPException):
        return None
    return int(length) if length and length.isdecimal() else None
