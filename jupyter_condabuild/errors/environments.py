"""Errors of environments, lock files and packages."""

from __future__ import annotations

from jupyter_condabuild.errors.root import CondaBuildError


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


class LockfileError(CondaBuildError):
    """A lock file cannot be read or lacks information."""

    code = "bad_lockfile"
    default_hint = "Write the lock file again with 'jupyter condabuild lock', conda-lock or pixi."


class PlatformNeeded(LockfileError):
    """An environment or a lock file is for a system that no image can have, and the request names no other platform.

    `platform` is the one to offer first: that of the base image, or of this machine.
    """

    code = "platform_needed"
    default_hint = "Solve the packages again for Linux, and see what changes: --platform linux-64."

    def __init__(self, message: str, hint: str | None = None, platform: str = "") -> None:
        super().__init__(message, hint)
        self.platform = platform


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


class UnsafePackage(PackageError):
    """A package names files outside of its own folder, or is made to exhaust this machine."""

    code = "unsafe_package"
    default_hint = "Do not use this package. Tell the owner of its channel, or choose another build of the package."


class NotCompatible(PackageError):
    """Another version of a package does not fit the other packages of an image."""

    code = "not_compatible"
    default_hint = "Name another version, or make the environment with the new version and build from it."


class EnvironmentChanged(PrefixError):
    """The environment is not the one that the user has seen when the build was requested."""

    code = "environment_changed"
    default_hint = "Read the environment again, and build it under a name of its own."


class NotReproducible(CondaBuildError):
    """--strict is set, and something in the environment cannot be reproduced."""

    code = "not_reproducible"
    default_hint = "Fix the problems that the report lists, or build without --strict."


class SecretsFound(CondaBuildError):
    """Files that belong to no package seem to contain secrets, and the request does not allow them."""

    code = "secrets_found"
    default_hint = (
        "Remove the secrets, or leave the files out: --exclude PATH. If they are no secrets, or everyone who gets the "
        "image may have them: --allow-secret PATH."
    )


class OverlayTooLarge(CondaBuildError):
    """The files that belong to no package are larger than overlay_max_bytes."""

    code = "overlay_too_large"
    default_hint = (
        "Leave data out (--exclude PATH), move it out of the environment, or raise overlay_max_bytes "
        "(CONDABUILD_OVERLAY_MAX_BYTES)."
    )
