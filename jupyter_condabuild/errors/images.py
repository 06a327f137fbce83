"""Errors of images, and of their names and parts."""

from __future__ import annotations

from jupyter_condabuild.errors.root import CondaBuildError


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


class DebianPackagesRefused(ImageError):
    """Packages of Debian cannot be added to the base of an image."""

    code = "debian_packages_refused"
    default_hint = "Leave --apt out, or use a base image that has the packages."


class NotVerified(ImageError):
    """An image differs from the image that its own lock file makes."""

    code = "not_verified"
    default_hint = "Build the image again from its lock file, and ask the person who pushed it about the difference."
