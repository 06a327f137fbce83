"""The exception tree: every class has a stable code, a message for users and a hint.

::

    CondaBuildError
    ├── UsageError                   the request itself makes no sense (exit status 2)
    ├── PrefixError
    │   ├── NotAPrefix               no conda-meta where an environment was expected
    │   ├── BrokenRecord             a file in conda-meta cannot be read
    │   ├── PrefixNotAllowed         the server may not build this environment
    │   └── NotACondaKernel          a kernel's interpreter lies in no conda environment
    ├── RequestError                 what was asked of the server
    │   ├── BadRequest               not understood
    │   ├── TooMuch                  more bytes than a request may have
    │   ├── NotThere                 no such kernel, build or lock file
    │   ├── NotEnded                 a build that has not ended cannot be forgotten
    │   └── QueueFull                too many builds are waiting
    ├── Interrupted                  a build's process is gone and did not say why
    ├── BuildLimit                   a build took more time or memory than it may
    ├── LockfileError                a lock file that cannot be read or says too little
    ├── PackageError
    │   ├── PackageNotFound          neither package cache nor channel has the archive
    │   ├── PackageMismatch          an archive or file is not what its hash promises
    │   └── LinkFailed               a package cannot be laid out at the image's prefix
    ├── NotReproducible              --strict, and something cannot be reproduced
    ├── OverlayTooLarge              too much in the environment belongs to no package
    ├── ImageError
    │   ├── BadReference             not an image reference
    │   ├── BadDigest                not a digest
    │   ├── BadImage                 a manifest, config or archive that is not valid
    │   ├── ContentMismatch          bytes that are not what their digest or size promises
    │   ├── BaseUnavailable          the base image cannot be had
    │   └── NotVerified              an image is not what its lock file makes
    ├── RegistryError                (temporary: bool, status: int | None)
    │   ├── RegistryUnreachable
    │   ├── RegistryUnauthorized     401
    │   ├── RegistryDenied           403
    │   ├── RegistryNotFound         404
    │   ├── RegistryTooLarge         413
    │   ├── RegistryBusy             429
    │   └── RegistryFault            5xx, or an answer outside the distribution spec
    ├── EngineUnavailable            no Docker or Podman Engine answers
    ├── EngineFault                  the engine answers, and refuses or fails
    ├── StoreError
    │   ├── DiskFull
    │   ├── StoreUnwritable
    │   └── StoreBusy                a build uses the store, which cannot be pruned now
    └── Cancelled                    the user ended the build (exit status 130)
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import ClassVar


class CondaBuildError(Exception):
    """What went wrong in the user's words, and what to do about it.

    `code` is stable and meant for programs; `message` and `hint` are meant for people and hold no secrets.
    """

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint


class UsageError(CondaBuildError):
    """The request itself makes no sense."""

    code = "usage"
    default_hint = "See 'jupyter condabuild --help'."


class PrefixError(CondaBuildError):
    """The environment cannot be read."""

    code = "prefix_error"


class NotAPrefix(PrefixError):
    """No conda-meta where an environment was expected."""

    code = "not_a_prefix"
    default_hint = "Name the folder of a conda environment ('conda env list' shows them)."


class BrokenRecord(PrefixError):
    """A file in conda-meta cannot be read."""

    code = "broken_record"
    default_hint = "Reinstall the package in this environment: 'conda install --force-reinstall NAME'."


class NotACondaKernel(PrefixError):
    """A kernel's interpreter lies in no conda environment."""

    code = "not_a_conda_kernel"
    default_hint = "Choose a kernel that runs in a conda environment, or install ipykernel in one and select it."


class PrefixNotAllowed(PrefixError):
    """The server may not build this environment."""

    code = "prefix_not_allowed"
    default_hint = "Choose an environment below the folders of c.CondaBuild.allow_prefixes."


class RequestError(CondaBuildError):
    """What was asked of the server cannot be done."""

    code = "request_error"


class BadRequest(RequestError):
    """A request that is not understood."""

    code = "bad_request"
    default_hint = "See condabuild/openapi.yaml."


class TooMuch(BadRequest):
    """A request with more bytes than it may have."""

    code = "too_much"


class NotThere(RequestError):
    """No such kernel, build or lock file."""

    code = "not_found"


class NotEnded(RequestError):
    """A build that has not ended cannot be forgotten."""

    code = "not_ended"
    default_hint = "Cancel it first, or wait until it has ended."


class QueueFull(RequestError):
    """Too many builds are waiting."""

    code = "queue_full"
    default_hint = "Try again when a build has ended, or cancel one."


class Interrupted(CondaBuildError):
    """A build's process is gone and did not say why."""

    code = "interrupted"
    default_hint = "Build again: what it had done is kept."


class BuildLimit(CondaBuildError):
    """A build took more time or memory than it may."""

    code = "build_limit"


class LockfileError(CondaBuildError):
    """A lock file that cannot be read or says too little."""

    code = "bad_lockfile"
    default_hint = "Write it anew with 'jupyter condabuild lock', conda-lock or pixi."


class PackageError(CondaBuildError):
    """A package cannot be had or used."""

    code = "package_error"


class PackageNotFound(PackageError):
    """Neither package cache nor channel has the archive."""

    code = "package_not_found"
    default_hint = "Check that the channel is reachable and still has this build, or update the package."


class PackageMismatch(PackageError):
    """An archive or a file in the package cache is not what its hash promises."""

    code = "package_mismatch"
    default_hint = "Remove the package from the package cache ('conda clean --packages') and try again."


class LinkFailed(PackageError):
    """A package cannot be laid out at the image's prefix."""

    code = "link_failed"
    default_hint = "Try again; if it stays, reinstall the package ('conda install --force-reinstall NAME')."


class NotReproducible(CondaBuildError):
    """--strict was asked for, and something in the environment cannot be reproduced."""

    code = "not_reproducible"
    default_hint = "Mend what the report lists, or build without --strict."


class OverlayTooLarge(CondaBuildError):
    """Files that belong to no package have more bytes than overlay_max_bytes."""

    code = "overlay_too_large"
    default_hint = "Move data out of the environment, or raise overlay_max_bytes (CONDABUILD_OVERLAY_MAX_BYTES)."


class ImageError(CondaBuildError):
    """An image, or the name of one, is not valid."""

    code = "image_error"


class BadReference(ImageError):
    """Not an image reference."""

    code = "bad_reference"
    default_hint = "Write it as registry/repository:tag, for example registry.lab.org/team/env:latest."


class BadDigest(ImageError):
    """Not a digest."""

    code = "bad_digest"
    default_hint = "A digest reads sha256: and 64 hexadecimal digits."


class BadImage(ImageError):
    """A manifest, config or archive that is not valid."""

    code = "bad_image"
    default_hint = "Get or build the image again."


class ContentMismatch(ImageError):
    """Bytes that are not what their digest or size promises."""

    code = "content_mismatch"
    default_hint = "The copy is damaged; try again, and tell whoever runs the registry if it stays."


class BaseUnavailable(ImageError):
    """The base image cannot be had."""

    code = "base_unavailable"
    default_hint = "Name another base: a reference, oci-archive:FILE, or docker-daemon:NAME for one of the engine's."


class NotVerified(ImageError):
    """An image is not what its own lock file makes."""

    code = "not_verified"
    default_hint = "Build it anew from its lock file, and ask who pushed it what they changed."


class RegistryError(CondaBuildError):
    """The registry did not do what was asked.

    `status` is the HTTP status where there was one; `temporary` says whether the same request may succeed later,
    `retry_after` after how many seconds where the registry said so.
    """

    code = "registry_error"
    retry_after: float | None = None

    def __init__(
        self, message: str, hint: str | None = None, *, status: int | None = None, temporary: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.temporary = temporary


class RegistryUnreachable(RegistryError):
    """No answer: name, network, proxy or certificate."""

    code = "registry_unreachable"
    default_hint = (
        "Check the registry's name, the network and the proxy; "
        "a registry without TLS must be listed in insecure_registries."
    )


class RegistryUnauthorized(RegistryError):
    """401: no credentials, or wrong ones."""

    code = "registry_unauthorized"
    default_hint = "Log in with 'docker login REGISTRY' or 'podman login REGISTRY' and try again."


class RegistryDenied(RegistryError):
    """403: these credentials may not do that."""

    code = "registry_denied"
    default_hint = "Ask for the right to push to this repository, or choose another one."


class RegistryNotFound(RegistryError):
    """404: no such repository, tag or blob."""

    code = "registry_not_found"
    default_hint = "Check the spelling of the image's name and tag."


class BlobGone(RegistryNotFound):
    """A blob that a manifest of the registry names, and that the registry no longer has."""

    code = "blob_gone"
    default_hint = "The registry has lost part of an image: build that image anew, and tell whoever runs the registry."


class RegistryTooLarge(RegistryError):
    """413: the registry, or a proxy before it, refuses a body of this size."""

    code = "registry_too_large"
    default_hint = "Raise the body size limit of the registry's proxy (nginx: client_max_body_size 0)."


class RegistryBusy(RegistryError):
    """429: too many requests."""

    code = "registry_busy"
    default_hint = "Wait a little and try again; log in if the registry gives more to those it knows."


class RegistryFault(RegistryError):
    """5xx, or an answer outside the distribution spec."""

    code = "registry_fault"
    default_hint = "The registry has a problem of its own; try again later."


class EngineUnavailable(CondaBuildError):
    """No Docker or Podman Engine answers."""

    code = "engine_unavailable"
    default_hint = "Start Docker or Podman, set DOCKER_HOST, or use --push or -o, which need no engine."


class EngineFault(CondaBuildError):
    """The Docker or Podman Engine answers, and refuses or fails."""

    code = "engine_fault"
    default_hint = "Look at the engine's own log, or use --push or -o, which need no engine."


class StoreError(CondaBuildError):
    """The local store cannot be used."""

    code = "store_error"


class DiskFull(StoreError):
    """No space left."""

    code = "disk_full"
    default_hint = "Free some space, run 'jupyter condabuild prune', or set store_dir to another disk."


class StoreUnwritable(StoreError):
    """The store's folder cannot be written."""

    code = "store_unwritable"
    default_hint = "Set store_dir (or CONDABUILD_STORE_DIR) to a folder that you can write."


class StoreBusy(StoreError):
    """A build uses the store."""

    code = "store_busy"
    default_hint = "Run prune again when it has ended."


class Cancelled(CondaBuildError):
    """The user ended the build."""

    code = "cancelled"


def from_os_error(error: OSError, doing: str, path: Path | str | None = None) -> StoreError:
    """The named error for an OSError met while writing.

    Args:
        doing: what was being done, as in "writing layer numpy".
        path: the file or folder, when the error itself does not say.
    """
    where = error.filename or path
    place = f" ({where})" if where else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"No space left while {doing}{place}.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreUnwritable(f"Not allowed to write while {doing}{place}: {error.strerror}.")
    return StoreError(f"{error.strerror or error} while {doing}{place}.")
