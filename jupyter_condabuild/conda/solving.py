"""Replaces packages of a lock file by other versions, or adds one, if it fits all other packages. rattler solves it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jupyter_condabuild.conda.clients import make_client
from jupyter_condabuild.conda.cross.conflicts import named_in, offered
from jupyter_condabuild.conda.cross.target import LINUX, Target
from jupyter_condabuild.conda.linking.installer import rattler_record
from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.match_specs import merged_depends, split_depend
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.secrets import scrub, scrub_url
from jupyter_condabuild.errors import NotCompatible, PackageNotFound, UsageError
from jupyter_condabuild.text import listed

_OLDEST_GLIBC = "2.17"
_SECONDS = 600
_NAMED = 3
_VIRTUAL = re.compile(r"\b__[a-z]+\b")


def with_versions(lockfile: Lockfile, specs: Sequence[str]) -> Lockfile:
    """Returns the lock file with other versions of some packages. All other packages stay as they are.

    The channels are those of the lock file. A dependency that the lock file does not have may be added.

    Args:
        specs: match specs, such as ``openssl=3.0.8``. Each names a package of the lock file.

    Raises UsageError if a spec is not valid or names no package of the lock file, and NotCompatible with the solver's
    reason if the versions do not fit the other packages or are not available, PackageNotFound if a channel cannot be
    read.
    """
    wanted = {_name(spec, lockfile): spec for spec in specs}
    conda = _solved(
        lockfile, wanted, "Name a version that fits, or build the image again from an environment with these versions."
    )
    requested = [wanted.pop(split_depend(spec)[0], spec) for spec in lockfile.requested]
    return of_packages(lockfile.platform, conda, lockfile.pip, requested)


def with_added(lockfile: Lockfile, name: str) -> Lockfile:
    """Returns the lock file with one more package, and with what that package needs. All its packages stay as they are.

    Args:
        name: the name of a package that the lock file does not have.

    Raises NotCompatible with the solver's reason if no version fits the packages, PackageNotFound if a channel cannot
    be read.
    """
    conda = _solved(lockfile, {name: name}, f"Build the image again from an environment with {name}.")
    return of_packages(lockfile.platform, conda, lockfile.pip, (*lockfile.requested, name))


def _solved(lockfile: Lockfile, wanted: Mapping[str, str], hint: str) -> list[CondaPackage]:
    """Returns the packages of a lock file with those that are wanted, in their place or besides.

    Args:
        wanted: the match specs, by the name of the package.
        hint: what to do if they do not fit.
    """
    import asyncio

    from rattler.exceptions import SolverError

    kept = [package for package in lockfile.conda if package.name not in wanted]
    try:
        records = asyncio.run(_solve(lockfile, kept, list(wanted.values())))
    except SolverError as error:
        raise asyncio.run(_misfit(lockfile, wanted, " ".join(scrub(str(error)).split()), hint)) from None
    except Exception as error:  # noqa: BLE001  rattler raises many types
        reason = " ".join(scrub(str(error)).split())
        raise PackageNotFound(
            f"The channels of the image cannot be read: {reason}", "Check that this machine can reach the channels."
        ) from None
    known = {package.name: package for package in kept}
    packages = [known.get(record.name.normalized) or locked_package(record) for record in records]
    if missing := known.keys() - {package.name for package in packages}:
        raise NotCompatible(f"{', '.join(wanted.values())} would remove {', '.join(sorted(missing))}.")
    return packages


async def _misfit(lockfile: Lockfile, wanted: Mapping[str, str], reason: str, hint: str) -> NotCompatible:
    """Returns the error of versions that do not fit the image, or that no channel has, from the solver's text.

    Args:
        wanted: the match specs, by the name of the package.
    """
    from rattler import MatchSpec

    missing, offers = [], []
    for name, spec in wanted.items():
        records = await _query(lockfile, name)
        offers.append(offered(name, (str(record.version) for record in records)))
        missing += [] if any(MatchSpec(spec).matches(record) for record in records) else [spec]
    kept = {package.name: f"{package.name} {package.version}" for package in lockfile.conda}
    virtual = {word: f"the system of the image ({word})" for word in _VIRTUAL.findall(reason)}
    others = [(kept | virtual)[name] for name in named_in(reason, (kept | virtual).keys() - wanted.keys())]
    misfits = listed(others, _NAMED) or "the other packages of the image"
    fault = f"{listed(list(wanted.values()))} does not fit {misfits}"
    if missing:
        fault = f"The channels of the image have no {listed(missing)}"
    return NotCompatible(f"{fault}. {' '.join(offers)}", hint)


async def _query(lockfile: Lockfile, name: str) -> list[Any]:
    """Returns the records that the channels of a lock file have under a name; none if they cannot be read."""
    import rattler

    platforms: Any = [lockfile.platform, "noarch"]
    gateway = rattler.Gateway(client=make_client(lockfile.channels, retries=2, seconds=_SECONDS))
    try:
        found = await gateway.query(list(lockfile.channels), platforms, [name], recursive=False)
    except Exception:  # noqa: BLE001  rattler raises many types
        return []
    return [record for records in found for record in records]


def _name(spec: str, lockfile: Lockfile) -> str:
    from rattler import MatchSpec

    try:
        name = str(MatchSpec(spec).name.normalized)
    except Exception as error:  # noqa: BLE001  rattler raises several types
        raise UsageError(
            f"{spec[:200]!r} is no package with a version: {error}.", "Write it as NAME=VERSION."
        ) from None
    if name not in {package.name for package in lockfile.conda}:
        raise UsageError(
            f"The image has no conda package {name!r}.", "'jupyter condabuild licenses IMAGE' lists its packages."
        )
    return name


async def _solve(lockfile: Lockfile, kept: Sequence[CondaPackage], specs: Sequence[str]) -> list[Any]:
    import rattler

    platforms: Any = [lockfile.platform, "noarch"]
    gateway = rattler.Gateway(client=make_client(lockfile.channels, retries=2, seconds=_SECONDS))
    return await rattler.solve(
        list(lockfile.channels),
        [*specs, *(f"{package.name} =={package.version} {package.build}" for package in kept)],
        gateway,
        platforms=platforms,
        # A channel may have lost a package that the image has.
        locked_packages=[rattler_record(package, package.url) for package in kept],
        virtual_packages=_target(lockfile).virtual_packages(),
        channel_priority=rattler.ChannelPriority.Disabled,  # a lock file does not know the order of the channels
    )


def _target(lockfile: Lockfile) -> Target:
    """Returns the system that the packages of the lock file need: where the image runs, there is at least this."""
    return Target(
        lockfile.platform,
        glibc=_needed(lockfile, "__glibc") or _OLDEST_GLIBC,
        cuda=_needed(lockfile, "__cuda"),
        linux=_needed(lockfile, "__linux") or LINUX,
    )


def _needed(lockfile: Lockfile, name: str) -> str:
    """Returns the highest version of a virtual package that a package of the lock file needs at least; or empty."""
    specs = (split_depend(depend) for package in lockfile.conda for depend in package.depends)
    versions = [match[1] for found, rest in specs if found == name for match in re.finditer(r">=([\d.]*\d)", rest)]
    return max(versions, key=lambda version: tuple(map(int, version.split("."))), default="")


def locked_package(record: Any) -> CondaPackage:
    """Returns the package of a solved record, in the form of a lock file."""
    return CondaPackage(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        subdir=record.subdir,
        url=scrub_url(record.url),
        sha256=record.sha256.hex() if record.sha256 else "",
        md5=record.md5.hex() if record.md5 else "",
        size=record.size,
        depends=merged_depends(record.depends),
    ).with_noarch(_noarch(record))


def _noarch(record: Any) -> str:
    return "python" if record.noarch.python else "generic" if record.noarch.generic else ""


def changed(before: Lockfile, after: Lockfile) -> dict[str, CondaPackage]:
    """Returns the packages of `after` that `before` does not have, by name."""
    known = set(before.conda)
    return {package.name: package for package in after.conda if package not in known}
