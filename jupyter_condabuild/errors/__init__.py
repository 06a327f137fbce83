"""All errors of the package: each class has a stable code, and each error has a message for users and a hint.

::

    CondaBuildError
    ├── UsageError                   the request is not valid (exit status 2)
    ├── PrefixError                  an environment cannot be read
    │   ├── NotAPrefix               the folder of an environment has no conda-meta
    │   ├── BrokenRecord             a file in conda-meta cannot be read
    │   ├── PrefixNotAllowed         the server may not build this environment
    │   ├── EnvironmentChanged       the environment is not the one that the user has seen
    │   └── NotACondaKernel          the interpreter of a kernel is in no conda environment
    ├── RequestError                 the server cannot serve a request
    │   ├── BadRequest               the request is not valid
    │   │   └── TooMuch              the request has more bytes than the server accepts
    │   ├── NotThere                 there is no such kernel, build or lock file
    │   ├── NotEnded                 a build that still runs cannot be deleted
    │   ├── FilesExist               files with another content would be replaced
    │   └── QueueFull                too many builds are waiting
    ├── Interrupted                  the process of a build ended and left no result
    ├── BuildLimit                   a build exceeded its limit of time or memory
    ├── LockfileError                a lock file cannot be read or lacks information
    │   └── PlatformNeeded           no image can have the system of an environment or a lock file
    ├── PackageError                 a package is not available or cannot be used
    │   ├── PackageNotFound          neither the package cache nor the channel has the archive
    │   ├── PackageMismatch          an archive or a file does not match its hash
    │   ├── LinkFailed               a package cannot be linked into the prefix of the image
    │   └── UnsafePackage            a package names files outside of its own folder, or exhausts this machine
    ├── NotReproducible              --strict is set, and something cannot be reproduced
    ├── SecretsFound                 files that belong to no package seem to contain secrets
    ├── OverlayTooLarge              the files that belong to no package are too large
    ├── ImageError                   an image, or the name of an image, is not valid
    │   ├── BadReference             a text is not an image reference
    │   ├── BadDigest                a text is not a digest
    │   ├── BadImage                 a manifest, a configuration or an archive is not valid
    │   ├── ContentMismatch          bytes do not match their digest or size
    │   ├── BaseUnavailable          the base image is not available
    │   ├── DebianPackagesRefused    packages of Debian cannot be added to the base
    │   └── NotVerified              an image differs from the result of its lock file
    ├── RegistryError                (temporary: bool, status: int | None)
    │   ├── RegistryUnreachable      there is no answer
    │   ├── RegistryUnauthorized     401
    │   ├── RegistryDenied           403
    │   ├── RegistryNotAllowed       the server's setting allowed_registries does not have the registry
    │   ├── RegistryNotFound         404; BlobGone: a manifest names a blob that the registry no longer has
    │   ├── RegistryTooLarge         413
    │   ├── RegistryBusy             429
    │   └── RegistryFault            5xx, or an answer that the distribution spec does not allow
    ├── LoginNotKept                 a login for a registry cannot be kept or removed
    ├── EngineUnavailable            no Docker or Podman Engine answers
    ├── EngineFault                  the engine answers, but refuses or fails
    ├── SquashfsUnavailable          no program that makes the file system of a SIF is installed
    ├── SquashfsFailed               this program failed
    ├── StoreError                   the local store cannot be used
    │   ├── DiskFull                 no space is left
    │   ├── StoreUnwritable          a file or folder cannot be written
    │   └── StoreBusy                a build uses the store, so that it cannot be pruned
    ├── TrustError                   something is not what it claims to be
    │   ├── BadReceipt               a receipt, or its signature, is not valid
    │   ├── SigningFailed            a signature cannot be made or checked
    │   └── LayerForged              a layer differs from the layer that its packages make
    └── Cancelled                    the user cancelled the build (exit status 130)
"""

from __future__ import annotations

from jupyter_condabuild.errors.environments import (
    BrokenRecord,
    EnvironmentChanged,
    LinkFailed,
    LockfileError,
    NotACondaKernel,
    NotAPrefix,
    NotCompatible,
    NotReproducible,
    OverlayTooLarge,
    PackageError,
    PackageMismatch,
    PackageNotFound,
    PlatformNeeded,
    PrefixError,
    PrefixNotAllowed,
    SecretsFound,
    UnsafePackage,
)
from jupyter_condabuild.errors.images import (
    BadDigest,
    BadImage,
    BadReference,
    BaseUnavailable,
    ContentMismatch,
    DebianPackagesRefused,
    ImageError,
    NotVerified,
)
from jupyter_condabuild.errors.machine import (
    OUTSIDE,
    DiskFull,
    EngineFault,
    EngineUnavailable,
    SquashfsFailed,
    SquashfsUnavailable,
    StoreBusy,
    StoreError,
    StoreUnwritable,
    from_os_error,
)
from jupyter_condabuild.errors.registries import (
    BlobGone,
    LoginNotKept,
    RegistryBusy,
    RegistryDenied,
    RegistryError,
    RegistryFault,
    RegistryNotAllowed,
    RegistryNotFound,
    RegistryTooLarge,
    RegistryUnauthorized,
    RegistryUnreachable,
)
from jupyter_condabuild.errors.requests import (
    BadRequest,
    BuildLimit,
    FilesExist,
    Interrupted,
    NotEnded,
    NotThere,
    QueueFull,
    RequestError,
    TooMuch,
)
from jupyter_condabuild.errors.root import (
    Cancelled,
    CondaBuildError,
    UsageError,
)
from jupyter_condabuild.errors.trust import BadReceipt, BadSbom, LayerForged, SigningFailed, TrustError

__all__ = [
    "OUTSIDE",
    "BadDigest",
    "BadImage",
    "BadReceipt",
    "BadSbom",
    "BadReference",
    "BadRequest",
    "BaseUnavailable",
    "BlobGone",
    "BrokenRecord",
    "BuildLimit",
    "Cancelled",
    "CondaBuildError",
    "ContentMismatch",
    "DebianPackagesRefused",
    "DiskFull",
    "EngineFault",
    "EngineUnavailable",
    "FilesExist",
    "EnvironmentChanged",
    "ImageError",
    "Interrupted",
    "LayerForged",
    "LinkFailed",
    "LockfileError",
    "LoginNotKept",
    "NotACondaKernel",
    "NotAPrefix",
    "NotEnded",
    "NotCompatible",
    "NotReproducible",
    "NotThere",
    "NotVerified",
    "OverlayTooLarge",
    "PackageError",
    "PackageMismatch",
    "PackageNotFound",
    "PlatformNeeded",
    "PrefixError",
    "PrefixNotAllowed",
    "QueueFull",
    "RegistryBusy",
    "RegistryDenied",
    "RegistryError",
    "RegistryFault",
    "RegistryNotAllowed",
    "RegistryNotFound",
    "RegistryTooLarge",
    "RegistryUnauthorized",
    "RegistryUnreachable",
    "RequestError",
    "SecretsFound",
    "SigningFailed",
    "SquashfsFailed",
    "SquashfsUnavailable",
    "StoreBusy",
    "StoreError",
    "StoreUnwritable",
    "TooMuch",
    "TrustError",
    "UnsafePackage",
    "UsageError",
    "from_os_error",
]
