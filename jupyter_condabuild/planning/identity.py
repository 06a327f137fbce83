"""The identity of an environment: a digest of its lock file, and of its files that come from no package."""

from __future__ import annotations

import hashlib
import marshal
import os
from collections.abc import Sequence
from pathlib import Path

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.prefix.drift import Drift
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.fingerprint import stamp
from jupyter_condabuild.conda.prefix.walk import status
from jupyter_condabuild.planning.own_files.ignore_files import rules_above


def identity(
    lockfile: Lockfile, environment: Environment | None, changes: Drift | None, exclude: Sequence[str] = ()
) -> str:
    """Returns the identity of an environment. Without files that come from no package, it is the lock file's digest.

    The modes, sizes and times of files stand for their content.

    Args:
        exclude: the patterns of --exclude. The sources of editable installs count as a whole; the patterns then count,
            too.
    """
    if not environment:
        return str(lockfile.digest)
    changes = changes or Drift()
    entries = sorted([*changes.modified, *changes.missing, *changes.untracked])
    rows = [(os.fsencode(entry.path), *_status(environment.prefix / entry.path)) for entry in entries]
    folders = sorted({item.editable_source for item in environment.pip if item.editable_source})
    sources = [(os.fsencode(folder), source_stamp(folder), *exclude) for folder in folders]
    if not rows and not sources:
        return str(lockfile.digest)
    return f"sha256:{hashlib.sha256(marshal.dumps((lockfile.digest, rows, sources), 2)).hexdigest()}"


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
