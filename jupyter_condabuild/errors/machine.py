"""Errors of this machine: the container engine, and the folders and disks."""

from __future__ import annotations

import errno
from pathlib import Path

from jupyter_condabuild.errors.root import CondaBuildError


class EngineUnavailable(CondaBuildError):
    """No Docker or Podman Engine answers."""

    code = "engine_unavailable"
    default_hint = "Start Docker or Podman, set DOCKER_HOST, or use --push or -o, which need no engine."


class EngineFault(CondaBuildError):
    """The Docker or Podman Engine answers, but refuses or fails."""

    code = "engine_fault"
    default_hint = "Read the log of the engine, or use --push or -o, which need no engine."


class SquashfsUnavailable(CondaBuildError):
    """No program that makes a squashfs file system is installed."""

    code = "squashfs_unavailable"
    default_hint = (
        "Install squashfs-tools-ng (apt-get install squashfs-tools-ng, dnf install squashfs-tools-ng), or write an "
        "archive with -o FILE.tar."
    )


class SquashfsFailed(CondaBuildError):
    """The program that makes a squashfs file system failed."""

    code = "squashfs_failed"
    default_hint = "Try again. If it fails again, write an archive with -o FILE.tar, and report the message."


class StoreError(CondaBuildError):
    """The local store cannot be used."""

    code = "store_error"


class DiskFull(StoreError):
    """No space is left on the disk."""

    code = "disk_full"
    default_hint = "Free some space, run 'jupyter condabuild prune', or set store_dir to another disk."


class StoreUnwritable(StoreError):
    """A file or a folder cannot be written."""

    code = "store_unwritable"
    default_hint = "Set store_dir (or CONDABUILD_STORE_DIR) to a folder that you can write."


class StoreBusy(StoreError):
    """A build uses the store, so that it cannot be pruned."""

    code = "store_busy"
    default_hint = "Run 'jupyter condabuild prune' again when the build has ended."


OUTSIDE = "Choose a folder that you can write, on a disk with room."
"""The hint for a file or folder that the user has named, or that another program has: the store is not the reason."""


def from_os_error(error: OSError, doing: str, path: Path | str | None = None, *, hint: str | None = None) -> StoreError:
    """Returns the StoreError for an OSError: DiskFull, StoreUnwritable or StoreError, by the error's number.

    Args:
        doing: completes "… while …" in the message, for example "writing layer numpy".
        path: the file or folder; used only if the error itself names none.
        hint: what to do about a full disk or a missing right; by default what to do for the store.
    """
    where = error.filename or path
    place = f" ({where})" if where else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"No space is left while {doing}{place}.", hint)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreUnwritable(f"{error.strerror} while {doing}{place}.", hint)
    return StoreError(f"{error.strerror or error} while {doing}{place}.")
