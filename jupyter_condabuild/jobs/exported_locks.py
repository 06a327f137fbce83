"""The lock files of exported files: for which platforms, and without what others cannot install."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jupyter_condabuild.conda.channels import is_local
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.events import Log, Report, Warning
from jupyter_condabuild.image.glibc import glibc_of
from jupyter_condabuild.planning.inputs import is_for
from jupyter_condabuild.requests.others import ExportRequest
from jupyter_condabuild.text import listed

CI = ("github-actions", "gitlab-ci")
"""The kinds of files that build the image, for all platforms that the setting names."""

_OF_ONE = {"dockerfile": "A Dockerfile", "spdx": "An SBOM", "cyclonedx": "An SBOM"}
"""The kinds of files that are for one platform. The other kinds use an image, whichever platforms it has."""


@dataclass(frozen=True)
class ForPlatforms:
    """The lock files of exported files: that of the first platform, and those of the others.

    `environment` is the environment if the files are for its own platform.
    """

    lockfile: Lockfile
    environment: Environment | None
    others: tuple[Lockfile, ...] = ()
    warnings: tuple[Warning, ...] = ()


def for_platforms(
    request: ExportRequest, lockfile: Lockfile, environment: Environment | None, report: Report
) -> ForPlatforms:
    """Solves an environment or a lock file again for the platforms of a request, where they are others.

    Raises UsageError if the files are for one platform, and the setting `platforms` names several; and the errors of
    `for_platform`.
    """
    solved: list[Lockfile] = []
    warnings: list[Warning] = []
    for platform in _platforms(request, lockfile):
        if is_for(lockfile, platform):
            return ForPlatforms(lockfile, environment)
        from jupyter_condabuild.planning.other_platform import for_platform

        other = for_platform(lockfile, platform, request, glibc_of(request.base), environment)
        solved.append(other.lockfile)
        report(Log(other.substitution.sentence))
        warnings += [warning for warning in other.warnings if warning not in warnings]
    for warning in warnings:
        report(warning)
    return ForPlatforms(solved[0], None, tuple(solved[1:]), tuple(warnings))


def _platforms(request: ExportRequest, lockfile: Lockfile) -> tuple[str, ...]:
    """Returns the platforms of the files; an empty text for that of the lock file."""
    named = tuple(dict.fromkeys(request.default_platforms))
    if request.platform or lockfile.platform.startswith("linux-") or len(named) < 2:
        return (request.platform_of(lockfile),)
    if request.kind in CI:
        return named
    if request.kind in _OF_ONE:
        raise UsageError(
            f"{_OF_ONE[request.kind]} is for one platform, and the setting platforms names {listed(named)}.",
            f"Name one of them: --platform {named[0]}.",
        )
    return named[:1]


def without_local_packages(lockfile: Lockfile) -> tuple[Lockfile, list[str]]:
    """Returns the lock file without pip packages that exist only on this machine, and the names of all local packages.

    The names include the conda packages of channels on this machine. Those packages stay in the lock file.
    """
    kept = tuple(package for package in lockfile.pip if not (package.editable or is_local(package.url)))
    local = [package.name for package in lockfile.pip if package not in kept]
    local += [package.name for package in lockfile.conda if is_local(package.url)]
    return replace(lockfile, pip=kept), local
