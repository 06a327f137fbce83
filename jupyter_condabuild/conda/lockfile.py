"""Lockfile: exactly which packages an environment consists of, and the formats it is written in and read from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from jupyter_condabuild.conda.channels import package_url
from jupyter_condabuild.conda.packages import CondaPackage, PipPackage, site_packages_of
from jupyter_condabuild.errors import LockfileError

if TYPE_CHECKING:
    from jupyter_condabuild.conda.records import PrefixRecord
    from jupyter_condabuild.conda.snapshot import Environment

Format = Literal["conda-lock", "explicit", "pixi", "environment"]


@dataclass(frozen=True)
class Lockfile:
    """An environment's packages, without anything of the machine or the person it was seen at.

    `channels` are the packages' channels, sorted; `conda` and `pip` are sorted by name. `requested` are the specs that
    people asked for, as far as the format tells them; whoever asked for something else has the same lock file.
    """

    platform: str
    channels: tuple[str, ...]
    conda: tuple[CondaPackage, ...]
    pip: tuple[PipPackage, ...] = ()
    requested: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def digest(self) -> str:
        """``sha256:…``, the identity of the environment's content: each package's origin and hash.

        Dependencies and sizes are left out: channels patch them afterwards, and an environment made again from its
        lock file has the unpatched ones in its records. The canonical dump holds the digest as its content_hash.
        """
        lines = [f"platform {self.platform}"]
        lines += [f"conda {package.url} {package.sha256 or package.md5}" for package in self.conda]
        for pip in self.pip:
            fields = (pip.name, pip.version, pip.url, pip.index, pip.sha256, "editable" if pip.editable else "")
            lines.append("pip " + " ".join(fields))
        return "sha256:" + hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def python(self) -> CondaPackage | None:
        """The Python package, if there is one."""
        return next((package for package in self.conda if package.name == "python"), None)

    @property
    def site_packages(self) -> str:
        """Where Python's packages lie, relative to the prefix; empty without Python."""
        python = self.python
        if python is None:
            return ""
        return python.python_site_packages_path or site_packages_of(python.version, python.build)


def lock(environment: Environment) -> Lockfile:
    """What of an environment can be installed again, without credentials."""
    return of_packages(
        environment.platform,
        [_conda_package(record) for record in environment.records],
        [_pip_package(distribution.package) for distribution in environment.pip],
        environment.requested,
    )


def of_packages(
    platform: str, conda: Sequence[CondaPackage], pip: Sequence[PipPackage], requested: Sequence[str] = ()
) -> Lockfile:
    """A lock file of packages in any order."""
    return Lockfile(
        platform=platform,
        channels=tuple(sorted({package.channel for package in conda})),
        conda=tuple(sorted(conda)),
        pip=tuple(sorted(pip)),
        requested=tuple(requested),
    )


def dump(
    lockfile: Lockfile,
    format: Format = "conda-lock",
    *,
    name: str = "",
    channels: Sequence[str] = (),
    hash: Literal["sha256", "md5"] = "sha256",
) -> str:
    """The lock file's text.

    Args:
        name: the environment's name, for the formats that have one.
        channels: in order of priority, where the format keeps one; default the lock file's own.
        hash: which one to write into ``@EXPLICIT``; conda before 24 reads only md5.
    """
    from jupyter_condabuild.conda.formats import conda_lock, environment, explicit, pixi

    match format:
        case "conda-lock":
            return conda_lock.dump(lockfile)
        case "explicit":
            return explicit.dump(lockfile, hash)
        case "pixi":
            return pixi.dump(lockfile, channels)
        case "environment":
            return environment.dump(lockfile, name, channels)
    raise LockfileError(
        f"There is no lock file format {format!r}.", "Choose conda-lock, explicit, pixi or environment."
    )


def load(source: Path | str, platform: str = "linux-64") -> Lockfile:
    """Reads a conda-lock.yml, an ``@EXPLICIT`` file or a pixi.lock: a path, or the text itself.

    Args:
        platform: which one to take of a lock file for several, and what an ``@EXPLICIT`` file is taken for if it does
            not say.
    """
    from jupyter_condabuild.conda.formats import conda_lock, explicit, pixi, yaml

    text, where = (_read(source), str(source)) if isinstance(source, Path) else (source, "The lock file")
    if re.search(r"^@EXPLICIT\s*$", text, re.MULTILINE):
        return explicit.load(text, where, platform)
    value = yaml.load(text, where)
    if isinstance(value, dict) and "package" in value and "metadata" in value:
        return conda_lock.load(value, where, platform)
    if isinstance(value, dict) and "environments" in value and "packages" in value:
        return pixi.load(value, where, platform)
    raise LockfileError(
        f"{where} is not a lock file.", "Give a conda-lock.yml (version 1), a pixi.lock or an @EXPLICIT file."
    )


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise LockfileError(f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise LockfileError(f"{path} is not a text file in UTF-8.") from None


def _conda_package(record: PrefixRecord) -> CondaPackage:
    """Of the record only what every format can carry, so that a lock file read again is the same."""
    usual = site_packages_of(record.version, record.build) if record.name == "python" else ""
    site_packages = record.python_site_packages_path
    return CondaPackage(
        name=record.name,
        version=record.version,
        build=record.build,
        subdir=record.subdir,
        url=package_url(record),
        sha256=record.sha256,
        md5=record.md5,
        size=record.size,
        depends=merged_depends(record.depends),
        python_site_packages_path=site_packages if record.name == "python" and site_packages != usual else "",
    )


def merged_depends(depends: Sequence[str]) -> tuple[str, ...]:
    """One spec a name, sorted: ``a >=1`` and ``a <2`` are ``a >=1,<2``, since lock files keep them in a mapping.

    Versions are as rattler writes them, without leading zeros (``2023.03`` is ``2023.3`` to all of conda's tools).
    """
    specs: dict[str, str] = {}
    for depend in depends:
        name, spec = split_depend(depend)
        version, space, build = spec.partition(" ")
        spec = re.sub(r"(?<!\d)0+(?=\d)", "", version) + space + build
        known = specs.get(name)
        if known and spec and spec != known:
            specs[name] = f"{known},{spec}" if " " not in known + spec else min(known, spec)
        else:
            specs[name] = known or spec
    return tuple(f"{name} {spec}".strip() for name, spec in sorted(specs.items()))


def split_depend(depend: str) -> tuple[str, str]:
    """``python >=3.8`` as its name and the rest."""
    match = re.match(r"\s*([^\s=<>!~\[;]+)\s*(.*?)\s*$", depend, re.DOTALL)
    return (match[1], match[2]) if match else (depend.strip(), "")


def _pip_package(package: PipPackage) -> PipPackage:
    """Without the folders of this machine: of a local file or folder only its name stays."""
    url = package.url
    if url.startswith("file:"):
        url = "file:" + unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    return PipPackage(package.name, package.version, url, package.index, package.sha256, package.editable)
