"""Translates the lock file of an environment for another platform, and says what becomes of each package."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jupyter_condabuild.conda.cross import reasons
from jupyter_condabuild.conda.cross.counterparts import counterpart
from jupyter_condabuild.conda.cross.levels import Level, level_of
from jupyter_condabuild.conda.cross.solver import Solver, explain_missing
from jupyter_condabuild.conda.cross.source import Installed
from jupyter_condabuild.conda.cross.substitution import Row, Substitution
from jupyter_condabuild.conda.cross.target import Target
from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.match_specs import split_depend
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.solving import locked_package
from jupyter_condabuild.errors import UsageError


@dataclass(frozen=True)
class Translation:
    """The lock file for the other platform, and the substitution that leads to it."""

    lockfile: Lockfile
    substitution: Substitution


def translate(
    lockfile: Lockfile,
    items: Sequence[Installed],
    channels: Sequence[str],
    target: Target,
    leave_out: Sequence[str] = (),
) -> Translation:
    """Solves the conda packages of an environment again for a platform. Reads channels; runs nothing of any package.

    Args:
        lockfile: the lock file of the environment.
        items: its packages (see `source.installed`).
        channels: the URLs of its channels, in order of priority.
        leave_out: the names of packages that the image can do without.

    Raises NotCompatible if a wanted package has no build for the platform, or if there is no solution; PackageNotFound
    if the channels cannot be read; UsageError if the environment has no package that is to be left out.
    """
    names = {item.name for item in items}
    if unknown := sorted(set(leave_out) - names - {package.name for package in lockfile.pip}):
        raise UsageError(
            f"The environment has no package {unknown[0]!r} to leave out.", "Write the name as 'conda list' shows it."
        )
    kept = [item for item in items if item.name not in leave_out and not counterpart(item.name, target.platform)]
    solver = Solver(kept, channels, target)
    records, numbers = asyncio.run(_solve(solver))
    packages = {package.name: package for package in records}
    lost = [item.name for item in kept if item.needed and item.name not in packages]
    if lost:
        raise explain_missing(lost, target)
    rows = _rows(items, packages, numbers, set(leave_out), solver, target)
    requested = [spec for item in kept if (spec := item.requested) and item.name in packages]
    found = of_packages(target.platform, list(packages.values()), (), sorted(requested))
    return Translation(found, Substitution(lockfile.platform, target.platform, target.glibc, target.cuda, rows))


async def _solve(solver: Solver) -> tuple[list[CondaPackage], dict[str, int]]:
    await solver.read()
    records = await solver.solve()
    return [locked_package(record) for record in records], {
        record.name.normalized: record.build_number for record in records
    }


def _rows(
    items: Sequence[Installed],
    packages: Mapping[str, CondaPackage],
    numbers: Mapping[str, int],
    leave_out: set[str],
    solver: Solver,
    target: Target,
) -> tuple[Row, ...]:
    rows = []
    for item in items:
        here = f"{item.package.version}-{item.package.build}"
        there = packages.get(item.name)
        if there:
            level = level_of(item, there.version, numbers.get(item.name))
            rows.append(Row(item.name, here, f"{there.version}-{there.build}", level, _why(item, level, solver)))
            continue
        known = counterpart(item.name, target.platform)
        other = packages.get(known.there) if known else None
        name = f"{other.name} {other.version}-{other.build}" if other else ""
        rows.append(Row(item.name, here, name, Level.LEFT_OUT, _why_left_out(item, leave_out, solver, target)))
    known_names = {item.name for item in items}
    for name, package in packages.items():
        if name not in known_names:
            needing = sorted(
                other.name
                for other in packages.values()
                if any(split_depend(spec)[0] == name for spec in other.depends)
            )
            why = reasons.NEEDED.format(needing[0]) if needing else ""
            rows.append(Row(name, "", f"{package.version}-{package.build}", Level.ADDED, why))
    return tuple(sorted(rows, key=lambda row: row.name))


def _why(item: Installed, level: Level, solver: Solver) -> str:
    if level == Level.BUILD:
        return ""
    if level == Level.VERSION:
        return reasons.OTHER_BUILD
    if item.package.version not in solver.versions.get(item.name, ()):
        return reasons.NO_VERSION.format(item.package.version)
    return reasons.NO_FIT.format(item.package.version)


def _why_left_out(item: Installed, leave_out: set[str], solver: Solver, target: Target) -> str:
    if item.name in leave_out:
        return reasons.AS_ASKED
    if known := counterpart(item.name, target.platform):
        return known.why
    if item.name not in solver.versions:
        return reasons.NO_PACKAGE.format(target.platform)
    return reasons.UNNEEDED
