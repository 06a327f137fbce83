"""All errors of the package: each class has a stable code, and each error has a message for users and a hint.

::

    CondaBuildError
    ├── UsageError                   the request is not valid (exit status 2)
    ├── PrefixError                  an environment cannot be read
    │   ├── NotAPrefix               the folder of an environment has no conda-meta
    │   ├── BrokenRecord             a file in conda-meta cannot be read
    │   ├── PrefixNotAllowed         the server may not build this environment
    │   └── NotACondaKernel          the interpreter of a kernel is in no conda environment
    ├── RequestError                 the server cannot serve a request
    │   ├── BadRequest               the request is not valid
    │   │   └── TooMuch              the request has more bytes than the server accepts
    │   ├── NotThere                 there is no such kernel, build or lock file
    │   ├── NotEnded                 a build that still runs cannot be deleted
    │   └── QueueFull                too many builds are waiting
    ├── Interrupted                  the process of a build ended and left no result
    ├── BuildLimit                   a build exceeded its limit of time or memory
    ├── LockfileError                a lock file cannot be read or lacks information
    ├── PackageError                 a package is not available or cannot be used
    │   ├── PackageNotFound          neither the package cache nor the channel has the archive
    │   ├── PackageMismatch          an archive or a file does not match its hash
    │   └── LinkFailed               a package cannot be linked into the prefix of the image
    ├── NotReproducible              --strict is set, and something cannot be reproduced
    ├── OverlayTooLarge              the files that belong to no package are too large
    ├── ImageError                   an image, or the name of an image, is not valid
    │   ├── BadReference             a text is not an image reference
    │   ├── BadDigest                a text is not a digest
    │   ├── BadImage                 a manifest, a configuration or an archive is not valid
    │   ├── ContentMismatch          bytes do not match their digest or size
    │   ├── BaseUnavailable          the base image is not available
    │   └── NotVerified              an image differs from the result of its lock file
    ├── RegistryError                (temporary: bool, status: int | None)
    │   ├── RegistryUnreachable      there is no answer
    │   ├── RegistryUnauthorized     401
    │   ├── RegistryDenied           403
    │   ├── RegistryNotFound         404; BlobGone: a manifest names a blob that the registry no longer has
    │   ├── RegistryTooLarge         413
    │   ├── RegistryBusy             429
    │   └── RegistryFault            5xx, or an answer that the distribution spec does not allow
    ├── EngineUnavailable            no Docker or Podman Engine answers
    ├── EngineFault                  the engine answers, but refuses or fails
    ├── StoreError                   the local store cannot be used
    │   ├── DiskFull                 no space is left
    │   ├── StoreUnwritable          a file or folder cannot be written
    │   └── StoreBusy                a build uses the store, so that it cannot be pruned
    └── Cancelled                    the user cancelled the build (exit status 130)
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import ClassVar


class CondaBuildError(Exception):
    """The root of all errors of the package.

    `code` is stable and for programs. `message` and `hint` are for users and contain no secrets.
    """

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint


class UsageError(CondaBuildError):
    """The request is not valid."""

    code = "usage"
    default_hint = "See 'jupyter condabuild --help'."


class PrefixError(CondaBuildError):
    """An environment cannot be read."""

    code = "prefix_error"


class NotAPrefix(PrefixError):
    """The folder of an environment has no conda-meta."""

    code = "not_a_prefix"
    default_hint = "Give the folder of a conda environment; 'conda env list' shows all environments."


class BrokenRecord(PrefixError):
    """A file in conda-meta cannot be read."""

    code = "broken_record"
    default_hint = "Reinstall the package in this environment: 'conda install --force-reinstall NAME'."


class NotACondaKernel(PrefixError):
    """The interpreter of a kernel is in no conda environment."""

    code = "not_a_conda_kernel"
    default_hint = "Choose a kernel of a conda environment, or install ipykernel in a conda environment and select it."


class PrefixNotAllowed(PrefixError):
    """The server may not build this environment."""

    code = "prefix_not_allowed"
    default_hint = "Choose an environment inside one of the folders that c.CondaBuild.allow_prefixes lists."


class RequestError(CondaBuildError):
    """The server cannot serve a request."""

    code = "request_error"


class BadRequest(RequestError):
    """The request is not valid."""

    code = "bad_request"
    default_hint = "See condabuild/openapi.yaml on this server for the requests that it accepts."


class TooMuch(BadRequest):
    """The request has more bytes than the server accepts."""

    code = "too_much"


class NotThere(RequestError):
    """There is no such kernel, build or lock file."""

    code = "not_found"


class NotEnded(RequestError):
    """A build that still runs cannot be deleted from the history."""

    code = "not_ended"
    default_hint = "Cancel the build first, or wait until it has ended."


class QueueFull(RequestError):
    """Too many builds are waiting."""

    code = "queue_full"
    default_hint = "Try again when a build has ended, or cancel a build."


class Interrupted(CondaBuildError):
    """The process of a build ended and left no result."""

    code = "interrupted"
    default_hint = "Build again. The parts that were finished are kept."


class BuildLimit(CondaBuildError):
    """A build exceeded its limit of time or memory."""

    code = "build_limit"


class LockfileError(CondaBuildError):
    """A lock file cannot be read or lacks information."""

    code = "bad_lockfile"
    default_hint = "Write the lock file again with 'jupyter condabuild lock', conda-lock or pixi."


class PackageError(CondaBuildError):
    """A package is not available or cannot be used."""

    code = "package_error"


class PackageNotFound(PackageError):
    """Neither the package cache nor the channel has the archive of a package."""

    code = "package_not_found"
    default_hint = "Check that the channel can be reached and still has this package build, or update the package."


class PackageMismatch(PackageError):
    """An archive or a file in the package cache does not match its hash."""

    code = "package_mismatch"
    default_hint = "Remove the package from the package cache ('conda clean --packages') and try again."


class LinkFailed(PackageError):
    """A package cannot be linked into the prefix of the image."""

    code = "link_failed"
    default_hint = "Try again. If the error remains, reinstall the package ('conda install --force-reinstall NAME')."


class NotReproducible(CondaBuildError):
    """--strict is set, and something in the environment cannot be reproduced."""

    code = "not_reproducible"
    default_hint = "Fix the problems that the report lists, or build without --strict."


class OverlayTooLarge(CondaBuildError):
    """The files that belong to no package are larger than overlay_max_bytes."""

    code = "overlay_too_large"
    default_hint = "Move data out of the environment, or raise overlay_max_bytes (CONDABUILD_OVERLAY_MAX_BYTES)."


class ImageError(CondaBuildError):
    """An image, or the name of an image, is not valid."""

    code = "image_error"


class BadReference(ImageError):
    """A text is not an image reference."""

    code = "bad_reference"
    default_hint = "Write the name as registry/repository:tag, for example registry.lab.org/team/env:latest."


class BadDigest(ImageError):
    """A text is not a digest."""

    code = "bad_digest"
    default_hint = "A digest is 'sha256:' followed by 64 hexadecimal digits."


class BadImage(ImageError):
    """A manifest, a configuration or an archive is not valid."""

    code = "bad_image"
    default_hint = "Download the image again, or build it again."


class ContentMismatch(ImageError):
    """Bytes do not match their digest or size."""

    code = "content_mismatch"
    default_hint = "The copy is damaged. Try again. If the error remains, tell the administrator of the registry."


class BaseUnavailable(ImageError):
    """The base image is not available."""

    code = "base_unavailable"
    default_hint = "Choose another base: a reference, oci-archive:FILE, or docker-daemon:NAME (an image in the engine)."


class NotVerified(ImageError):
    """An image differs from the image that its own lock file makes."""

    code = "not_verified"
    default_hint = "Build the image again from its lock file, and ask the person who pushed it about the difference."


class RegistryError(CondaBuildError):
    """The registry refused a request or did not answer it.

    `status` is the HTTP status, or None if there was no answer. `temporary` is true if the same request may succeed
    later. `retry_after` is the time to wait in seconds, if the registry gave one (header Retry-After).
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
    """There is no answer: the name, the network, the proxy or the certificate is wrong."""

    code = "registry_unreachable"
    default_hint = (
        "Check the registry's name, the network and the proxy; "
        "a registry without TLS must be listed in insecure_registries."
    )


class RegistryUnauthorized(RegistryError):
    """401: the credentials are missing or wrong."""

    code = "registry_unauthorized"
    default_hint = "Log in with 'docker login REGISTRY' or 'podman login REGISTRY' and try again."


class RegistryDenied(RegistryError):
    """403: the credentials do not allow the request."""

    code = "registry_denied"
    default_hint = "Ask for permission to push to this repository, or choose another repository."


class RegistryNotFound(RegistryError):
    """404: there is no such repository, tag or blob."""

    code = "registry_not_found"
    default_hint = "Check the spelling of the image's name and tag."


class BlobGone(RegistryNotFound):
    """A manifest in the registry names a blob that the registry no longer has."""

    code = "blob_gone"
    default_hint = "Part of an image is missing. Build that image again, and tell the administrator of the registry."


class RegistryTooLarge(RegistryError):
    """413: the registry, or a proxy before the registry, refuses a body of this size."""

    code = "registry_too_large"
    default_hint = "Raise the body size limit of the registry's proxy (nginx: client_max_body_size 0)."


class RegistryBusy(RegistryError):
    """429: too many requests."""

    code = "registry_busy"
    default_hint = "Wait a little and try again. Log in if the registry allows more requests after a login."


class RegistryFault(RegistryError):
    """5xx, or an answer that the distribution spec does not allow."""

    code = "registry_fault"
    default_hint = "The problem is in the registry. Try again later."


class EngineUnavailable(CondaBuildError):
    """No Docker or Podman Engine answers."""

    code = "engine_unavailable"
    default_hint = "Start Docker or Podman, set DOCKER_HOST, or use --push or -o, which need no engine."


class EngineFault(CondaBuildError):
    """The Docker or Podman Engine answers, but refuses or fails."""

    code = "engine_fault"
    default_hint = "Read the log of the engine, or use --push or -o, which need no engine."


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


class Cancelled(CondaBuildError):
    """The user cancelled the build."""

    code = "cancelled"


def from_os_error(error: OSError, doing: str, path: Path | str | None = None) -> StoreError:
    """Returns the StoreError for an OSError: DiskFull, StoreUnwritable or StoreError, by the error's number.

    Args:
        doing: completes "… while …" in the message, for example "writing layer numpy".
        path: the file or folder; used only if the error itself names none.
    """
    where = error.filename or path
    place = f" ({where})" if where else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"No space is left while {doing}{place}.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreUnwritable(f"{error.strerror} while {doing}{place}.")
    return StoreError(f"{error.strerror or error} while {doing}{place}.")
