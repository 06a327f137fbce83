"""The job `lock`: reads an environment, its drift from its records, and its lock file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import PipPackage
from jupyter_condabuild.conda.pip_index import find_wheels
from jupyter_condabuild.conda.prefix.drift import Drift, drift
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.events import Report, Warning, phase
from jupyter_condabuild.image.glibc import glibc_of
from jupyter_condabuild.planning.own_files.exclusion import editable_warnings
from jupyter_condabuild.planning.own_files.outside_files import lock_warnings
from jupyter_condabuild.requests.others import LockRequest
from jupyter_condabuild.text import counted, listed

if TYPE_CHECKING:
    from jupyter_condabuild.planning.other_platform import OtherPlatform


@dataclass(frozen=True)
class LockReport:
    """An environment, its drift from its records, its lock file, and the warnings about all of them.

    `others` are the environment on other platforms. `only_others` says whether the lock file is for these alone.
    """

    environment: Environment
    drift: Drift
    lockfile: Lockfile
    warnings: tuple[Warning, ...]
    others: tuple[OtherPlatform, ...] = ()
    only_others: bool = False

    def lockfile_text(self, request: LockRequest) -> str:
        """Returns the lock file in the format of a request."""
        lockfiles = [*([] if self.only_others else [self.lockfile]), *(other.lockfile for other in self.others)]
        return dump(
            lockfiles[0],
            request.format,  # type: ignore[arg-type]  # the request allows only the choices
            name=self.environment.name,
            channels=self.environment.channels,
            hash="md5" if request.md5 else "sha256",
            others=lockfiles[1:],
        )

    def summary(self) -> dict[str, Any]:
        """Returns the report as a JSON object."""
        environment, changes = self.environment, self.drift
        platforms = {"platforms": [other.substitution.to_json() for other in self.others]} if self.others else {}
        return {
            "name": environment.name,
            "prefix": str(environment.prefix),
            "platform": environment.platform,
            "digest": self.lockfile.digest,
            "conda": len(self.lockfile.conda),
            "pip": len(self.lockfile.pip),
            "channels": dict(Counter(package.channel for package in self.lockfile.conda)),
            "requested": list(self.lockfile.requested),
            "modified": [entry.path for entry in changes.modified],
            "missing": [entry.path for entry in changes.missing],
            "untracked": [entry.path for entry in changes.untracked],
            "warnings": [warning.to_json() for warning in self.warnings],
            **platforms,
        }

    def text(self) -> str:
        """Returns the report in a few lines, without the warnings, which `lock_report` reports one by one."""
        lockfile = self.lockfile
        python = f", Python {lockfile.python.version}" if lockfile.python else ""
        pip = f", {len(lockfile.pip)} from pip" if lockfile.pip else ""
        channels = Counter(package.channel for package in lockfile.conda).most_common()
        lines = [
            f"{self.environment.name}: {counted(lockfile.conda, 'conda package')}{pip}{python}, {lockfile.platform}"
        ]
        lines += [f"  {count:4} from {channel}" for channel, count in channels]
        if unknown := _without_hash(lockfile):
            count = counted(unknown, "pip package")
            lines.append(f"  {count} without a hash, which conda-lock needs: --pip-hashes asks the index")
        tables = [line for other in self.others for line in ("", other.substitution.text())]
        return "\n".join([*lines, f"Environment {lockfile.digest}", *tables])


def _without_hash(lockfile: Lockfile) -> list[PipPackage]:
    """Returns the pip packages of indexes whose file is not known."""
    return [package for package in lockfile.pip if not package.sha256 and package.index]


def run(request: LockRequest, report: Report) -> LockReport:
    """Reads an environment and locks it. Asks package indexes if the request does.

    For a platform that is not the environment's, it solves the environment again, and reads the channels.

    Raises PrefixError, and the errors of `other_platform.for_platform`.
    """
    assert request.prefix
    result = lock_report(request.prefix, report, request.exclude_editable)
    if request.platform:
        others = [platform for platform in dict.fromkeys(request.platform) if platform != result.lockfile.platform]
        result = replace(
            result,
            others=tuple(other(result.lockfile, platform, request, report, result.environment) for platform in others),
            only_others=result.lockfile.platform not in request.platform,
        )
    unknown = _without_hash(result.lockfile)
    if not request.pip_hashes or not unknown:
        return result
    found = find_wheels(result.environment)
    packages = [found.get(package, package) for package in result.lockfile.pip]
    if missing := [package.name for package in unknown if package not in found]:
        report(
            Warning(
                "pip-hash-not-found",
                f"The package indexes do not tell which files pip installed for {counted(missing, 'pip package')}: "
                f"{listed(missing)}.",
                "pip may have built them from source. 'conda-lock install' cannot install them from this lock file.",
            )
        )
    locked = result.lockfile
    return replace(result, lockfile=of_packages(locked.platform, locked.conda, packages, locked.requested))


def other(
    lockfile: Lockfile, platform: str, request: LockRequest, report: Report, environment: Environment | None = None
) -> OtherPlatform:
    """Solves an environment, or a lock file alone, again for a platform. Raises the errors of `for_platform`."""
    from jupyter_condabuild.planning.other_platform import for_platform

    with phase(report, "lock"):
        found = for_platform(lockfile, platform, request, glibc_of(request.base), environment)
    for warning in found.warnings:
        report(warning)
    return found


def lock_report(prefix: Path, report: Report, without: Sequence[str] = ()) -> LockReport:
    """Reads the environment at a prefix, locks it and reports its warnings. Raises PrefixError.

    Args:
        without: the names of editable installs to leave out.
    """
    with phase(report, "snapshot"):
        environment = snapshot(prefix, without)
        changes = drift(environment)
    with phase(report, "lock"):
        lockfile = lock(environment)
    left_out = [item.package.name for item in environment.left_out]
    warnings = (
        *environment.warnings,
        *changes.warnings,
        *lock_warnings(environment),
        *editable_warnings(without, left_out),
    )
    for warning in warnings:
        report(warning)
    return LockReport(environment, changes, lockfile, warnings)
