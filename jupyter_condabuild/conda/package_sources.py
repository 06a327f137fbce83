"""PackageSources: the places where packages are available."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from jupyter_condabuild.conda.package_cache import Cached, PackageCaches
from jupyter_condabuild.conda.packages import CondaPackage


@dataclass(frozen=True)
class PackageSources:
    """The package caches, which are searched first, and the channels.

    `urls` maps a dist to the URL for the download, if it differs from the URL in the lock file. Such a URL may contain
    credentials. `distrusted` are the dists of packages whose extracted folders in the package caches are not used. Only
    the archives of these packages are used, because one hash verifies a complete archive.
    """

    caches: PackageCaches = field(default_factory=lambda: PackageCaches(()))
    urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    distrusted: frozenset[str] = frozenset()

    def find(self, package: CondaPackage) -> Cached | None:
        """Returns the package in a package cache; None if no cache provably has it."""
        return self.caches.find(package, extracted=package.dist not in self.distrusted)

    def url(self, package: CondaPackage) -> str:
        """Returns the URL for the download. It may contain credentials: never put it into a message."""
        return self.urls.get(package.dist) or package.url

    def distrusting(self, dists: Iterable[str]) -> PackageSources:
        """Returns the same sources without the extracted folders of these packages."""
        return replace(self, distrusted=self.distrusted | frozenset(dists))
