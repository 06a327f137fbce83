"""The job `diff`: the differences between two environments. Each is a folder, a lock file, or an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import CondaPackage, PipPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.events import Report
from jupyter_condabuild.image.opener import lock_in, open_image
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.planning.inputs import read_lockfile
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.others import DiffRequest
from jupyter_condabuild.requests.source import LockfileRequest
from jupyter_condabuild.text import counted


@dataclass(frozen=True)
class Change:
    """A package that differs between two environments.

    `before` and `after` are the versions with builds; empty if the environment does not have the package. `kind` is
    ``rebuilt`` if version and build are the same, but the archives differ.
    """

    name: str
    manager: Literal["conda", "pip"]
    kind: Literal["added", "removed", "changed", "rebuilt"]
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        pip = " (pip)" if self.manager == "pip" else ""
        match self.kind:
            case "added":
                return f"+ {self.name} {self.after}{pip}"
            case "removed":
                return f"- {self.name} {self.before}{pip}"
            case "changed":
                return f"~ {self.name} {self.before} -> {self.after}{pip}"
        return f"~ {self.name} {self.before}: the same version, another archive{pip}"


@dataclass(frozen=True)
class Difference:
    """All changes from one environment to another, sorted by name, and the number of packages that are the same.

    `before` and `after` are the digests of the two lock files.
    """

    changes: tuple[Change, ...]
    same: int
    before: str
    after: str
    platforms: tuple[str, str]

    def summary(self) -> dict[str, Any]:
        """Returns the difference as a JSON object."""
        return {
            "equal": self.before == self.after,
            "before": self.before,
            "after": self.after,
            "same": self.same,
            "changes": [asdict(change) for change in self.changes],
        }

    def text(self) -> str:
        """Returns a line for each change, and a line with the numbers of changed and unchanged packages."""
        lines = [str(change) for change in self.changes]
        if self.platforms[0] != self.platforms[1]:
            lines.insert(0, f"~ platform {self.platforms[0]} -> {self.platforms[1]}")
        rest = f"{counted(self.same, 'package')} the same"
        return "\n".join([*lines, f"{len(self.changes)} changed, {rest}." if lines else f"No difference: {rest}."])


def run(request: DiffRequest, report: Report) -> Difference:
    """Compares the two environments of a request. Raises the errors of `locked`."""
    with open_job(request, report) as job:
        return compare(locked(request.before, request, job), locked(request.after, request, job))


def compare(before: Lockfile, after: Lockfile) -> Difference:
    """Returns the changes from the lock file `before` to the lock file `after`."""
    left, right = _packages(before), _packages(after)
    changes, same = [], 0
    for key in sorted(left.keys() | right.keys()):
        name, manager = key
        old, new = left.get(key), right.get(key)
        if old is None and new is not None:
            changes.append(Change(name, manager, "added", "", _version(new)))
        elif new is None and old is not None:
            changes.append(Change(name, manager, "removed", _version(old)))
        elif old is not None and new is not None:
            if _version(old) != _version(new):
                changes.append(Change(name, manager, "changed", _version(old), _version(new)))
            elif _another_archive(old, new):
                changes.append(Change(name, manager, "rebuilt", _version(old), _version(new)))
            else:
                same += 1
    return Difference(tuple(changes), same, before.digest, after.digest, (before.platform, after.platform))


def locked(name: str, request: LockfileRequest, job: JobContext) -> Lockfile:
    """Returns the lock file of an environment's folder, of a lock file's path, or inside an image.

    The request says what is read from a lock file's path.

    Raises PrefixError, LockfileError, and the errors of `open_image`.
    """
    path = Path(name)
    if path.is_dir() and (path / "conda-meta").is_dir():
        return lock(snapshot(path))
    if path.is_file() and path.suffix != ".tar":
        return read_lockfile(path, request, job.report, check=False)
    if path.is_dir() and not (path / "oci-layout").is_file():
        return lock(snapshot(path))  # raises the error that says why the folder is not an environment
    return lock_in(open_image(ImageLocation.parse_any(name), job))


_Package = CondaPackage | PipPackage


def _packages(lockfile: Lockfile) -> Mapping[tuple[str, Literal["conda", "pip"]], _Package]:
    conda: dict[tuple[str, Literal["conda", "pip"]], _Package] = {
        (package.name, "conda"): package for package in lockfile.conda
    }
    return conda | {(package.name, "pip"): package for package in lockfile.pip}


def _version(package: _Package) -> str:
    return f"{package.version}-{package.build}" if isinstance(package, CondaPackage) else package.version


def _another_archive(old: _Package, new: _Package) -> bool:
    """Whether two packages of the same version have different archives.

    The hashes decide if both packages have them. Otherwise only pip packages with different URLs count as different.
    """
    if old.sha256 and new.sha256:
        return old.sha256 != new.sha256
    if isinstance(old, CondaPackage) and isinstance(new, CondaPackage):
        return bool(old.md5 and new.md5) and old.md5 != new.md5
    return old.url != new.url
