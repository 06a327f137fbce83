"""Where a request may go: the origins of URLs, the address behind a registry's name, and the connections to them."""

from __future__ import annotations

import ipaddress
import logging
import re
import ssl
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

from jupyter_condabuild.errors import RegistryFault, RegistryUnreachable, UsageError
from jupyter_condabuild.oci.http import httpx

CERTIFICATE_DIRS = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))
MAX_CONNECTIONS = 32
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port: what credentials belong to (RFC 6454)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx.URL) -> Origin:
        """The origin of an absolute http or https URL."""
        return cls(url.scheme, url.host, url.port or _DEFAULT_PORTS[url.scheme])

    @classmethod
    def of_registry(cls, host: str, scheme: str) -> Origin:
        """The origin behind a registry's name; Docker Hub's registry has a name of its own.

        Raises UsageError for what is not a host, with or without port.
        """
        name = "registry-1.docker.io" if host in ("docker.io", "index.docker.io") else host
        try:
            origin = cls.of(httpx.URL(f"{scheme}://{name}")) if _HOST.fullmatch(name) else None
            if origin and origin.port < 65536:
                return origin
        except httpx.InvalidURL:
            pass
        raise UsageError(f"{host[:200]!r} is not the name of a registry.")

    @property
    def url(self) -> httpx.URL:
        """The URL of the origin's root."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return httpx.URL(f"{self.scheme}://{host}:{self.port}/")

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine by its name: localhost, 127/8 or ::1."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def resolve(base: httpx.URL, location: str, doing: str, where: str) -> httpx.URL:
    """The absolute URL that an answer from `base` names, without userinfo and fragment.

    Raises RegistryFault for what is no http or https URL, and for one that would leave TLS.
    """
    try:
        url = base.join(location).copy_with(username=None, password=None, fragment=None)
        valid = bool(location) and url.scheme in _DEFAULT_PORTS and bool(url.host)
    except (httpx.InvalidURL, ValueError, TypeError):
        valid = False
    if not valid:
        raise RegistryFault(f"Could not {doing} at {where}: it names an address that is not valid.")
    if base.scheme == "https" and url.scheme == "http":
        raise RegistryFault(
            f"Could not {doing} at {where}: it was reached over TLS and names an address without TLS ({url.host}).",
            "The registry lies behind a proxy and does not know its own address: set its http.host or "
            "http.relativeurls, or let the proxy send X-Forwarded-Proto.",
        )
    return url


def make_client(home: Origin, *, verify: bool, tls: bool = True) -> httpx.Client:
    """A pool of connections that follows no redirect, keeps no cookie, and takes no proxy to this machine.

    Without `tls` it trusts no certificate at all, and saves the time to read those that the system trusts.

    Raises RegistryUnreachable where the environment's proxy or certificates cannot be used.
    """
    logging.getLogger("httpx").addFilter(_QUIET)
    own = {
        "localhost",
        "127.0.0.1",
        "[::1]",
        *((home.url.netloc.decode().rpartition(":")[0],) if home.is_loopback else ()),
    }
    try:
        return httpx.Client(
            verify=_tls_context(home, verify=verify) if tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
            mounts={f"all://{name}": None for name in own},
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )
    except OSError as error:
        raise RegistryUnreachable(
            f"Could not connect to {home.host}: the trusted certificates cannot be read ({error.strerror}).",
            "Check SSL_CERT_FILE, SSL_CERT_DIR and the registry's folder in /etc/docker/certs.d.",
        ) from None
    except (ValueError, ImportError, httpx.InvalidURL):
        raise RegistryUnreachable(
            f"Could not connect to {home.host}: the proxy that the environment names cannot be used.",
            "Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.",
        ) from None


def _tls_context(home: Origin, *, verify: bool) -> ssl.SSLContext:
    """Trusts the system's certificates or SSL_CERT_FILE's, else certifi's, and what Docker or Podman have for home."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if not context.cert_store_stats()["x509_ca"]:
        import certifi

        context.load_verify_locations(certifi.where())
    names = {f"{home.host}:{home.port}", *((home.host,) if home.port in _DEFAULT_PORTS.values() else ())}
    for folder in CERTIFICATE_DIRS:
        for certificate in sorted(path for name in names for path in (folder / name).glob("*.crt")):
            context.load_verify_locations(certificate)
    return context


class _WithoutQueries(logging.Filter):
    """Takes the query, which may be a signature, off the URLs that httpx logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.copy_with(query=None, fragment=None) if isinstance(arg, httpx.URL) else arg for arg in record.args
            )
        return True


_QUIET = _WithoutQueries()
