"""Installed: a conda package of the environment that is solved again, and what is wanted of it on another platform."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.match_specs import split_depend
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.history import spec_name

_NUMBER = re.compile(r"(?:.*_)?(\d+)(?:_cpython|_cp\d+t?|_pypy\d*)?|(\d+)_.*")


@dataclass(frozen=True)
class Installed:
    """A package of the environment.

    `requested` is the spec that the user requested, empty for a dependency. `wanted` says whether the package itself is
    wanted on the other platform: the user requested it, no package depends on it, or programs can import it. Other
    packages are there only if something needs them.
    """

    package: CondaPackage
    build_number: int | None
    requested: str = ""
    wanted: bool = False
    leaf: bool = False

    @property
    def needed(self) -> bool:
        """Whether no image may lack the package unasked: the user requested it, or no package depends on it."""
        return bool(self.requested) or self.leaf

    @property
    def name(self) -> str:
        """The name of the package."""
        return self.package.name


def installed(
    lockfile: Lockfile, environment: Environment | None = None, specs: Sequence[str] | None = None
) -> tuple[Installed, ...]:
    """Returns the packages of an environment.

    Args:
        lockfile: the lock file of the environment.
        environment: the environment, if it is here: its records have the build numbers, which lock files lack.
        specs: the specs that the user requested. Default: those of the lock file.
    """
    requested = {spec_name(spec): spec for spec in (lockfile.requested if specs is None else specs)}
    numbers = {record.dist: record.build_number for record in environment.records} if environment else {}
    needed = _needed(lockfile)
    found = []
    for package in lockfile.conda:
        leaf = package.name not in needed
        imported = package.subdir == "noarch" or any(split_depend(spec)[0] == "python" for spec in package.depends)
        spec = requested.get(package.name, "")
        found.append(Installed(package, _build_number(package, numbers), spec, bool(spec) or leaf or imported, leaf))
    return tuple(found)


def _needed(lockfile: Lockfile) -> set[str]:
    """Returns the names of the packages that other packages depend on."""
    return {
        name for package in lockfile.conda for name, _ in map(split_depend, package.depends) if name != package.name
    }


def _build_number(package: CondaPackage, numbers: Mapping[str, int]) -> int | None:
    """Returns the build number, from the record, else from the build as conda-build writes it; None if it has none."""
    if package.dist in numbers:
        return numbers[package.dist]
    if package.build_number is not None:
        return package.build_number
    match = _NUMBER.fullmatch(package.build)
    return int(match[1] or match[2]) if match else None
