"""The identity of an environment: a digest of its lock file, of its files that come from no package, and of choices."""

from __future__ import annotations

import hashlib
import marshal
import os
from collections.abc import Iterator
from pathlib import Path

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.prefix.drift import Drift
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.fingerprint import stamp
from jupyter_condabuild.conda.prefix.walk import status
from jupyter_condabuild.planning.own_files.ignore_files import rules_above
from jupyter_condabuild.planning.own_files.selection import OwnFiles
from jupyter_condabuild.requests.build import PlanRequest


def identity(
    lockfile: Lockfile, environment: Environment | None, changes: Drift | None, own: OwnFiles, request: PlanRequest
) -> str:
    """Returns the identity of what an environment gives to an image. With packages alone, it is the lock file's digest.

    Each choice of the request counts that changes the files or the variables of the environment in the image: what is
    left out, what is taken from outside of the environment, and which files go in although they may hold secrets. The
    modes, sizes and times of files stand for their content. A file or folder of --include counts by its path: it is
    taken as it is when the build starts. How the image is made (base, engine, compression) does not count.

    Args:
        environment: None for a lock file.
        changes: the differences between the environment and its packages, without those that are left out.
        own: the selected files.
    """
    rows = [*_contents(environment, changes or Drift(), own), *_choices(environment, own, request)]
    if not rows:
        return str(lockfile.digest)
    return f"sha256:{hashlib.sha256(marshal.dumps((lockfile.digest, rows), 2)).hexdigest()}"


def _contents(environment: Environment | None, changes: Drift, own: OwnFiles) -> Iterator[tuple[object, ...]]:
    """Yields a row for each file that the image gets besides those of packages, and for each that it lacks."""
    if not environment:
        return
    prefix = environment.prefix
    for entry in sorted([*changes.modified, *changes.missing, *changes.untracked]):
        if entry.path not in own.withheld:
            yield (os.fsencode(entry.path), *_status(prefix / entry.path))
    for path in changes.empty:
        yield ("empty", os.fsencode(path))
    for name in sorted({name for item in environment.pip for name in item.files if not name.endswith(".pyc")}):
        yield ("pip", os.fsencode(name), *_status(prefix / name))
    for folder in sorted({item.editable_source for item in environment.pip if item.editable_source}):
        names = own.sources.get(folder, ())
        yield ("source", os.fsencode(folder), source_stamp(folder), *map(os.fsencode, sorted(names)))
    for item in (*own.outside.taken, *own.built.taken):
        yield ("place", os.fsencode(item.target))
        for name, target in sorted(item.files.items()):
            yield ("outside", os.fsencode(target), *_status(item.root / name))


def _choices(environment: Environment | None, own: OwnFiles, request: PlanRequest) -> Iterator[tuple[object, ...]]:
    """Yields a row for each other choice that changes the image."""
    if request.include:
        folder = request.include.resolve()
        private = sorted(os.fsencode(path) for path in own.left_out if path.resolve().is_relative_to(folder))
        yield ("include", os.fsencode(folder), *private)
    if environment and request.variables:
        yield ("variables",)
    if not request.bytecode:
        yield ("no bytecode",)


def source_stamp(source: Path) -> str:
    """Returns the stamp of a file, or of a folder and of the ignore files above it."""
    if os.path.isfile(source):
        return str(status(source.stat()))
    rules = [file.read_bytes() for file in rules_above(source)]
    return "".join([stamp(source), *(hashlib.sha256(rule).hexdigest() for rule in rules)])


def _status(path: Path) -> tuple[int, ...]:
    try:
        found = os.lstat(path)
    except OSError:  # a missing file, or a file that was removed in the meantime
        return ()
    return (found.st_mode, found.st_size, found.st_mtime_ns)
