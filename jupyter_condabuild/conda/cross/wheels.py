"""The pip packages of an environment on another platform: the wheels that the package indexes have for it.

Markers count for the other platform: a package may need others there. There is no search among versions: a package has
the version of the environment, and a package that is new there has the newest version that is asked for.

Source: packaging.python.org/specifications/dependency-specifiers (PEP 508) and platform-compatibility-tags (PEP 600).
"""

from __future__ import annotations

import email
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from jupyter_condabuild.conda.cross import reasons
from jupyter_condabuild.conda.cross.counterparts import pip_counterpart
from jupyter_condabuild.conda.cross.levels import Level
from jupyter_condabuild.conda.cross.substitution import Row
from jupyter_condabuild.conda.cross.target import Target
from jupyter_condabuild.conda.index_files import IndexFile, files_of, metadata_of
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.packages import PYPI, CondaPackage, PipPackage, canonical_name
from jupyter_condabuild.conda.prefix.pip import source_of
from jupyter_condabuild.errors import NotCompatible
from jupyter_condabuild.text import counted, listed

_CONCURRENT = 8
_MOST_ADDED = 500
_ABI_THREADED = re.compile(r"_cp\d+t$")
_GLIBC_FLOOR = 5  # manylinux1 is glibc 2.5
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


class WheelBytes(NamedTuple):
    """The total sizes in bytes of wheels for all systems, and of wheels for one, as far as indexes tell them."""

    pure: int = 0
    native: int = 0


@dataclass(frozen=True)
class Translated:
    """The pip packages for the other platform, their rows, and the names of those that have only sources there."""

    packages: tuple[PipPackage, ...] = ()
    rows: tuple[Row, ...] = ()
    sources_only: tuple[str, ...] = ()
    wheel_bytes: WheelBytes = field(default_factory=WheelBytes)


@dataclass
class _Wanted:
    """A package that is looked up: its index, the version of the environment, and what others require of it."""

    name: str
    index: str
    version: str = ""
    specifiers: list[Any] = field(default_factory=list)
    extras: set[str] = field(default_factory=set)
    why: str = ""


def translate_pip(lockfile: Lockfile, conda: Lockfile, target: Target, leave_out: Sequence[str] = ()) -> Translated:
    """Finds the pip packages of an environment for the platform of a lock file. Asks package indexes; runs nothing.

    Packages from folders, repositories and sources stay as they are: their sources name no platform.

    Args:
        lockfile: the lock file of the environment.
        conda: the conda packages of the other platform.
        leave_out: the names of packages that the image can do without.

    Raises NotCompatible if a package has no file for the platform, or if an index cannot be read.
    """
    python = conda.python
    if python is None or not lockfile.pip:
        return Translated()
    if unnamed := sorted({package.index for package in lockfile.pip if "$" in package.index}):
        raise NotCompatible(f"The package index {unnamed[0]} has a variable in its name.", "Name the index in full.")
    return _Translation(lockfile, conda, python, target, leave_out).run()


class _Translation:
    def __init__(
        self, lockfile: Lockfile, conda: Lockfile, python: CondaPackage, target: Target, leave_out: Sequence[str]
    ) -> None:
        self._pip = lockfile.pip
        self._conda = {canonical_name(package.name): package.version for package in conda.conda}
        self._python = python
        self._target = target
        self._leave_out = {canonical_name(name) for name in leave_out}
        self._ranks = {tag: rank for rank, tag in enumerate(_tags(python, target))}
        self._markers = _markers(python, target)
        self._here = {canonical_name(package.name): package.version for package in lockfile.conda}
        self._here |= {package.name: package.version for package in lockfile.pip}
        self._rows: list[Row] = []
        self._done: dict[str, PipPackage] = {}
        self._sources: list[str] = []
        self._wheel_bytes = WheelBytes()
        self._index = PYPI

    def run(self) -> Translated:
        wanted: dict[str, _Wanted] = {}
        for package in self._pip:
            known = pip_counterpart(package.name, self._target.platform)
            if package.name in self._leave_out or known:
                why = known.why if known else reasons.AS_ASKED
                self._rows.append(Row(package.name, package.version, "", Level.LEFT_OUT, why, "pip"))
                if known and known.there and known.there not in self._conda and known.there not in self._leave_out:
                    wanted[known.there] = _Wanted(known.there, package.index or PYPI, package.version)
            elif (tags := _tags_of(package.url)) and source_of(package) == "archive":
                self._done[package.name] = package
                self._rows.append(self._of_archive(package, tags))
            elif source_of(package) != "index":
                self._done[package.name] = package
                row = (package.name, package.version, package.version, Level.VERSION, reasons.SOURCE, "pip")
                self._rows.append(Row(*row))
            else:
                self._index = package.index
                wanted[package.name] = _Wanted(package.name, package.index, package.version)
        here = {package.name: package for package in self._pip}
        while wanted:
            if len(self._done) > len(here) + _MOST_ADDED:
                raise NotCompatible(f"The pip packages need more than {_MOST_ADDED} others on {self._target.platform}.")
            with ThreadPoolExecutor(_CONCURRENT) as executor:
                found = list(executor.map(self._look_up, wanted.values()))
            if lost := [name for name, files in zip(wanted, found, strict=True) if files is None]:
                raise self._missing(wanted[lost[0]], lost)
            required: dict[str, _Wanted] = {}
            for one, files in zip(wanted.values(), found, strict=True):
                assert files
                file, requirements = files
                self._keep(one, file, here.get(one.name))
                for requirement in requirements:
                    self._require(requirement, one.name, required)
            wanted = required
        return Translated(
            tuple(sorted(self._done.values())),
            tuple(sorted(self._rows, key=lambda row: row.name)),
            tuple(self._sources),
            self._wheel_bytes,
        )

    def _of_archive(self, package: PipPackage, tags: frozenset[Any]) -> Row:
        """Returns the row of a package from a single wheel. Raises NotCompatible if the wheel is for another system."""
        if not any(tag in self._ranks for tag in tags):
            raise NotCompatible(
                f"The wheel of {package.name} from {package.url[:200]} is not for {self._target.platform}.",
                f"Install {package.name} from a package index, or leave it out: --leave-out {package.name}.",
            )
        return Row(package.name, package.version, package.version, Level.BUILD, "", "pip")

    def _keep(self, item: _Wanted, file: IndexFile, before: PipPackage | None) -> None:
        version = str(file.version) if not item.version else item.version
        self._done[item.name] = PipPackage(item.name, version, file.url, item.index, file.sha256)
        is_pure = any(tag.platform == "any" for tag in file.tags)
        if file.tags:
            pure, native = self._wheel_bytes
            self._wheel_bytes = WheelBytes(pure + file.size * is_pure, native + file.size * (not is_pure))
        if not file.tags:
            self._sources.append(item.name)
            why = reasons.ONLY_SOURCE
            self._rows.append(Row(item.name, before.version if before else "", version, Level.VERSION, why, "pip"))
        elif before is None:
            self._rows.append(Row(item.name, "", version, Level.ADDED, item.why, "pip"))
        else:
            level = Level.BUILD if is_pure else Level.VERSION
            why = "" if is_pure else reasons.WHEEL
            self._rows.append(Row(item.name, before.version, version, level, why, "pip"))

    def _require(self, requirement: Any, by: str, required: dict[str, _Wanted]) -> None:
        """Adds a package that is needed there and that nobody brings. Raises NotCompatible if one does not fit."""
        name = canonical_name(requirement.name)
        if name in self._leave_out or pip_counterpart(name, self._target.platform):
            return
        here = self._here.get(name, "")
        done = self._done.get(name)
        if there := done.version if done else self._conda.get(name, here):
            fits = [_contains(requirement.specifier, version) for version in (here, there)]
            if fits == [True, False]:
                raise NotCompatible(
                    f"{by} requires {requirement}, but the environment for {self._target.platform} has {name} {there}.",
                    f"Install another version of {by} or of {name}, or leave {by} out: --leave-out {by}.",
                )
            return
        item = required.setdefault(name, _Wanted(name, self._index, why=reasons.NEEDED.format(by)))
        item.specifiers.append(requirement.specifier)
        item.extras |= requirement.extras

    def _look_up(self, item: _Wanted) -> tuple[IndexFile, list[Any]] | None:
        """Returns the best file of a package and what it requires; None if the index has no such file."""
        from packaging.version import InvalidVersion, Version

        files = list(files_of(item.name, item.index))
        if item.version:
            try:
                files = [file for file in files if file.version == Version(item.version)]
            except InvalidVersion:
                return None
        else:
            files = [
                file
                for file in files
                if not file.is_yanked and all(spec.contains(file.version) for spec in item.specifiers)
            ]
        wheels = [(file, rank) for file in files if file.tags and (rank := self._rank(file)) is not None]
        if wheels:
            newest = max(file.version for file, _ in wheels)
            file, _ = min(
                ((file, rank) for file, rank in wheels if file.version == newest),
                key=lambda pair: (pair[1], pair[0].url),
            )
            return file, self._requirements(file, item)
        sources = sorted((file for file in files if not file.tags), key=lambda file: (file.version, file.url))
        return (sources[-1], []) if sources else None

    def _rank(self, file: IndexFile) -> int | None:
        return min((self._ranks[tag] for tag in file.tags if tag in self._ranks), default=None)

    def _requirements(self, file: IndexFile, item: _Wanted) -> list[Any]:
        """Returns the requirements of a wheel that count on the platform."""
        from packaging.requirements import InvalidRequirement, Requirement

        try:
            text = metadata_of(file)
        except Exception as error:  # noqa: BLE001  zipfile raises many types for what a hostile index sends
            raise NotCompatible(
                f"The metadata of the wheel {file.filename} cannot be read: {type(error).__name__}.", "Try again later."
            ) from None
        found = []
        for line in email.message_from_bytes(text).get_all("Requires-Dist") or ():
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                continue
            extras: Sequence[str] = ["", *sorted(item.extras)]
            marker = requirement.marker
            if marker is None or any(marker.evaluate({**self._markers, "extra": extra}) for extra in extras):
                found.append(requirement)
        return found

    def _missing(self, item: _Wanted, names: Sequence[str]) -> NotCompatible:
        version = f" {item.version}" if item.version else ""
        reason = f", which {item.why.removesuffix(' it there')}" if item.why else ""
        others = f" ({counted(names, 'package')}: {listed(sorted(names))})" if len(names) > 1 else ""
        return NotCompatible(
            f"The package index has no file of {item.name}{version} for {self._target.platform}{reason}{others}.",
            f"If the image can do without: --leave-out {item.name}. Otherwise install another version of it, or check "
            "that the index can be reached.",
        )


def _tags_of(url: str) -> frozenset[Any]:
    """Returns the tags of the wheel at a URL; none for any other URL."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        return parse_wheel_filename(posixpath.basename(unquote(urlsplit(url).path)))[3]
    except InvalidWheelFilename:
        return frozenset()


def _contains(specifier: Any, version: str) -> bool:
    """Whether a version satisfies a specifier. A version that is none, and no version, do not."""
    from packaging.version import InvalidVersion

    try:
        return bool(version) and bool(specifier.contains(version, prereleases=True))
    except InvalidVersion:
        return False


def _tags(python: CondaPackage, target: Target) -> Iterator[Any]:
    """Yields the tags of the wheels that a Python on the platform can use, the best first."""
    from packaging.tags import compatible_tags, cpython_tags

    version = tuple(int(part) for part in python.version.split(".")[:2])
    threaded = "t" if _ABI_THREADED.search(python.build) else ""
    newest = int(target.glibc.split(".")[1])
    platforms = []
    for minor in range(newest, _GLIBC_FLOOR - 1, -1):
        platforms.append(f"manylinux_2_{minor}_{target.machine}")
        if minor in _LEGACY and (minor == 17 or target.machine == "x86_64"):
            platforms.append(f"{_LEGACY[minor]}_{target.machine}")
    platforms.append(f"linux_{target.machine}")
    interpreter = f"cp{version[0]}{version[1]}"
    yield from cpython_tags(version, [f"{interpreter}{threaded}"], platforms)
    yield from compatible_tags(version, interpreter, platforms)


def _markers(python: CondaPackage, target: Target) -> Mapping[str, str]:
    """Returns the values of markers on the platform (PEP 508)."""
    return {
        "implementation_name": "cpython",
        "implementation_version": python.version,
        "os_name": "posix",
        "platform_machine": target.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": python.version,
        "python_version": ".".join(python.version.split(".")[:2]),
        "sys_platform": "linux",
    }
