"""CondaPackage and PipPackage: what a lock file says of a package. No credentials, no path of this machine."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

_PLAIN = re.compile(r"(?!\.)[\w.+!~-]+", re.ASCII)

PYPI = "pypi"
"""The name of PyPI's index; other indexes go by their URL."""
PYPI_SIMPLE = "https://pypi.org/simple"


@dataclass(frozen=True, order=True)
class CondaPackage:
    """A locked conda package. Raises ValueError where a name is none: it becomes part of the names of files.

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

    def __post_init__(self) -> None:
        for text in (self.name, self.version, self.build, self.subdir, self.fn):
            if not _PLAIN.fullmatch(text):
                raise ValueError(f"{text[:200]!r} cannot be part of a package's name")

    @classmethod
    def of_url(cls, url: str, **fields: Any) -> CondaPackage:
        """A package of which `fields` say what its URL does not; raises ValueError where it is no package's URL."""
        fn = unquote(posixpath.basename(urlsplit(url).path))
        stem = fn.removesuffix(".conda").removesuffix(".tar.bz2")
        name, version, build = (stem.rsplit("-", 2) if stem != fn else []) or ("", "", "")
        if not (name and version and build):
            raise ValueError(f"{url} is not the URL of a conda package")
        subdir = posixpath.basename(posixpath.dirname(urlsplit(url).path))
        return cls(**{"name": name, "version": version, "build": build, "subdir": subdir, "url": url, **fields})

    @property
    def fn(self) -> str:
        """File name of the archive."""
        return unquote(posixpath.basename(urlsplit(self.url).path))

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
        An ``@EXPLICIT`` file does not say that either, so that there the build string decides, as it does in rattler.
        """
        if self.noarch:
            return self.noarch == "python"
        if self.subdir != "noarch":
            return False
        return any(spec.split()[0] == "python" for spec in self.depends) if self.depends else "py" in self.build


@dataclass(frozen=True, order=True)
class PipPackage:
    """A distribution that pip (or uv, poetry, …) installed.

    `url` is where it came from when that is known: wheel, sdist, ``git+https://…@commit``, ``file://`` for local and
    editable ones (in a lock file ``file:`` and the name alone). Else `index` names the package index: `PYPI`, or the
    URL of another. `sha256` is hexadecimal, empty where unknown.
    """

    name: str
    version: str
    url: str = ""
    index: str = ""
    sha256: str = ""
    editable: bool = False


def canonical_name(name: str) -> str:
    """A distribution's name as indexes spell it (https://packaging.python.org/specifications/name-normalization/)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def site_packages_of(python_version: str, python_build: str) -> str:
    """Where a Python's packages lie, relative to the prefix; free-threaded builds (``_cp313t``) have their own."""
    major_minor = ".".join(python_version.split(".")[:2])
    threading = "t" if re.search(r"_cp\d+t$", python_build) else ""
    return f"lib/python{major_minor}{threading}/site-packages"
