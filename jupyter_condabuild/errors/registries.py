"""Errors of registries."""

from __future__ import annotations

from jupyter_condabuild.errors.root import CondaBuildError


class RegistryError(CondaBuildError):
    """The registry refused a request or did not answer it.

    `status` is the HTTP status, or None if there was no answer. `temporary` is true if the same request may succeed
    later. `detail` is the text of the registry, on one line. `retry_after` is the time to wait in seconds, if the
    registry gave one (header Retry-After).
    """

    code = "registry_error"
    retry_after: float | None = None
    detail: str = ""

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
    default_hint = "Log in with 'jupyter condabuild login REGISTRY' and try again."


class LoginNotKept(CondaBuildError):
    """A login for a registry cannot be kept or removed."""

    code = "login_not_kept"


class RegistryDenied(RegistryError):
    """403: the credentials do not allow the request."""

    code = "registry_denied"
    default_hint = "Ask for permission to push to this repository, or choose another repository."


class RegistryNotAllowed(RegistryError):
    """The setting allowed_registries of the server does not have the registry, or its address."""

    code = "registry_not_allowed"
    default_hint = "Choose another registry, or ask the administrator of this server for allowed_registries."


class RegistryNotFound(RegistryError):
    """404: there is no such repository, tag or blob."""

    code = "registry_not_found"
    default_hint = (
        "Check the spelling of the image's name and tag. "
        "If the image is private, log in with 'jupyter condabuild login REGISTRY'."
    )


class BlobGone(RegistryNotFound):
    """A manifest in the registry names a blob that the registry no longer has."""

    code = "blob_gone"
    default_hint = "Part of an image is missing. Build that image again, and tell the administrator of the registry."


class RegistryTooLarge(RegistryError):
    """413: the registry, or a proxy before the registry, refuses a body of this size."""

    code = "registry_too_large"
    default_hint = (
        "Raise the body size limit of the registry's proxy (nginx: client_max_body_size 0). "
        "Quay also answers so if a quota is used up."
    )


class RegistryBusy(RegistryError):
    """429: too many requests."""

    code = "registry_busy"
    default_hint = "Wait a little and try again. Log in if the registry allows more requests after a login."


class RegistryFault(RegistryError):
    """5xx, or an answer that the distribution spec does not allow."""

    code = "registry_fault"
    default_hint = "The problem is in the registry. Try again later."
