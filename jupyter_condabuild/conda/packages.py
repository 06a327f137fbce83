"""CondaPackage and PipPackage: what a lock file says of a package. No credentials, no path of this machine."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class CondaPackage:
    """A locked conda package.

    `url` is without credentials; `sha256` and `md5` are hexadecimal, empty where unknown; `size` is of the archive in
    bytes; `depends` are match specs such as ``python >=3.8``.
    """

    name: str
    version: str
    build: str
    subdir: str
    url: str
    sha256: str = ""
    md5: str = ""
    size: int | None = None
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    noarch: str = ""
    build_number: int | None = None
    python_site_packages_path: str = ""

    @property
    def fn(self) -> str:
        """File name of the archive."""
        return posixpath.basename(self.url)

    @property
    def dist(self) -> str:
        """``name-version-build``."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def channel(self) -> str:
        """The channel's URL: the package's without file name and subdir."""
        return posixpath.dirname(posixpath.dirname(self.url))

    @property
    def is_noarch_python(self) -> bool:
        """Whether its files depend on the environment's site-packages path.

        Lock formats do not say; a noarch package that needs python and is not known to be generic is taken for one.
        """
        if self.noarch:
            return self.noarch == "python"
        return self.subdir == "noarch" and any(spec.split()[0] == "python" for spec in self.depends if spec.strip())


@dataclass(frozen=True, order=True)
class PipPackage:
    """A distribution that pip (or uv, poetry, …) installed.

    `url` is where it came from when that is known (wheel, sdist, ``git+https://…@commit``, ``file://`` for local and
    editable ones), else `index` names the package index. `sha256` is hexadecimal, empty where unknown.
    """

    name: str
    version: str
    url: str = ""
    index: str = ""
    sha256: str = ""
    editable: bool = False
