"""Adds what a plan needs and a lock file lacks: the sha256, the archive size and the kind of each package."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path

from jupyter_condabuild.conda.clients import LostHosts
from jupyter_condabuild.conda.contents import package_kinds
from jupyter_condabuild.conda.fetch import locate, url_path
from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.logins import length, open_url
from jupyter_condabuild.conda.match_specs import merged_depends
from jupyter_condabuild.conda.package_cache import PackageCaches, hash_file
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.repodata import md5s
from jupyter_condabuild.errors import PackageError

_SECONDS = 20
_ABI3 = "_python_abi3_support"
"""The start of a dependency of noarch Python packages that are for one platform (CEP 20)."""


def complete(
    lockfile: Lockfile, sources: PackageSources, folder: Path, *, unverified: bool = False
) -> tuple[Lockfile, dict[str, PackageError]]:
    """Completes the sha256 and the size of each package, and of a package without size the ``noarch``.

    The package caches are searched first, then the channel. For a size, the headers of the channel are enough. For a
    sha256, the archive is downloaded to `folder`. A kind that the channel does not tell stays a guess.

    Args:
        unverified: whether a package without any hash gets the hash of the archive that its channel has now, or that a
            package cache has from the same URL. Otherwise, such a package cannot be completed. The packages of an
            ``@EXPLICIT`` file also get their md5: it is part of the keys of layers, and the format has only one hash.

    Returns the lock file, and the reason for each package that cannot be completed, by dist. Such a package stays
    unchanged in the lock file.
    """
    # @EXPLICIT files contain no dependencies, which show whether a noarch package is a Python package
    without_depends = not any(package.depends for package in lockfile.conda)
    hashless = [package for package in lockfile.conda if unverified and not (package.sha256 or package.md5)]
    recorded = {package.dist: sources.caches.recorded_hash(package) for package in hashless}
    packages = [replace(package, sha256=recorded.get(package.dist) or package.sha256) for package in lockfile.conda]
    packages = [_from_cache(package, sources.caches, without_depends) for package in packages]
    packages = _with_sizes(_with_kinds(packages, sources), sources)
    needs_md5 = unverified and without_depends
    packages = _with_md5s(packages, sources) if needs_md5 else packages
    incomplete = [
        package for package in packages if not package.sha256 or package.size is None or (needs_md5 and not package.md5)
    ]
    # Only an archive has a sha256 and a size: the extracted folders of the caches do not help here.
    whole = sources.distrusting(package.dist for package in incomplete)
    found, failures = locate(incomplete, whole, folder, unverified=unverified) if incomplete else ({}, {})
    completed = {
        package.dist: replace(
            package,
            sha256=hash_file(cached.path),
            md5=hash_file(cached.path, "md5") if needs_md5 else package.md5,
            size=cached.path.stat().st_size,
        )
        for package in incomplete
        if (cached := found.get(package.dist))
    }
    packages = [completed.get(package.dist, package) for package in packages]
    return of_packages(lockfile.platform, packages, lockfile.pip, lockfile.requested), failures


def _from_cache(package: CondaPackage, caches: PackageCaches, without_depends: bool) -> CondaPackage:
    if package.sha256 and package.size is not None and not (without_depends and package.subdir == "noarch"):
        return package
    index = caches.index(package)
    size = package.size if package.size is not None else index.get("size")
    depends = merged_depends(index.get("depends") or ()) if without_depends else package.depends
    completed = replace(package, sha256=package.sha256 or index.get("sha256") or "", size=size, depends=depends)
    return completed.with_noarch(index.get("noarch") or package.noarch)


def _with_kinds(packages: Sequence[CondaPackage], sources: PackageSources) -> list[CondaPackage]:
    """Returns the packages with the kinds that their archives name, as far as these are neither known nor cached.

    A lock file without sizes is not ours, and most other programs write no kinds.
    """
    asked = [package for package in packages if package.size is None and _is_open(package)]
    kinds = package_kinds([package for package in asked if sources.may_fetch(package)], sources)
    return [package.with_noarch(kinds.get(package.dist, package.noarch)) for package in packages]


def _is_open(package: CondaPackage) -> bool:
    """Whether a package may be a noarch Python package, although no field shows it."""
    if package.noarch or package.is_noarch_python:
        return False
    if package.subdir == "noarch":
        return True
    return any(spec.startswith(_ABI3) for spec in package.depends) or (
        not package.depends and package.build.startswith("pyh")
    )


def _with_md5s(packages: Sequence[CondaPackage], sources: PackageSources) -> list[CondaPackage]:
    """Returns the packages with the md5 that a package cache or the channel has for their sha256."""
    cached = {
        package.dist: str(sources.caches.index(package).get("md5") or "") for package in packages if not package.md5
    }
    packages = [package if package.md5 else replace(package, md5=cached[package.dist]) for package in packages]
    remote = [
        package
        for package in packages
        if package.sha256 and not package.md5 and package.url.startswith(("https://", "http://"))
    ]
    found = md5s(remote)
    return [replace(package, md5=package.md5 or found.get(package.dist, "")) for package in packages]


def _with_sizes(packages: Sequence[CondaPackage], sources: PackageSources) -> list[CondaPackage]:
    lost = LostHosts()

    def with_size(package: CondaPackage) -> CondaPackage:
        if package.size is not None or not package.sha256 or not sources.may_fetch(package):
            return package
        return replace(package, size=_content_length(package, sources, lost))

    with ThreadPoolExecutor(8) as executor:
        return list(executor.map(with_size, packages))


def _content_length(package: CondaPackage, sources: PackageSources, lost: LostHosts) -> int | None:
    """Asks the channel for the size of an archive, in bytes; None if the channel does not report it.

    A login in the URL is sent only to the host of the URL.
    """
    url = sources.url(package)
    if url.startswith("file:"):
        return _file_size(Path(os.fsdecode(url_path(url))))
    if lost.failed(url):
        return None
    try:
        with open_url(sources.url_with_login(package), _SECONDS, method="HEAD") as response:
            lost.note(url, "")
            return length(response.headers)
    except (OSError, ValueError, HTTPException) as error:
        lost.note(url, str(error))
        return None


def _file_size(path: Path) -> int | None:
    """Returns the size of a regular file, in bytes; None for anything else. Does not open it: a pipe would block."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
