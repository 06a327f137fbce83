"""The lock file of an environment for another platform, and the substitution that leads to it. It reads channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from jupyter_condabuild.conda.channels import UNKNOWN
from jupyter_condabuild.conda.cross.levels import Level
from jupyter_condabuild.conda.cross.source import installed
from jupyter_condabuild.conda.cross.substitution import Row, Substitution
from jupyter_condabuild.conda.cross.target import ARCHITECTURES, Target, cuda_of
from jupyter_condabuild.conda.cross.translation import translate
from jupyter_condabuild.conda.cross.wheels import WheelBytes, translate_pip
from jupyter_condabuild.conda.lockfile import Choices, Lockfile, of_packages
from jupyter_condabuild.conda.locking import pip_package
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.errors import LockfileError, NotCompatible, UsageError
from jupyter_condabuild.events import Warning
from jupyter_condabuild.requests.platforms import OtherPlatformRequest
from jupyter_condabuild.text import listed


@dataclass(frozen=True)
class OtherPlatform:
    """The lock file for the platform, the substitution, and the pip packages that have only sources there."""

    lockfile: Lockfile
    substitution: Substitution
    sources_only: tuple[str, ...] = ()
    wheel_bytes: WheelBytes = field(default_factory=WheelBytes)

    @property
    def warnings(self) -> Iterator[Warning]:
        """Yields what a user should look at before an image is made."""
        table = self.substitution
        if rows := [row for row in table.rows if row.level == Level.REQUESTED]:
            yield Warning(
                "other-version",
                f"Packages have another version on {table.platform}: {listed([_change(row) for row in rows], 8)}.",
                "Look at each of them. --strict-versions same-minor refuses them.",
            )
        if self.sources_only:
            yield Warning(
                "pip-source-only",
                f"The package index has no wheels for {table.platform} of {listed(self.sources_only)}, only sources.",
                "The layers engine cannot build them. --engine docker builds them from the lock file.",
            )


def _change(row: Row) -> str:
    return f"{row.name} {row.here.partition('-')[0]} -> {row.there.partition('-')[0]}"


def for_platform(
    lockfile: Lockfile,
    platform: str,
    request: OtherPlatformRequest,
    glibc: str,
    environment: Environment | None = None,
) -> OtherPlatform:
    """Solves an environment again for a platform.

    Args:
        lockfile: the lock file of the environment.
        glibc: the version of glibc that packages may count on.
        environment: the environment; None if there is only its lock file.

    Raises UsageError for a platform that no image can have; LockfileError for a lock file without dependencies;
    NotCompatible if a package has no build there, if there is no solution, or if a package is further from the
    environment's than the request allows; PackageNotFound if a channel cannot be read.
    """
    if platform not in ARCHITECTURES:
        raise UsageError(
            f"An environment cannot be solved for {platform[:40]!r}.", f"Choose one of {', '.join(ARCHITECTURES)}."
        )
    if environment is None and len(lockfile.conda) > 1 and not any(package.depends for package in lockfile.conda):
        raise LockfileError(
            f"The lock file does not say which packages need each other: it cannot be solved again for {platform}.",
            "Use a conda-lock.yml or a pixi.lock, which say it, or give the folder of the environment.",
        )
    cuda = request.cuda or cuda_of((package.name, package.version) for package in lockfile.conda)
    target = Target(platform, glibc, cuda)
    named = environment.channels if environment else lockfile.channels_by_priority
    channels = [channel for channel in named if channel != UNKNOWN]
    found = translate(lockfile, installed(lockfile, environment), channels, target, request.leave_out)
    pip = translate_pip(lockfile, found.lockfile, target, request.leave_out)
    rows = tuple(sorted((*found.substitution.rows, *pip.rows), key=lambda row: (row.manager, row.name)))
    substitution = replace(found.substitution, rows=rows)
    if far := substitution.above(request.strict_versions):
        raise NotCompatible(
            f"For {platform}, packages are further from the environment's than {request.strict_versions}: "
            f"{listed([_change(row) for row in far], 8)}.",
            "Allow more (--strict-versions), or install versions that the channel has for both platforms.",
        )
    packages = [pip_package(package) for package in pip.packages]
    made = of_packages(platform, found.lockfile.conda, packages, found.lockfile.requested)
    made = replace(made, choices=Choices(channels=tuple(channels)))
    return OtherPlatform(made, substitution, pip.sources_only, pip.wheel_bytes)
