"""The certificate authorities that this machine and its environment variables trust, for registries and channels alike.

OpenSSL reads ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, which replace the system's certificates. The Python of a conda
environment has certificates of its own, so the system's are read, too, from the places where Go looks for them
(``crypto/x509/root_linux.go``). ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE`` are added: conda's users set them for the
authority of their lab. The library truststore would add nothing on Linux, where it reads what OpenSSL reads.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SYSTEM_FILES = tuple(
    map(
        Path,
        (
            "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch
            "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL 6
            "/etc/ssl/ca-bundle.pem",  # openSUSE
            "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL 7
            "/etc/ssl/cert.pem",  # Alpine, macOS
        ),
    )
)
LOCK = threading.RLock()
"""Held while variables of the process are changed, and while they are read."""

_ADDED = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_REPLACING = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def client_context(environ: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """Returns a TLS context for clients that trusts these authorities, or those of certifi if there are none.

    Args:
        environ: the environment variables; None for those of the process. OpenSSL reads its own from the process.

    Raises OSError, with a text for users, if a file that a variable names has no certificates.
    """
    with LOCK:
        return _client_context(os.environ if environ is None else environ)


def _client_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    system = _system_file()
    if system and not any(environ.get(name) for name in _REPLACING):
        load(context, system)
    for variable, path in _added(environ):
        load(context, path, f" of {variable}")
    if not context.cert_store_stats()["x509_ca"]:
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def load(context: ssl.SSLContext, path: Path, origin: str = "") -> None:
    """Trusts the certificates in a file, or in a folder that ``openssl rehash`` has prepared.

    Args:
        origin: follows the path in the text of an error.

    Raises OSError, with a text for users, if the file cannot be read or has no certificates.
    """
    try:
        context.load_verify_locations(None if path.is_dir() else path, path if path.is_dir() else None)
    except ssl.SSLError:
        raise OSError(f"{path}{origin} has no certificates in the format PEM") from None
    except OSError as error:
        raise OSError(f"{path}{origin} cannot be read ({error.strerror})") from None


def missing_files(environ: Mapping[str, str] | None = None) -> list[str]:
    """Returns the variables that name a file or folder which does not exist, and is therefore ignored."""
    environ = os.environ if environ is None else environ
    return [name for name in (*_REPLACING, *_ADDED) if environ.get(name) and not Path(environ[name]).exists()]


def openssl_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the variables with which a program that knows OpenSSL's alone trusts the same authorities.

    Empty if ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` is set, or if no other variable is.
    """
    environ = os.environ if environ is None else environ
    added = _added(environ)
    if not added or any(environ.get(name) for name in _REPLACING):
        return {}
    bundle, paths = added[0][1], ssl.get_default_verify_paths()
    file = paths.cafile or next((path for path in SYSTEM_FILES if path.is_file()), None)
    values = (file, bundle) if bundle.is_dir() else (bundle, paths.capath)
    return {name: str(value) for name, value in zip(_REPLACING, values, strict=True) if value}


@contextmanager
def given_to_openssl(environ: Mapping[str, str]) -> Iterator[None]:
    """Sets the variables of `openssl_variables` in this process, as long as another library reads certificates."""
    values = openssl_variables(environ)
    with LOCK:
        os.environ.update(values)
        try:
            yield
        finally:
            for name in values:
                os.environ.pop(name, None)


def _added(environ: Mapping[str, str]) -> list[tuple[str, Path]]:
    named = ((name, Path(environ[name])) for name in _ADDED if environ.get(name))
    return [(name, path) for name, path in named if path.exists()]


def _system_file() -> Path | None:
    """Returns the file with the system's certificates. None if there is none, or if OpenSSL reads it itself."""
    own = ssl.get_default_verify_paths().cafile
    found = next((path for path in SYSTEM_FILES if path.is_file()), None)
    return None if found is None or (own and found.samefile(own)) else found
