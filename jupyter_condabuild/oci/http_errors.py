"""Turns HTTP error responses of a registry, and network failures, into our errors.

Source: distribution-spec v1.1, "Error Codes"; RFC 9110, "Retry-After".
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from jupyter_condabuild.certificates import missing_files
from jupyter_condabuild.errors import (
    BlobGone,
    CondaBuildError,
    ContentMismatch,
    RegistryBusy,
    RegistryDenied,
    RegistryError,
    RegistryFault,
    RegistryNotFound,
    RegistryTooLarge,
    RegistryUnauthorized,
    RegistryUnreachable,
)

SUCCESS = range(200, 300)
"""The statuses of success (RFC 9110 section 15.3).

Registries answer with others than the specification names: Quay and ECR to the PUT of a manifest, Pulp to a PATCH
(containers/image#382, containerd/containerd#3750, pulp/pulp_container#2199).
"""

TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})
_BY_STATUS: Mapping[int, type[RegistryError]] = {
    401: RegistryUnauthorized,
    403: RegistryDenied,
    404: RegistryNotFound,
    413: RegistryTooLarge,
    429: RegistryBusy,
}
_FULL = re.compile(r"\bquota|storage (limit|size)|upper limit|insufficient storage|no space left|disk full", re.I)
_IMMUTABLE = re.compile(r"immutab|(cannot|may not) be (overwritten|updated)|tag .*already exists|redeploy", re.I)
_OTHER_CERTIFICATE = frozenset({9, 10, 62, 64})
"""OpenSSL's codes for a certificate that is not valid yet, has expired, or is for another name or address."""

_CLIENT_REFUSED = re.compile("ALERT.*(CERTIFICATE|UNKNOWN_CA)")
"""OpenSSL's reasons for an alert of the server about the client's certificate, or about the lack of one."""

_PROXY_HINT = (
    "Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY. A login for the proxy is written as "
    "http://USER:PASSWORD@HOST:PORT."
)
_NO_REGISTRY = (
    "The image has no registry in its name, or the one of Docker Hub. Is it in another registry? Then write the name "
    "of the registry before it: registry.lab.org/team/env:v1."
)
_UNPRINTABLE = r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+"  # slow to compile
_USERINFO = re.compile(r"(?<=://)[^\s/?#@]*@")
_QUERY = re.compile(r"(?<=[^\s?])\?[^\s\"'<>?]*=[^\s\"'<>]*")


def clean(text: str, limit: int = 300) -> str:
    """Makes text from a server safe for a message: one printable line, and no userinfo or query in URLs.

    Args:
        text: the text.
        limit: the largest number of characters of the result.
    """
    text = re.sub(_UNPRINTABLE, " ", text[: 8 * limit])
    text = _QUERY.sub("", _USERINFO.sub("", text)).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def spec_errors(body: bytes) -> list[tuple[str, str]]:
    """Returns the code and message of the first three errors in a response body.

    Returns an empty list if the body does not have the form of the specification.
    """
    try:
        entries = json.loads(body)["errors"]
        return [(clean(str(entry["code"]), 64), clean(str(entry.get("message") or ""))) for entry in entries[:3]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def spec_errors_text(body: bytes) -> str:
    """Returns the errors in a response body on one line, as in "MANIFEST_UNKNOWN: manifest unknown"."""
    return "; ".join(f"{code}: {message}" if message else code for code, message in spec_errors(body))


def refusal(
    where: str, doing: str, status: int, headers: Mapping[str, str], body: bytes, *, writing: bool = False
) -> CondaBuildError:
    """Returns the error for an HTTP response whose status was not expected.

    Args:
        where: the host of the registry.
        doing: completes "Could not …" in the message, as in "read the manifest latest of team/env".
        status: the HTTP status of the response.
        headers: the headers of the response, with names in lower case.
        body: the first part of the body of the response.
        writing: whether the request puts something into the registry.
    """
    errors = spec_errors(body)
    detail = spec_errors_text(body)
    if not detail and "html" in headers.get("content-type", ""):
        detail = "the response is a web page, not the response of a registry"
    reason = status_text(status) if status >= 400 else f"unexpected status {status_text(status)}"
    message = f"Could not {doing} at {where}: {reason}{f' ({detail})' if detail else ''}."
    codes = {code for code, _ in errors}
    if status == 400 and codes & {"DIGEST_INVALID", "SIZE_INVALID"}:
        return ContentMismatch(message)
    if status in (400, 404) and codes & {"BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"}:
        return BlobGone(message, status=status)
    kind = _BY_STATUS.get(status) or (RegistryFault if status >= 500 or status < 400 else RegistryError)
    hint = (_hint_for_writing(status, codes, body.decode("utf-8", "replace")) if writing else None) or _hint(
        status, codes
    )
    error = kind(message, hint, status=status, temporary=status in TEMPORARY)
    error.detail = detail
    error.retry_after = retry_after(headers) if error.temporary else None
    if error.retry_after:
        error.hint = f"{error.hint} The registry asks clients to wait {error.retry_after:.0f} seconds.".strip()
    return error


def storage_refusal(where: str, doing: str, status: int, storage: str) -> RegistryError:
    """Returns the error for a refusal by another server to which the registry redirected a request.

    The request had no credentials there, so a login of the user cannot help.

    Args:
        where: the host of the registry.
        doing: completes "Could not …" in the message.
        status: the HTTP status of the response.
        storage: the host of the other server.
    """
    return RegistryFault(
        f"Could not {doing} at {where}: {storage}, where the registry keeps its blobs, answered {status_text(status)}.",
        "The registry's storage is not configured correctly, or the address of the blob has expired. Try again later.",
        status=status,
    )


def _hint_for_writing(status: int, codes: set[str], text: str) -> str | None:
    """Returns the hint for a refused push, if the registry's status, codes or words show the reason.

    Registries have no common codes for these reasons: the words are those of ECR, Harbor, Quay, GitLab, Artifactory,
    Nexus and Google's Artifact Registry.
    """
    if status != 429 and (status == 507 or _FULL.search(text)):
        return (
            "The storage of the registry, or the quota of this project, is used up. Delete images that nobody needs, "
            "or ask the administrator of the registry."
        )
    if _IMMUTABLE.search(text):
        return "The registry does not let anybody replace this tag. Choose another tag: -t REGISTRY/REPOSITORY:TAG."
    if status == 415 or codes & {"MANIFEST_INVALID", "UNSUPPORTED"}:
        return (
            "The registry may be too old for OCI images, or refuse their media types. Update it, or push with "
            "--engine docker, which makes Docker images."
        )
    if status == 404 and "BLOB_UPLOAD_UNKNOWN" not in codes:
        return (
            "This registry may make no repository on a push. Make the repository or the project first, and check its "
            "name (Amazon ECR: aws ecr create-repository --repository-name REPOSITORY)."
        )
    return None


def _hint(status: int, codes: set[str]) -> str | None:
    if status == 401 and "DENIED" in codes:
        return "Log in with 'jupyter condabuild login REGISTRY' as a user with access, or check the name of the image."
    if status == 405 or "UNSUPPORTED" in codes:
        return "This registry does not support the operation, or its configuration disables it."
    if 300 <= status < 400:
        return "The address of the registry may have changed, or the registry may be behind a login page."
    if status == 407:
        return _PROXY_HINT
    if status == 408:
        return "The connection to the registry may be slow. Try again."
    return None if status in _BY_STATUS or status >= 500 else "The log of the registry may contain the reason."


def status_text(status: int) -> str:
    """Returns an HTTP status with its name, as in "404 Not Found"."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"status {status}"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Returns the number of seconds in ``Retry-After``, or None. A date there is compared with the header ``Date``."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    until = _date(text)
    if until is None:
        return None
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def unreachable(where: str, doing: str, error: BaseException, *, known: bool) -> RegistryError:
    """Returns the error for a failure of the network, of TLS or of the HTTP library.

    Args:
        where: the host of the registry.
        doing: completes "Could not …" in the message.
        error: the exception of the HTTP library. Its chain of causes says more than its text.
        known: whether this server has answered before. Then a refused connection may be a restart and is temporary.
    """
    causes = causes_of(error)
    names = {type(cause).__name__ for cause in causes}
    prefix = f"Could not {doing} at {where}:"
    if type(error).__name__ == "ProxyError":
        return RegistryUnreachable(
            f"{prefix} no connection through the proxy ({clean(str(error), 100)}).", _PROXY_HINT, temporary=known
        )
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            hint = _NO_REGISTRY if where in ("docker.io", "registry-1.docker.io") else None
            temporary = known or cause.errno == socket.EAI_AGAIN
            return RegistryUnreachable(f"{prefix} no such host.", hint, temporary=temporary)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(where, prefix, cause)
        if isinstance(cause, ssl.SSLError) and _CLIENT_REFUSED.search(cause.reason or ""):
            return RegistryUnreachable(
                f"{prefix} the registry requires a certificate of the client that it trusts.",
                f"Put the certificate and its key into {_folder(where)} as client.cert and client.key.",
            )
        if isinstance(cause, ssl.SSLError) and names & {"ConnectError"}:
            return RegistryUnreachable(
                f"{prefix} no TLS connection ({clean(cause.reason or 'handshake failed', 100)}).",
                "A registry that uses plain HTTP must be listed in insecure_registries.",
            )
        if isinstance(cause, ConnectionRefusedError):
            return RegistryUnreachable(f"{prefix} the connection was refused.", temporary=known)
    if names & {"ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout"}:
        return RegistryUnreachable(f"{prefix} no answer in time.", temporary=known or "ConnectTimeout" not in names)
    if "ConnectError" in names:
        return RegistryUnreachable(f"{prefix} no connection.", temporary=known)
    if names & {"LocalProtocolError", "UnsupportedProtocol", "InvalidURL", "DecodingError", "TooManyRedirects"}:
        return RegistryFault(f"{prefix} the response is not valid.")
    return RegistryUnreachable(f"{prefix} the connection was interrupted.", temporary=True)


def _untrusted(where: str, prefix: str, error: ssl.SSLCertVerificationError) -> RegistryUnreachable:
    if error.verify_code in _OTHER_CERTIFICATE:
        return RegistryUnreachable(
            f"{prefix} the certificate is not valid ({clean(error.verify_message, 200)}).",
            "Use the name that the certificate has, or ask the administrator of the registry for a new certificate. "
            "Check the clock of this machine.",
        )
    ignored = missing_files()
    note = f" {' and '.join(ignored)} names a file that does not exist." if ignored else ""
    return RegistryUnreachable(
        f"{prefix} the certificate is not trusted ({clean(error.verify_message, 100)}).",
        f"Put the certificate of its CA into {_folder(where)} as ca.crt, name its file in SSL_CERT_FILE, or list the "
        f"registry in insecure_registries.{note}",
    )


def _folder(where: str) -> str:
    """Returns the user's folder with the certificates for a registry (containers-certs.d(5))."""
    return f"~/.config/containers/certs.d/{where.partition(' ')[0]}"


def causes_of(error: BaseException) -> list[BaseException]:
    """Returns an error and the errors that led to it, the last one first."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 20:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain
