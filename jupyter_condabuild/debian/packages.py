"""The packages of Debian that an index lists, and those that a list of names needs.

Source: deb-control(5); Debian Policy, chapter 7, "Declaring relationships between packages".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from jupyter_condabuild.debian.versions import sort_key
from jupyter_condabuild.errors import BaseUnavailable

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{0,100}", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9.+:~-]{1,200}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9+.:_~/%-]{1,500}", re.ASCII)
_QUALIFIER = re.compile(r":[a-z0-9]+|\s*\([^)]*\)|\s*\[[^\]]*\]")
_PRIORITIES = ("required", "important", "standard", "optional")


@dataclass(frozen=True)
class DebianPackage:
    """One package of an index: its fields, and where its archive is.

    `filename` is the path at the mirror `origin`. `size` is the size of the archive in bytes, and `sha256` its hash.
    """

    name: str
    version: str
    filename: str
    size: int
    sha256: str
    origin: str
    fields: Mapping[str, str] = field(hash=False, repr=False)

    @classmethod
    def parse(cls, stanza: str, origin: str) -> DebianPackage:
        """Parses a stanza of an index. Raises BaseUnavailable if a field is missing or not valid."""
        fields = parse_fields(stanza)
        name, version, filename, size, sha256 = (
            fields.get(key, "") for key in ("Package", "Version", "Filename", "Size", "SHA256")
        )
        valid = (
            _NAME.fullmatch(name)
            and _VERSION.fullmatch(version)
            and _PATH.fullmatch(filename)
            and ".." not in filename.split("/")
            and _HASH.fullmatch(sha256)
        )
        if not valid or not size.isdecimal():
            raise BaseUnavailable(f"The index of the mirror {origin} has an entry that is not valid: {name[:100]!r}.")
        return cls(name, version, filename, int(size), sha256, origin, fields)

    @property
    def needs(self) -> Iterator[tuple[str, ...]]:
        """The dependencies. Each is a tuple of names, of which one is enough."""
        for text in (self.fields.get("Pre-Depends", ""), self.fields.get("Depends", "")):
            yield from filter(None, (tuple(_names(item, "|")) for item in text.split(",")))


class PackageIndex:
    """The packages of several indexes. Of each name, it has the newest version."""

    def __init__(self) -> None:
        self._stanzas: dict[str, tuple[str, str]] = {}
        self._providers: dict[str, set[str]] | None = None

    def add(self, text: str, origin: str) -> None:
        """Adds the text of an index, from the mirror `origin`."""
        for stanza in text.split("\n\n"):
            name = stanza.lstrip("\n").partition("\n")[0].removeprefix("Package: ").strip()
            known = self._stanzas.get(name)
            if name and (known is None or sort_key(_version(stanza)) > sort_key(_version(known[0]))):
                self._stanzas[name] = (stanza, origin)

    def find(self, name: str) -> DebianPackage | None:
        """Returns the package with a name; None if there is none. Raises BaseUnavailable."""
        found = self._stanzas.get(name)
        return DebianPackage.parse(*found) if found else None

    def essential(self) -> list[str]:
        """Returns the names of the packages that every Debian has: other packages do not name them as needed."""
        return sorted(name for name, (stanza, _) in self._stanzas.items() if "\nEssential: yes\n" in stanza)

    def closure(self, names: Iterable[str]) -> list[DebianPackage]:
        """Returns the packages with these names, and those that they need, sorted by name.

        The bounds of versions are not compared: the packages of one release of Debian fit together.

        Raises BaseUnavailable if one of them is not in the indexes.
        """
        found: dict[str, DebianPackage] = {}
        wanted: list[tuple[tuple[str, ...], str]] = [((name,), "") for name in names]
        while wanted:
            choices, by = wanted.pop(0)
            if any(choice in found or self._provided(choice) & found.keys() for choice in choices):
                continue
            name = next(filter(None, map(self.choice, choices)), None)
            package = self.find(name) if name else None
            if not package:
                needed = f", which {by} needs" if by else ""
                raise BaseUnavailable(f"The mirror has no package {' or '.join(choices)}{needed}.")
            found[package.name] = package
            wanted += [(needed, package.name) for needed in package.needs]
        return [found[name] for name in sorted(found)]

    def choice(self, name: str) -> str | None:
        """Returns a package with this name, or the most important one that provides it."""
        if name in self._stanzas:
            return name
        return min(self._provided(name), key=lambda provider: (self._priority(provider), provider), default=None)

    def _priority(self, name: str) -> int:
        priority = parse_fields(self._stanzas[name][0]).get("Priority", "")
        return _PRIORITIES.index(priority) if priority in _PRIORITIES else len(_PRIORITIES)

    def _provided(self, name: str) -> set[str]:
        if self._providers is None:
            self._providers = {}
            for provider, (stanza, _) in self._stanzas.items():
                if match := re.search(r"^Provides: (.*)$", stanza, re.MULTILINE):
                    for provided in _names(match[1], ","):
                        self._providers.setdefault(provided, set()).add(provider)
        return self._providers.get(name, set())


def parse_fields(text: str) -> dict[str, str]:
    """Returns the fields of a stanza in the order of the stanza. The lines of a field are joined as they are."""
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line[:1] in (" ", "\t"):
            if name:
                fields[name] += f"\n{line}"
        else:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    return fields


def _names(text: str, separator: str) -> Iterator[str]:
    for item in text.split(separator):
        if name := _QUALIFIER.sub("", item).strip():
            yield name


def _version(stanza: str) -> str:
    match = re.search(r"^Version: (.*)$", stanza, re.MULTILINE)
    return match[1].strip() if match else ""
