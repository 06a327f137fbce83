"""Checks what an extracted package would put into a prefix, before an installer sees the package.

Source: info/paths.json, info/files and info/link.json of conda's package formats (CEP 34); rattler's `link_package`
for the files that an installer reads and writes.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.linking.extracted import METADATA, Extracted, Split, split, target_of
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.paths import link_fault, path_fault
from jupyter_condabuild.errors import LinkFailed, PackageMismatch, UnsafePackage
from jupyter_condabuild.files import read_regular
from jupyter_condabuild.text import clean, size_text

LEAST_METADATA, METADATA_RATIO = 4 << 20, 8
"""A file below info/ may have `LEAST_METADATA` bytes, and `METADATA_RATIO` times the size of the archive above that.

An entry of paths.json has about 200 bytes, of which the 32 of the hash are never compressed."""

_INSTALLERS = frozenset(("bin", "conda-meta", "conda-meta/history"))
"""Paths of the prefix that an installer writes, or writes into, beside the paths of a package."""


@dataclass(frozen=True)
class Checked:
    """A checked package.

    `split` are its paths; None if only an installer can handle the package. `links` are the symbolic links of the
    package in the prefix, and `taken` its other paths, with the folders above them. If the package has `split`, the
    installer writes to `names` instead.
    `noarch_python` says whether the package is a noarch Python package, and `for_version` whether it has files that are
    not the same for another Python; both according to the package itself.
    """

    split: Split | None
    links: frozenset[str]
    taken: frozenset[str]
    names: frozenset[str] = frozenset()
    noarch_python: bool = False
    for_version: bool = False


def collide(packages: Iterable[Checked]) -> bool:
    """Whether one of the packages has a link where another one has a folder or a file.

    An installer that got both at once would write through the link.
    """
    links, taken = set[str](), set[str]()
    for package in packages:
        links |= package.names if package.split else package.links
        taken |= {parent for name in package.names for parent in _parents(name)} if package.split else package.taken
    return not links.isdisjoint(taken)


def most_metadata(package: CondaPackage) -> int:
    """Returns the maximum size in bytes of a file below info/ of a package."""
    return LEAST_METADATA + METADATA_RATIO * (package.size or 0)


def check(package: CondaPackage, extracted: Extracted, site_packages: str) -> Checked:
    """Checks the name of a package, every path that the package names, and every file that an installer reads.

    A file that an installer does not rewrite is checked when it is read: it must be a regular file with its hash.

    Args:
        site_packages: the folder of noarch Python packages, relative to the prefix.

    Raises UnsafePackage, LinkFailed if the package is not complete, or PackageMismatch if it has another name.
    """
    checker = _Checker(package, extracted)
    checker.metadata()
    found = split(extracted, site_packages)
    index = checker.index()
    noarch = index.get("noarch") == "python"
    if noarch and not site_packages:
        raise checker.incomplete("it is a noarch Python package, and the environment has no Python")
    plain = [checker.path(name) for name, _ in found.plain] if found else []
    folders = set[str]()
    checker.folders(plain, folders)
    links: list[str] = []
    taken = {f"conda-meta/{package.dist}.json"}
    plain_places = [target_of(name, site_packages) for name in plain] if noarch else plain
    places = [*plain_places]
    for name, entry in found.links if found else ():
        place = checker.path(entry["_path"])
        checker.folders([checker.path(name)], folders)
        checker.is_link(name, place, "softlink")
        links.append(place)
        places.append(place)
    for entry in found.rewritten if found else checker.entries():
        name = checker.path(entry["_path"])
        place = checker.path(target_of(name, site_packages)) if noarch else name
        checker.folders([name], folders)
        if checker.is_link(name, place, entry.get("path_type")):
            links.append(place)
        else:
            taken.add(place)
        places.append(place)
    commands = [f"bin/{command}" for command in checker.entry_points()]
    for place in places:
        if place.startswith("conda-meta/") and (place.endswith(".json") or place == "conda-meta/history"):
            raise checker.unsafe(place, "only an installer writes records")
    taken |= {*commands, *_INSTALLERS}
    taken |= {parent for place in (*taken, *links) for parent in _parents(place)}
    if links:
        written = Counter((*taken, *plain_places, *links, *{parent for place in places for parent in _parents(place)}))
        for place in links:
            if written[place] > 1:
                raise checker.unsafe(place, "it is a link and something else")
    for_version = noarch and (bool(commands) or any(place.startswith(f"{site_packages}/") for place in places))
    names = found.names_for_installer(package.dist) if found else []
    names = [target_of(name, site_packages) for name in names] if noarch else names
    return Checked(found, frozenset(links), frozenset(taken), frozenset(names), noarch, for_version)


def _parents(path: str) -> Iterator[str]:
    while (slash := path.rfind("/")) > 0:
        path = path[:slash]
        yield path


class _Checker:
    """Reads the metadata of one extracted package, and knows how to name its faults."""

    def __init__(self, package: CondaPackage, extracted: Extracted) -> None:
        self._package = package
        self._dist = package.dist
        self._extracted = extracted
        self._folder = str(extracted.folder)
        self._most = most_metadata(package)

    def unsafe(self, path: object, fault: str) -> UnsafePackage:
        return UnsafePackage(f"{self._dist} contains {str(path)[:200]!r}, which is refused: {fault}.")

    def incomplete(self, fault: str) -> LinkFailed:
        return LinkFailed(f"Cannot link {self._dist}: {fault}.")

    def metadata(self) -> None:
        """Checks that the files that an installer reads are files of the package, and not too large."""
        for name in ("info", *(f"info/{name}" for name in METADATA)):
            try:
                status = os.lstat(f"{self._folder}/{name}")
            except FileNotFoundError:
                continue
            if not (stat.S_ISDIR if name == "info" else stat.S_ISREG)(status.st_mode):
                raise self.unsafe(name, "it must be a file of the package itself")
            if name != "info" and status.st_size > self._most:
                raise self.unsafe(name, f"it has {size_text(status.st_size)}, too much for a package of its size")

    def json(self, name: str) -> Any:
        """Returns the value of a file below info/, or None if there is none."""
        try:
            return json.loads(read_regular(Path(self._folder, "info", name), self._most))
        except FileNotFoundError:
            return None
        except RecursionError:
            raise self.unsafe(f"info/{name}", "its values are nested too deeply") from None
        except (OSError, ValueError) as error:
            raise self.incomplete(f"info/{name} cannot be read ({error})") from None

    def index(self) -> Mapping[str, Any]:
        """Returns info/index.json. The name, version and build there must be those that the lock file states.

        Lists of packages, such as an SBOM, take them from the lock file.
        """
        value = self.json("index.json")
        if not isinstance(value, dict):
            raise self.incomplete("info/index.json is missing or not valid")
        stated = [str(value.get(member)) for member in ("name", "version", "build")]
        if stated != [self._package.name, self._package.version, self._package.build]:
            raise PackageMismatch(
                f"{self._package.fn} is not {self._dist}: the archive contains {clean('-'.join(stated)[:200])}.",
                "Correct the name, version and build of the package in the lock file.",
            )
        return value

    def entries(self) -> Iterator[Mapping[str, Any]]:
        """Yields the entries of paths.json, or of info/files in a package of conda-build 2."""
        value = self.json("paths.json")
        if value is None:
            try:
                lines = Path(self._folder, "info/files").read_bytes().decode().splitlines()
            except (OSError, ValueError):
                raise self.incomplete("its list of files is missing or not valid") from None
            yield from ({"_path": line} for line in lines if line)
            return
        entries = value.get("paths") if isinstance(value, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) and "_path" in entry for entry in entries):
            raise self.incomplete("info/paths.json is not valid")
        yield from entries

    def entry_points(self) -> Iterator[str]:
        """Yields the names of the commands for which an installer writes scripts."""
        value = self.json("link.json")
        noarch = value.get("noarch") if isinstance(value, dict) else None
        points = noarch.get("entry_points") if isinstance(noarch, dict) else None
        for point in points if isinstance(points, list) else ():
            command = str(point).partition("=")[0].strip()
            if (fault := path_fault(command)) or "/" in command:
                raise self.unsafe(command, fault or "an entry point is not a path")
            yield command

    def path(self, path: object) -> str:
        """Returns a path if it lies below its folder."""
        if fault := path_fault(path):
            raise self.unsafe(path, fault)
        assert isinstance(path, str)
        return path

    def folders(self, names: Iterable[str], known: set[str]) -> None:
        """Checks that the folders above paths are folders of the package, and adds them to `known`."""
        for name in names:
            for parent in _parents(name) if name not in self._extracted.apart else ():
                if parent in known:
                    break
                known.add(parent)
                try:
                    mode = os.lstat(f"{self._folder}/{parent}").st_mode
                except FileNotFoundError:
                    raise self.incomplete(f"{parent!r} is missing") from None
                except OSError:  # a file is in the place of a folder above
                    mode = 0
                if not stat.S_ISDIR(mode):
                    raise self.unsafe(name, f"{parent!r} is not a folder of the package")

    def is_link(self, name: str, place: str, kind: object) -> bool:
        """Whether a path of the package is a symbolic link. Checks that it is what the metadata says.

        Args:
            name: the path in the package.
            place: the path in the prefix.
            kind: the ``path_type``; None if the metadata does not say it.
        """
        path = self._extracted.file(name)
        target = self._extracted.target(name)
        try:
            mode = os.lstat(path).st_mode if target is None else stat.S_IFLNK
        except FileNotFoundError:
            raise self.incomplete(f"{name!r} is missing") from None
        except OSError as error:
            raise self.incomplete(f"{name!r} cannot be read ({error.strerror})") from None
        tests = {"hardlink": stat.S_ISREG, "softlink": stat.S_ISLNK, "directory": stat.S_ISDIR}
        expected = tests.get(kind) if isinstance(kind, str) else None
        if not (expected(mode) if expected else stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise self.unsafe(name, "it is not the file that the package's metadata describes")
        if stat.S_ISLNK(mode) and (fault := link_fault(place, target or "")):
            raise self.unsafe(name, fault)
        return stat.S_ISLNK(mode)
