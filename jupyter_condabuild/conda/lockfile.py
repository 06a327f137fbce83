"""Lockfile: the exact packages of an environment."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from jupyter_condabuild.conda.packages import CondaPackage, PipPackage, site_packages_of
from jupyter_condabuild.conda.platforms import check_subdirs
from jupyter_condabuild.conda.secrets import scrub_url
from jupyter_condabuild.errors import LockfileError

Format = Literal["conda-lock", "explicit", "pixi", "environment"]
"""The names of the lock file formats; ``environment`` can be written, but not read."""

MOST_BYTES = 64 << 20
"""The largest size in bytes of the text of a lock file."""

MOST_PACKAGES = 50_000
"""The largest number of packages in a lock file."""


@dataclass(frozen=True)
class Choices:
    """What the file of a lock file has, and what was chosen from it.

    `platforms` and `environments` are all in the file; empty if the format cannot contain several. `environment` is the
    chosen one. `channels` are the URLs of the channels that the file names, in order of priority. `left_out` are the
    categories of packages that were not read. `urls` maps the URL of a conda package to the URL with a login that the
    file has; it may contain secrets. `pip_logins` are the pip packages whose URLs have a login.
    """

    platforms: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    environment: str = ""
    channels: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    urls: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    pip_logins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lockfile:
    """The packages of an environment. It contains no data about the machine or the user.

    `channels` are the URLs of the packages' channels, sorted. `conda` and `pip` are sorted by name. `requested` are the
    specs that the user requested, if the format contains them. They do not count in a comparison: two environments with
    the same packages have equal lock files. `choices` says what else the file has that the lock file was read from.
    """

    platform: str
    channels: tuple[str, ...]
    conda: tuple[CondaPackage, ...]
    pip: tuple[PipPackage, ...] = ()
    requested: tuple[str, ...] = field(default=(), compare=False)
    choices: Choices = field(default_factory=Choices, compare=False)

    @cached_property
    def digest(self) -> str:
        """The identity of the environment's content, ``sha256:…``: a hash of the origin and the hash of each package.

        Dependencies and sizes are left out. Channels patch them later, and an environment that is installed from its
        lock file has the unpatched values in its records. The canonical dump contains the digest as content_hash.
        """
        lines = [f"platform {self.platform}"]
        lines += [f"conda {package.url} {package.sha256 or package.md5}" for package in self.conda]
        for pip in self.pip:
            fields = (pip.name, pip.version, pip.url, pip.index, pip.sha256, "editable" if pip.editable else "")
            lines.append("pip " + " ".join(fields))
        return "sha256:" + hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def channels_by_priority(self) -> tuple[str, ...]:
        """The URLs of the channels: first those that the file names, in its order, then those of other packages."""
        return tuple(dict.fromkeys((*self.choices.channels, *self.channels)))

    @property
    def python(self) -> CondaPackage | None:
        """The Python package, or None."""
        return next((package for package in self.conda if package.name == "python"), None)

    @property
    def site_packages(self) -> str:
        """The site-packages folder, relative to the prefix; empty if there is no Python package."""
        python = self.python
        if python is None:
            return ""
        return python.python_site_packages_path or site_packages_of(python.version, python.build)


def check_number(number: int, where: str) -> None:
    """Raises LockfileError if a lock file has more than `MOST_PACKAGES` packages.

    Args:
        where: the name of the file, for the message.
    """
    if number > MOST_PACKAGES:
        raise LockfileError(f"{where} has more than {MOST_PACKAGES} packages.", "Lock files are for one environment.")


def of_packages(
    platform: str,
    conda: Sequence[CondaPackage],
    pip: Sequence[PipPackage],
    requested: Sequence[str] = (),
) -> Lockfile:
    """Returns the lock file of packages that are in any order."""
    return Lockfile(
        platform=platform,
        channels=tuple(sorted({package.channel for package in conda})),
        conda=tuple(sorted(conda, key=_order)),
        pip=tuple(sorted(pip)),
        requested=tuple(requested),
    )


def of_file(
    where: str,
    platform: str,
    conda: Iterable[CondaPackage],
    pip: Iterable[PipPackage],
    requested: Sequence[str] = (),
    choices: Choices | None = None,
    urls: Iterable[str] = (),
    pip_urls: Mapping[str, str] | None = None,
) -> Lockfile:
    """Returns the lock file of the entries of a file. Equal entries count once.

    Args:
        where: the name of the file, for messages.
        urls: the URLs of the conda packages as they are in the file.
        pip_urls: the URLs of the pip packages as they are in the file, by name.

    Raises LockfileError if a URL has a variable that is no login.
    """
    packages: dict[tuple[str, ...], CondaPackage] = {}
    for package in conda:
        packages.setdefault((package.name, package.url, package.sha256, package.md5), package)
    made = of_packages(platform, list(packages.values()), list(dict.fromkeys(pip)), requested)
    for package in made.conda:
        if "$" in package.url:
            raise LockfileError(
                f"{where} has a variable outside of the login in the URL of {package.dist}: {package.url[:200]}.",
                "Write the URL in full. Only a login may be a variable: https://$USER:$PASSWORD@host or /t/$TOKEN/.",
            )
    with_login = {clean: url for url in urls if (clean := scrub_url(url)) != url}
    pip_logins = tuple(name for name, url in (pip_urls or {}).items() if scrub_url(url) != url)
    return replace(made, choices=replace(choices or Choices(), urls=with_login, pip_logins=pip_logins))


def check_consistent(lockfile: Lockfile, where: str) -> None:
    """Checks that the packages of a lock file can be in one environment.

    Args:
        where: the name of the file, for messages.

    Raises LockfileError if a name occurs with two versions or archives, or if a package is for another platform.
    """
    versions: dict[tuple[str, str], str] = {}
    entries = [(("conda", package.name), package.dist) for package in lockfile.conda]
    entries += [(("pip", package.name), package.version) for package in lockfile.pip]
    for name, version in entries:
        if (first := versions.setdefault(name, version)) != version:
            raise _twice(where, name[1], f": {first} and {version}")
    if len(versions) < len(entries):
        kind, name_twice = next(name for name, count in Counter(name for name, _ in entries).items() if count > 1)
        raise _twice(where, name_twice, f", with two {'archives' if kind == 'conda' else 'sources'}")
    check_subdirs(lockfile.platform, {package.subdir: package.dist for package in lockfile.conda}, where)


def _twice(where: str, name: str, which: str) -> LockfileError:
    return LockfileError(
        f"{where} has {name[:100]!r} twice{which}.",
        "An environment has one version of a package. Choose with --category or --environment, or write the lock file "
        "again.",
    )


def _order(package: CondaPackage) -> tuple[str, ...]:
    # Not the whole package: two entries of a package may differ only in a size that one of them lacks.
    return package.name, package.version, package.build, package.subdir, package.url, package.sha256, package.md5
