"""What a registry's refusal, or its silence, means to the user: HTTP answers and network failures as named errors.

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

TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})
_BY_STATUS: Mapping[int, type[RegistryError]] = {
    401: RegistryUnauthorized,
    403: RegistryDenied,
    404: RegistryNotFound,
    413: RegistryTooLarge,
    429: RegistryBusy,
}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")
_USERINFO = re.compile(r"(?<=://)[^\s/?#@]*@")
_QUERY = re.compile(r"(?<=[^\s?])\?[^\s\"'<>?]*=[^\s\"'<>]*")


def clean(text: str, limit: int = 300) -> str:
    """Text from outside made fit for a message: one printable line, not too long, URLs without userinfo and query."""
    text = _UNPRINTABLE.sub(" ", text[: 8 * limit])
    text = _QUERY.sub("", _USERINFO.sub("", text)).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def spec_errors(body: bytes) -> list[tuple[str, str]]:
    """Code and message of each error in a body of the spec's form; empty for any other body."""
    try:
        entries = json.loads(body)["errors"]
        return [(clean(str(entry["code"]), 64), clean(str(entry.get("message") or ""))) for entry in entries[:3]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def spec_errors_text(body: bytes) -> str:
    """The errors of a body of the spec's form on one line, as in "MANIFEST_UNKNOWN: manifest unknown"."""
    return "; ".join(f"{code}: {message}" if message else code for code, message in spec_errors(body))


def refusal(where: str, doing: str, status: int, headers: Mapping[str, str], body: bytes) -> CondaBuildError:
    """The named error for an HTTP answer that is not the one hoped for.

    Args:
        where: host of the registry.
        doing: what was tried, as in "read the manifest latest of team/env".
        headers: of the answer, names in lower case.
        body: the first part of the answer's body.
    """
    errors = spec_errors(body)
    said = spec_errors_text(body)
    if not said and "html" in headers.get("content-type", ""):
        said = "a web page, not the answer of a registry"
    what = status_text(status) if status >= 400 else f"unexpected answer {status_text(status)}"
    message = f"Could not {doing} at {where}: {what}{f' ({said})' if said else ''}."
    codes = {code for code, _ in errors}
    if status == 400 and codes & {"DIGEST_INVALID", "SIZE_INVALID"}:
        return ContentMismatch(message)
    if status in (400, 404) and codes & {"BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"}:
        return BlobGone(message, status=status)
    kind = _BY_STATUS.get(status) or (RegistryFault if status >= 500 or status < 400 else RegistryError)
    error = kind(message, _hint(status, codes), status=status, temporary=status in TEMPORARY)
    error.retry_after = retry_after(headers) if error.temporary else None
    if error.retry_after:
        error.hint = f"{error.hint} The registry asks to wait {error.retry_after:.0f} seconds.".strip()
    return error


def misplaced(where: str, doing: str, status: int, place: str) -> RegistryError:
    """The named error for a refusal by another server to which the registry sent us, where no login of ours goes."""
    return RegistryFault(
        f"Could not {doing} at {where}: {place}, where the registry keeps its blobs, answered {status_text(status)}.",
        "The registry's storage is not set up well, or its address has expired; try again later.",
        status=status,
    )


def _hint(status: int, codes: set[str]) -> str | None:
    if status == 401 and "DENIED" in codes:
        return "Log in with 'docker login REGISTRY' as someone who may do that, or check the image's name."
    if status == 405 or "UNSUPPORTED" in codes:
        return "This registry, or its configuration, does not offer that operation."
    if 300 <= status < 400:
        return "The registry's address may have changed, or a login page stands before it."
    if status == 408:
        return "The way to the registry may be slow; try again."
    return None if status in _BY_STATUS or status >= 500 else "The registry's log may say more."


def status_text(status: int) -> str:
    """The status with its name, as in "404 Not Found"."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"status {status}"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks to wait; an HTTP date is measured against the answer's own ``Date``."""
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
    """The named error for a failure below HTTP.

    Args:
        error: what the HTTP library raised; its chain of causes says more than its text.
        known: this server has answered before, so a refused connection may be a restart and is temporary.
    """
    causes = _causes(error)
    names = {type(cause).__name__ for cause in causes}
    prefix = f"Could not {doing} at {where}:"
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return RegistryUnreachable(f"{prefix} no such host.", temporary=known or cause.errno == socket.EAI_AGAIN)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RegistryUnreachable(
                f"{prefix} its certificate is not trusted ({clean(cause.verify_message, 100)}).",
                "Add its CA to the system's, or name it in SSL_CERT_FILE; or list the registry in insecure_registries.",
            )
        if isinstance(cause, ssl.SSLError) and names & {"ConnectError"}:
            return RegistryUnreachable(
                f"{prefix} no TLS connection ({clean(cause.reason or 'handshake failed', 100)}).",
                "A registry that speaks plain HTTP must be listed in insecure_registries.",
            )
        if isinstance(cause, ConnectionRefusedError):
            return RegistryUnreachable(f"{prefix} the connection was refused.", temporary=known)
    if "ProxyError" in names:
        return RegistryUnreachable(f"{prefix} the proxy refused.", "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.")
    if names & {"ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout"}:
        return RegistryUnreachable(f"{prefix} no answer in time.", temporary=known or "ConnectTimeout" not in names)
    if "ConnectError" in names:
        return RegistryUnreachable(f"{prefix} no connection.", temporary=known)
    if names & {"LocalProtocolError", "UnsupportedProtocol", "InvalidURL", "DecodingError", "TooManyRedirects"}:
        return RegistryFault(f"{prefix} an answer that no registry should give.")
    return RegistryUnreachable(f"{prefix} the connection was cut.", temporary=True)


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 20:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain
