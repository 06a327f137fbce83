"""Additions: packages that are added to a Debian, and the paths of the layer that adds them.

No script of a package is executed: neither the scripts of its installation nor the triggers of other packages, such as
ldconfig. The loader finds the libraries in ``/usr/lib/<architecture>`` without the cache of ldconfig (ld.so(8)).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jupyter_condabuild.debian.archive import Member, Unpacked
from jupyter_condabuild.debian.base import check_folders, fetched, read_index
from jupyter_condabuild.debian.choice import missing
from jupyter_condabuild.debian.installed import Installed
from jupyter_condabuild.debian.mirror import Mirror
from jupyter_condabuild.debian.packages import DebianPackage
from jupyter_condabuild.debian.places import Place, Places
from jupyter_condabuild.debian.system_files import info_of, stanza_of
from jupyter_condabuild.errors import DebianPackagesRefused
from jupyter_condabuild.system.names import name_bytes

ADDITIONS_VERSION = 1
"""Part of the key of the layer. Raise this number with every change that makes other files of the same packages."""


@dataclass(frozen=True)
class Contents:
    """The paths of a layer, and what a person should know about it.

    `scripts` are the packages with a script that runs at the installation, which was not executed. `privileged` are the
    files that lost their setuid or setgid bit.
    """

    members: tuple[Member, ...]
    scripts: tuple[str, ...]
    privileged: tuple[str, ...]


@dataclass(frozen=True)
class Additions:
    """The packages that a system lacks, sorted by name, from mirrors."""

    installed: Installed
    packages: tuple[DebianPackage, ...]
    mirrors: tuple[Mirror, ...]

    @property
    def key(self) -> str:
        """A hexadecimal digest that is equal for equal packages, whatever mirror they come from."""
        text = "\n".join([f"additions {ADDITIONS_VERSION}", *sorted(package.sha256 for package in self.packages)])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def size(self) -> int:
        """The size of the packages in bytes. The layer has about the same."""
        return sum(package.size for package in self.packages)

    def contents(self, folder: Path, places: Places) -> Contents:
        """Downloads and unpacks the packages into an empty folder, and returns what the layer has.

        Raises DebianPackagesRefused, BaseUnavailable, UnsafePackage or OSError.
        """
        unpacked = fetched(self.packages, self.mirrors, folder)
        pairs = list(zip(self.packages, unpacked, strict=True))
        found: dict[str, Member] = {}
        for package, one in pairs:
            for path, member in _placed(package, one, places):
                other = found.get(path)
                if other and (other.kind, other.target) != (member.kind, member.target):
                    raise _twice(package.name, path)
                if other and member.kind == "file":
                    raise _twice(package.name, path)
                found[path] = member
        for member in self._database(pairs):
            path = places.real(member.path, follow=False)
            found[path] = _at(path, member)
        check_folders(found)
        found |= _parents(found, places) | _hard_links(found)
        scripts = [package.name for package, one in pairs if {"preinst", "postinst"} & one.control.keys()]
        privileged = [path for one in unpacked for path in one.privileged]
        return Contents(tuple(found.values()), tuple(scripts), tuple(privileged))

    def _database(self, pairs: Sequence[tuple[DebianPackage, Unpacked]]) -> Iterator[Member]:
        """Yields the files by which dpkg, apt and scanners know the packages."""
        stanzas = {package.name: stanza_of(package, one) for package, one in pairs}
        for path, text in self.installed.with_packages(stanzas).items():
            yield Member(path, "file", 0o644, data=text.encode("utf-8", "surrogateescape"))
        if self.installed.status is not None:
            for package, one in pairs:
                yield from info_of(package, one)


def find_additions(
    installed: Installed,
    names: Sequence[str],
    architecture: str,
    urls: Sequence[str],
    kept: Callable[[str, int, Iterator[bytes]], bytes],
    say: Callable[[str], None],
) -> Additions:
    """Finds the packages with these names, and those that they need, at mirrors. The other arguments are those of
    `base.find_base`.

    Raises DebianPackagesRefused, BaseUnavailable.
    """
    index, _, mirrors = read_index(installed.suite, architecture, urls, kept, say)
    return Additions(installed, tuple(missing(index, installed, names)), mirrors)


def _placed(package: DebianPackage, unpacked: Unpacked, places: Places) -> Iterator[tuple[str, Member]]:
    """Yields what a package adds, at the paths that the links of the system lead to, as ``/lib`` to ``/usr/lib``.

    A folder of the system stays as it is, and so does a configuration file that the system has.

    Raises DebianPackagesRefused if the system has something else at a path.
    """
    lines = unpacked.control.get("conffiles", b"").decode(errors="replace").splitlines()
    configuration = {line.strip() for line in lines}
    for member in unpacked.members:
        path = places.real(member.path, follow=member.kind == "directory")
        there = places.by_path.get(path)
        if not path or (there and there.kind == member.kind == "directory"):
            continue
        if there and f"/{member.path}" in configuration:
            continue
        if there and not (there.kind == member.kind == "symlink" and there.target == member.target):
            raise DebianPackagesRefused(
                f"The base has /{path[:200]} already, which the package {package.name} brings.",
                "Use a base without this file, or leave the package out.",
            )
        if not there:
            yield path, _at(path, member)


def _at(path: str, member: Member) -> Member:
    return Member(path, member.kind, member.mode, member.source, member.data, member.target)


def _parents(found: Mapping[str, Member], places: Places) -> dict[str, Member]:
    """Returns the folders of the system above paths, as they are: a layer that has a path has its folders, too.

    Raises DebianPackagesRefused if a layer of ours cannot have such a folder.
    """
    parents: dict[str, Member] = {}
    for path in found:
        while (path := path.rpartition("/")[0]) and path not in parents:
            if path in found or not (there := places.by_path.get(path)):
                continue
            parents[path] = _folder(path, there)
    return parents


def _folder(path: str, there: Place) -> Member:
    if there.kind != "directory" or there.user != there.group:
        fault = "is not a folder" if there.kind != "directory" else "belongs to a user and to another group"
        raise DebianPackagesRefused(f"/{path[:200]} of the base {fault}, and a package has files in it.")
    return Member(path, "directory", there.mode, owner=there.user)


def _hard_links(found: Mapping[str, Member]) -> dict[str, Member]:
    """Returns the paths that have the file of a path before them, as hard links: the layer has each file once."""
    firsts: dict[str, str] = {}
    links: dict[str, Member] = {}
    for path in sorted(found, key=name_bytes):
        member = found[path]
        first = firsts.setdefault(member.source, path) if member.source else path
        if first != path:
            links[path] = Member(path, "hardlink", member.mode, target=first)
    return links


def _twice(name: str, path: str) -> DebianPackagesRefused:
    return DebianPackagesRefused(f"The package {name} has /{path[:200]}, which another package has, too.")
