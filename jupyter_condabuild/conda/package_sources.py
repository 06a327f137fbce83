"""PackageSources: the places where packages are available."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from jupyter_condabuild.conda.logins import PLACEHOLDER, Logins
from jupyter_condabuild.conda.package_cache import Cached, PackageCaches
from jupyter_condabuild.conda.packages import CondaPackage

_SCHEMES = ("https", "http", "file")


@dataclass(frozen=True)
class PackageSources:
    """The package caches, which are searched first, and the channels.

    `urls` maps a dist to the URL for the download, if it differs from the URL in the lock file. Such a URL may contain
    credentials. `logins` are those of the user's settings. `distrusted` are the dists of packages whose extracted
    folders in the package caches are not used. Only the archives of these packages are used, because one hash verifies
    a complete archive.
    """

    caches: PackageCaches = field(default_factory=lambda: PackageCaches(()))
    urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    distrusted: frozenset[str] = frozenset()
    logins: Logins = field(default_factory=Logins)

    def find(self, package: CondaPackage) -> Cached | None:
        """Returns the package in a package cache; None if no cache provably has it."""
        return self.caches.find(package, extracted=package.dist not in self.distrusted)

    def url(self, package: CondaPackage) -> str:
        """Returns the URL for the download. It may contain credentials: never put it into a message."""
        url = self.urls.get(package.dist) or package.url
        return package.url if PLACEHOLDER.search(url) else url

    def host(self, package: CondaPackage) -> str:
        """Returns the host from which a package is downloaded; empty if its channel is a folder of this machine."""
        url = urlsplit(self.url(package))
        return url.netloc.rpartition("@")[2].lower() if url.scheme in ("http", "https") else ""

    def needs_login(self, package: CondaPackage) -> bool:
        """Whether a package is fetched with a login, so that others may not be able to get it."""
        return self.logins.covers(self.urls.get(package.dist) or package.url)

    def url_with_login(self, package: CondaPackage) -> str:
        """Returns the URL for a download with a login. It may contain credentials: never put it into a message."""
        return self.logins.url(self.url(package))

    def may_fetch(self, package: CondaPackage) -> bool:
        """Whether the package may be downloaded from its URL.

        A lock file may come from a stranger, so only the usual schemes of channels are followed. The records of an
        environment may have any scheme that conda can use.
        """
        return package.dist in self.urls or package.url.partition(":")[0].lower() in _SCHEMES

    def distrusting(self, dists: Iterable[str]) -> PackageSources:
        """Returns the same sources without the extracted folders of these packages."""
        return replace(self, distrusted=self.distrusted | frozenset(dists))
