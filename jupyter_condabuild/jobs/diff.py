"""The job `diff`: the differences between two environments. Each is a folder, a lock file, or an image."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import CondaPackage, PipPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import NotThere
from jupyter_condabuild.events import Report
from jupyter_condabuild.image import kept_images
from jupyter_condabuild.image.opener import lock_in, open_image
from jupyter_condabuild.image.platforms import PLATFORMS, architecture_of, host_architecture
from jupyter_condabuild.jobs.own_contents import Contents, of_image, of_prefix
from jupyter_condabuild.oci.image import Digest, Image
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.planning.inputs import read_lockfile
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.others import DiffRequest
from jupyter_condabuild.requests.source import LockfileRequest
from jupyter_condabuild.text import as_unicode, counted, printable

MOST_FILES = 1000
"""The highest number of files that are listed. All files are counted."""


@dataclass(frozen=True)
class Change:
    """A package or a file that differs between two environments.

    `before` and `after` are the versions with builds; empty if the environment does not have the package. `kind` is
    ``rebuilt`` if version and build are the same, but the archives differ. For a file that no package brings, `manager`
    is ``file``, `name` is its path, and `before` and `after` say its size, its target, or that it is deleted.
    """

    name: str
    manager: Literal["conda", "pip", "file"]
    kind: Literal["added", "removed", "changed", "rebuilt"]
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        pip = {"pip": " (pip)", "file": " (file)"}.get(self.manager, "")
        name, before, after = map(printable, (self.name, self.before, self.after))
        match self.kind:
            case "added":
                return f"+ {name} {after}{pip}"
            case "removed":
                return f"- {name} {before}{pip}"
            case "changed":
                same = self.manager == "file" and self.before == self.after
                values = f"{after}, other content" if same else f"{before} -> {after}"
                return f"~ {name} {values}{pip}"
        return f"~ {name} {before}: the same version, another archive{pip}"


@dataclass(frozen=True)
class Difference:
    """All changes from one environment to another, sorted by name, and the number of packages that are the same.

    `before` and `after` are the digests of the two lock files. `files_compared` says whether the files that no package
    brings were compared, too. A lock file and an image of the docker engine do not have them.
    """

    changes: tuple[Change, ...]
    same: int
    before: str
    after: str
    platforms: tuple[str, str]
    files_compared: bool = False

    def summary(self) -> dict[str, Any]:
        """Returns the difference as a JSON object."""
        return {
            "equal": self.before == self.after and not self.changes,
            "before": self.before,
            "after": self.after,
            "same": self.same,
            "files_compared": self.files_compared,
            "files_changed": len(self._files),
            "changes": [asdict(change) for change in (*self._packages, *self._files[:MOST_FILES])],
        }

    def text(self) -> str:
        """Returns a line for each change, and a line with the numbers of changed and unchanged packages."""
        lines = [str(change) for change in (*self._packages, *self._files[:MOST_FILES])]
        if len(self._files) > MOST_FILES:
            lines.append(f"~ and {len(self._files) - MOST_FILES} more files")
        if self.platforms[0] != self.platforms[1]:
            lines.insert(0, f"~ platform {self.platforms[0]} -> {self.platforms[1]}")
        rest = f"{counted(self.same, 'package')} the same"
        files = "" if self.files_compared else " Files that belong to no package were not compared."
        changed = f"{len(self.changes)} changed, {rest}." if lines else f"No difference: {rest}."
        return "\n".join([*lines, f"{changed}{files}"])

    @property
    def _packages(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.manager != "file")

    @property
    def _files(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.manager == "file")


def run(request: DiffRequest, report: Report) -> Difference:
    """Compares the two environments of a request. Raises the errors of `locked`."""
    with open_job(request, report) as job:
        before, after = _side(request.before, request, job), _side(request.after, request, job)
        difference = compare(before.lockfile, after.lockfile)
        old = before.contents() if before.contents and after.contents else None
        new = after.contents() if after.contents and old is not None else None
        if old is None or new is None:
            return difference
        return replace(difference, changes=(*difference.changes, *_files(old, new)), files_compared=True)


class _Side(NamedTuple):
    """One of the two environments. `contents` reads its files; None if they are not known."""

    lockfile: Lockfile
    contents: Callable[[], Contents | None] | None = None


def _side(name: str, request: DiffRequest, job: JobContext) -> _Side:
    if (image := _kept(name, request.platform, job)) is None:
        path = Path(name)
        if path.is_dir() and (path / "conda-meta").is_dir():
            lockfile = locked(name, request, job)
            if lockfile.platform not in PLATFORMS:  # its files cannot be in an image
                return _Side(lockfile)
            plan = PlanRequest(prefix=path.absolute(), store_dir=request.store_dir)
            return _Side(lockfile, lambda: of_prefix(path.absolute(), plan, job))
        if path.is_file() and path.suffix != ".tar":
            return _Side(locked(name, request, job))
        if path.is_dir() and not (path / "oci-layout").is_file():
            return _Side(locked(name, request, job))
        image = open_image(ImageLocation.parse_any(name), job, architecture_of(request.platform))
    return _Side(lock_in(image), lambda: of_image(image, job))


def _kept(name: str, platform: str, job: JobContext) -> Image | None:
    """Returns an image that this machine has made, if the name has its digest, or that of an index and the platform.

    Raises NotThere if the name is a digest alone, and the store does not have that image.
    """
    match = re.fullmatch(r"(?:.+@)?(sha256:[0-9a-f]{64})", name)
    processor = architecture_of(platform) or host_architecture()
    image = kept_images.find(Digest.parse(match[1]), job.store, processor) if match else None
    if match and image is None and "@" not in name:
        raise NotThere(
            f"This machine does not have the image {name} any more.", "Name the image by its reference, or build again."
        )
    return image


def _files(before: Contents, after: Contents) -> Iterator[Change]:
    """Yields the differences between the files of two environments, sorted by path."""
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old != new:
            kind: Literal["added", "removed", "changed"] = (
                "added" if old is None else "removed" if new is None else "changed"
            )
            yield Change(as_unicode(path), "file", kind, as_unicode(str(old or "")), as_unicode(str(new or "")))


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
    return lock_in(open_image(ImageLocation.parse_any(name), job, architecture_of(request.platform)))


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
