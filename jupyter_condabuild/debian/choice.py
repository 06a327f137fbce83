"""Chooses the packages that a Debian lacks: those that a user names, and those that they need.

A layer can add a package, but cannot replace one of the base. So a package that needs a newer version of a package of
the base is refused, with the reason.

Source: Debian Policy, chapter 7, "Declaring relationships between packages".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from jupyter_condabuild.debian.installed import Installed
from jupyter_condabuild.debian.packages import DebianPackage, PackageIndex
from jupyter_condabuild.debian.relations import Relation, relations
from jupyter_condabuild.errors import DebianPackagesRefused

NAMED = re.compile(r"([a-z0-9][a-z0-9+.-]{1,99})(?:=([0-9][A-Za-z0-9.+:~-]{0,199}))?", re.ASCII)
"""The name of a package, and a version of it if it is wanted (Debian Policy, sections 5.6.1 and 5.6.12)."""

MOST_PACKAGES = 2000
_NEWER_BASE = "Use a newer image as the base, or one that has the packages: --base REFERENCE."


def missing(index: PackageIndex, installed: Installed, names: Sequence[str]) -> list[DebianPackage]:
    """Returns the packages with these names that a system lacks, and those that they need, sorted by name.

    Recommended packages are not among them.

    Args:
        names: names of packages, as ``libgl1`` or ``libgl1=1.6.0-1``.

    Raises:
        DebianPackagesRefused: the mirror does not have a package, a package needs another version of one that the
            system has, or a package does not work with one that the system has.
        BaseUnavailable: the index is not valid.
    """
    added: dict[str, DebianPackage] = {}
    wanted: list[tuple[Sequence[Relation], str]] = []
    for name in names:
        relation = _named(name)
        if relation.name in installed.packages and not _is_met(relation, installed, added):
            version = installed.packages[relation.name].get("Version", "")
            raise DebianPackagesRefused(f"The base has {relation.name} {version[:100]}, not {name}.", _NEWER_BASE)
        wanted.append(((relation,), ""))
    while wanted:
        choices, by = wanted.pop(0)
        if any(_is_met(choice, installed, added) for choice in choices):
            continue
        package = next(_candidates(index, installed, added, choices), None)
        if not package:
            raise _unmet(index, installed, choices, by)
        added[package.name] = package
        if len(added) > MOST_PACKAGES:
            raise DebianPackagesRefused(f"More than {MOST_PACKAGES} packages are needed.", "Name other packages.")
        wanted += [(needed, package.name) for needed in _needs(package.fields)]
    _check_conflicts(installed, added)
    return [added[name] for name in sorted(added)]


def _named(name: str) -> Relation:
    match = NAMED.fullmatch(name)
    if not match:
        raise DebianPackagesRefused(f"{name[:100]!r} is not the name of a package of Debian.", "Write it as libgl1.")
    return Relation(match[1], "=" if match[2] else "", match[2] or "")


def _needs(fields: Mapping[str, str]) -> Iterator[tuple[Relation, ...]]:
    for name in ("Pre-Depends", "Depends"):
        yield from relations(fields.get(name, ""))


def _is_met(relation: Relation, installed: Installed, added: Mapping[str, DebianPackage]) -> bool:
    fields = [*installed.packages.values(), *(package.fields for package in added.values())]
    return any(relation.is_met_by(one) for one in fields)


def _candidates(
    index: PackageIndex, installed: Installed, added: Mapping[str, DebianPackage], choices: Sequence[Relation]
) -> Iterator[DebianPackage]:
    """Yields the packages of the mirror that can be added and are one of the choices."""
    for choice in choices:
        name = index.choice(choice.name)
        package = index.find(name) if name and name not in installed.packages and name not in added else None
        if package and choice.is_met_by(package.fields):
            yield package


def _unmet(index: PackageIndex, installed: Installed, choices: Sequence[Relation], by: str) -> DebianPackagesRefused:
    needed = " or ".join(map(str, choices))
    for choice in choices:
        if has := installed.packages.get(choice.name):
            version = has.get("Version", "")[:100]
            return DebianPackagesRefused(f"{by} needs {needed}, and the base has {choice.name} {version}.", _NEWER_BASE)
    found = index.find(choices[0].name) if not by else None
    if found:
        return DebianPackagesRefused(
            f"The mirror of Debian has {found.name} {found.version}, not {choices[0].version}.",
            "Leave the version out, or set mirrors that have it: debian_mirrors with snapshot.debian.org.",
        )
    which = f", which {by} needs" if by else ""
    return DebianPackagesRefused(
        f"The mirror of Debian has no package {needed}{which} in {installed.suite}.",
        "Search its name: https://packages.debian.org.",
    )


def _check_conflicts(installed: Installed, added: Mapping[str, DebianPackage]) -> None:
    """Raises DebianPackagesRefused if two packages do not work together, and one of them is added."""
    new = {name: package.fields for name, package in added.items()}
    every = {**installed.packages, **new}
    for one, fields in every.items():
        for relation in _conflicts(fields):
            # A package may conflict with the name that it provides: then it does not mean itself.
            for other in every if one in new else new:
                if other != one and relation.is_met_by(every[other]):
                    raise DebianPackagesRefused(
                        f"{one} does not work with {other} {every[other].get('Version', '')[:100]} ({relation}).",
                        "Name other packages, or use another base.",
                    )


def _conflicts(fields: Mapping[str, str]) -> Iterator[Relation]:
    for name in ("Conflicts", "Breaks"):
        for choices in relations(fields.get(name, "")):
            yield from choices
