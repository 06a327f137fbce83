"""Level: how close a package on another platform is to the one that the environment has."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_condabuild.conda.cross.source import Installed


class Level(StrEnum):
    """The levels, from the closest. The first four are tried one after the other."""

    BUILD = "same-build"
    VERSION = "same-version"
    MINOR = "same-minor"
    REQUESTED = "as-requested"
    ADDED = "added"
    LEFT_OUT = "left-out"
    MISSING = "missing"


TRIED = (Level.BUILD, Level.VERSION, Level.MINOR, Level.REQUESTED)
"""The levels of a package that is on both platforms."""


def level_of(item: Installed, version: str, build_number: int | None) -> Level:
    """Returns the level of a package with the same name."""
    if version == item.package.version:
        same = item.build_number is not None and build_number == item.build_number
        return Level.BUILD if same else Level.VERSION
    return Level.MINOR if minor(version) == minor(item.package.version) else Level.REQUESTED


def minor(version: str) -> str:
    """Returns the first two parts of a version."""
    return ".".join(version.split(".")[:2])


def ladder(item: Installed, candidates: list[Any]) -> list[tuple[Level, str]]:
    """Returns the levels that a channel has candidates for, each with its match spec, from the closest.

    The last one is what the user requested; of a dependency, any version.

    Args:
        candidates: the records of the other platform with the name of the package.
    """
    name, version, number = item.name, item.package.version, item.build_number
    same = [record for record in candidates if str(record.version) == version]
    alike = [record for record in candidates if minor(str(record.version)) == minor(version)]
    built = [record for record in same if record.build_number == number]
    steps = []
    if built:
        steps.append((Level.BUILD, f"{name}[version='=={version}', build_number={number}]"))
    if len(same) > len(built):
        steps.append((Level.VERSION, f"{name} =={version}"))
    if len(alike) > len(same) and "." in version:
        steps.append((Level.MINOR, f"{name} {minor(version)}.*"))
    return [*steps, (Level.REQUESTED, as_requested(item, candidates))]


def as_requested(item: Installed, candidates: list[Any]) -> str:
    """Returns what the user requested, without what is true of one platform alone.

    A build stays if the other platform has such a build. The request of one archive, as installers of lock files make
    it, says only the name: nobody chose this version by hand.
    """
    from rattler import MatchSpec

    try:
        spec = MatchSpec(item.requested) if item.requested else None
    except Exception:  # noqa: BLE001  rattler raises several types
        return item.name
    if spec is None or spec.md5 or spec.sha256 or not spec.version:
        return item.name
    plain = f"{item.name}[version='{spec.version}']"
    if spec.build:
        built = f"{item.name}[version='{spec.version}', build='{spec.build}']"
        if any(MatchSpec(built).matches(record) for record in candidates):
            return built
    return plain
