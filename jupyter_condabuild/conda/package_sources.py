"""PackageSources: where the archives of some packages can be had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from jupyter_condabuild.conda.package_cache import Cached, PackageCaches
from jupyter_condabuild.conda.packages import CondaPackage


@dataclass(frozen=True)
class PackageSources:
    """Package caches, and then the channels.

    `urls` maps a dist to the URL to download from where that is not the locked URL; such a URL may hold credentials.
    `distrusted` are the dists of packages whose extracted folders in the package caches count for nothing: only their
    archives do, which a hash proves whole.
    """

    caches: PackageCaches = field(default_factory=lambda: PackageCaches(()))
    urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    distrusted: frozenset[str] = frozenset()

    def find(self, package: CondaPackage) -> Cached | None:
        """The package in a package cache; None where no cache provably has it."""
        return self.caches.find(package, extracted=package.dist not in self.distrusted)

    def url(self, package: CondaPackage) -> str:
        """The URL to download the package from. It may hold credentials: never put it into a message."""
        return self.urls.get(package.dist) or package.url

    def distrusting(self, dists: Iterable[str]) -> PackageSources:
        """The same sources without the extracted folders of these packages."""
        return replace(self, distrusted=self.distrusted | frozenset(dists))
