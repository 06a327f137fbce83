"""CondaPackage and PipPackage: a package in a lock file, without credentials and paths of this machine; and License."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from jupyter_condabuild.conda.paths import is_site_packages

_NAME_PART = re.compile(r"(?!\.)[\w.+!~-]{1,200}", re.ASCII)
_HASHES = re.compile(r"(?:[0-9a-f]{64})? (?:[0-9a-f]{32})?", re.ASCII | re.IGNORECASE)
_LONGEST_NAME = 240  # files are named name-version-build with a suffix, and Linux allows 255

PYPI = "pypi"
"""The name for the index of PyPI; other indexes are named by their URL."""
PYPI_SIMPLE = "https://pypi.org/simple"


@dataclass(frozen=True, order=True)
class CondaPackage:
    """A locked conda package.

    `url` contains no credentials. `sha256` and `md5` are hexadecimal, or empty if unknown. `size` is the size of the
    archive in bytes. `depends` are match specs such as ``python >=3.8``. `noarch` is ``python`` or ``generic`` if the
    other fields do not show it (see `with_noarch`), else empty.

    Raises ValueError if a field that becomes part of a path is not valid there (a name, a version, a build, a file
    name, a site-packages folder), if a hash has another length, or if the size is negative, and TypeError if a field
    that is a text is not one.
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
        _check_texts(self.url, self.sha256, self.md5, self.noarch, self.python_site_packages_path, *self.depends)
        for text in (self.name, self.version, self.build, self.subdir, self.fn):
            if not _NAME_PART.fullmatch(text):
                raise ValueError(f"{text[:200]!r} cannot be part of a package's name")
        if len(self.dist) > _LONGEST_NAME or len(self.fn) > _LONGEST_NAME:
            raise ValueError(f"{self.dist[:100]}… is too long for a package's name")
        if not _HASHES.fullmatch(f"{self.sha256} {self.md5}"):
            raise ValueError(f"the sha256 or md5 of {self.dist} is not a hash")
        if self.python_site_packages_path and not is_site_packages(self.python_site_packages_path):
            raise ValueError(
                f"{self.python_site_packages_path[:200]!r} is not a site-packages folder such as "
                "lib/python3.12/site-packages"
            )
        if self.size is not None and self.size < 0:
            raise ValueError(f"the size {self.size} is negative")

    @classmethod
    def of_url(cls, url: str, **fields: Any) -> CondaPackage:
        """Returns the package of a URL. `fields` are further fields. Raises ValueError if it is no URL of a package."""
        fn = unquote(posixpath.basename(urlsplit(url).path))
        stem = fn.removesuffix(".conda").removesuffix(".tar.bz2")
        parts = stem.rsplit("-", 2) if stem != fn else []
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"{url[:300]} is not the URL of a conda package")
        name, version, build = parts
        subdir = posixpath.basename(posixpath.dirname(urlsplit(url).path))
        return cls(**{"name": name, "version": version, "build": build, "subdir": subdir, "url": url, **fields})

    @property
    def fn(self) -> str:
        """The file name of the archive."""
        return unquote(posixpath.basename(urlsplit(self.url).path))

    @property
    def dist(self) -> str:
        """``name-version-build``."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def channel(self) -> str:
        """The URL of the channel: the URL of the package without the file name and the subdir."""
        return posixpath.dirname(posixpath.dirname(self.url))

    @property
    def is_noarch_python(self) -> bool:
        """Whether the paths of its files depend, or may depend, on the environment's site-packages folder.

        Lock files often do not contain `noarch`. So a noarch package that depends on python always counts as a Python
        package. An ``@EXPLICIT`` file contains no dependencies either. Then the build string decides, as in rattler.
        """
        if self.noarch == "python":
            return True
        if self.subdir != "noarch":
            return False
        if self.depends:
            return any(spec.split()[0] == "python" for spec in self.depends)
        return "py" in self.build

    @property
    def kind(self) -> str:
        """The member ``noarch`` of the package's record: ``python``, ``generic``, or empty."""
        return self.noarch or ("python" if self.is_noarch_python else "generic" if self.subdir == "noarch" else "")

    def with_noarch(self, kind: str) -> CondaPackage:
        """Returns the package with the `noarch` of a record. Any text but ``python`` and ``generic`` says nothing.

        The field is set only if the other fields show another kind. So a lock file needs to name the kind of few
        packages: of Python packages that do not depend on python (https://github.com/conda/conda/issues/13412) or that
        are for one platform (CEP 20), and of generic packages that depend on python.
        """
        plain = replace(self, noarch="")
        return replace(self, noarch=kind) if kind in ("python", "generic") and kind != plain.kind else plain


@dataclass(frozen=True, order=True)
class PipPackage:
    """A distribution that pip (or uv, poetry, …) installed.

    `url` is the source of the distribution, if it is known: a wheel, an sdist, ``git+https://…@commit``, or a
    ``file://`` URL for a local or editable install (in a lock file only ``file:`` and the name). Otherwise `index` is
    the package index: `PYPI` or the URL of another index. `sha256` is hexadecimal, or empty if unknown.

    Raises TypeError if a field that is a text is not one, and ValueError if a URL is not valid.
    """

    name: str
    version: str
    url: str = ""
    index: str = ""
    sha256: str = ""
    editable: bool = False

    def __post_init__(self) -> None:
        _check_texts(self.name, self.version, self.url, self.index, self.sha256)
        for url in (self.url, self.index):
            urlsplit(url)


def _check_texts(*values: object) -> None:
    """Raises TypeError if a value is not a text, as may happen in a hostile lock file."""
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{str(value)[:100]!r} is not a text")


@dataclass(frozen=True)
class License:
    """The licence of a package.

    `name` is an SPDX expression, or any other words; empty if the package states no licence. `text` has the package's
    licence files, if the name says too little.
    """

    name: str = ""
    text: str = ""


def is_on_pypi(url: str) -> bool:
    """Whether a URL is that of a file on PyPI: then a lock file without the name of the index says enough."""
    return urlsplit(url).hostname == "files.pythonhosted.org"


def canonical_name(name: str) -> str:
    """Returns the normalized name of a distribution.

    Source: https://packaging.python.org/specifications/name-normalization/
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def site_packages_of(python_version: str, python_build: str) -> str:
    """Returns the site-packages folder of a Python, relative to the prefix.

    Free-threaded builds of Python (``_cp313t``) have a folder of their own.
    """
    major_minor = ".".join(python_version.split(".")[:2])
    threading = "t" if re.search(r"_cp\d+t$", python_build) else ""
    return f"lib/python{major_minor}{threading}/site-packages"
