"""Origins of URLs, the origin of a registry, and the HTTP connection pools."""

from __future__ import annotations

import ipaddress
import logging
import re
import ssl
import threading
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

from jupyter_condabuild.errors import RegistryFault, RegistryUnreachable, UsageError
from jupyter_condabuild.oci.http import httpx
from jupyter_condabuild.proxies import Proxies, Proxy

CERTIFICATE_DIRS = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))
MAX_CONNECTIONS = 32
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Origin:
    """The scheme, host and port of a URL (RFC 6454). Credentials belong to an origin."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx.URL) -> Origin:
        """Returns the origin of an absolute http or https URL."""
        return cls(url.scheme, url.host, url.port or _DEFAULT_PORTS[url.scheme])

    @classmethod
    def of_registry(cls, host: str, scheme: str) -> Origin:
        """Returns the origin of a registry. The host of Docker Hub's registry differs from the name in references.

        Args:
            host: the registry as in a reference: a host name or IP address, with or without a port.
            scheme: ``http`` or ``https``.

        Raises:
            UsageError: `host` is not the name of a registry.
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
        """The URL of the root of the origin."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return httpx.URL(f"{self.scheme}://{host}:{self.port}/")

    @property
    def is_loopback(self) -> bool:
        """Whether the host is localhost, an address in 127.0.0.0/8, or ::1. No name is resolved."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def resolve(base: httpx.URL, location: str, doing: str, where: str) -> httpx.URL:
    """Returns the absolute URL of a location that a response names, without userinfo and fragment.

    Args:
        base: the URL that the response came from.
        location: an absolute or relative URL.
        doing: completes "Could not …" in an error.
        where: the host of the registry, for an error.

    Raises:
        RegistryFault: the location is not an http or https URL, or it has no TLS and `base` has TLS.
    """
    try:
        url = base.join(location).copy_with(username=None, password=None, fragment=None)
        valid = bool(location) and url.scheme in _DEFAULT_PORTS and bool(url.host)
    except (httpx.InvalidURL, ValueError, TypeError):
        valid = False
    if not valid:
        raise RegistryFault(f"Could not {doing} at {where}: the response names an address that is not valid.")
    if base.scheme == "https" and url.scheme == "http":
        raise RegistryFault(
            f"Could not {doing} at {where}: a response over TLS names an address without TLS ({url.host}).",
            "The registry is probably behind a proxy and does not know its own address. Set http.host or "
            "http.relativeurls in the registry's configuration, or let the proxy send X-Forwarded-Proto.",
        )
    return url


def make_client(home: Origin, *, verify: bool, tls: bool = True) -> httpx.Client:
    """Makes a pool of connections. It follows no redirects, stores no cookies, and uses the proxies of the environment.

    Args:
        home: the origin of the registry.
        verify: whether the certificate of the server is verified.
        tls: whether the pool is used for TLS. Without TLS the pool trusts no certificate at all: reading the
            certificates of the system takes time.

    Raises:
        RegistryUnreachable: the certificates that the environment variables name cannot be read. A request raises it if
            its proxy cannot be used.
    """
    logging.getLogger("httpx").addFilter(_QUIET)
    try:
        context = _tls_context(home, verify=verify) if tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    except OSError as error:
        raise RegistryUnreachable(
            f"Could not connect to {home.host}: the trusted certificates cannot be read ({error.strerror}).",
            "Check SSL_CERT_FILE, SSL_CERT_DIR, and the folder of the registry in /etc/docker/certs.d.",
        ) from None
    return httpx.Client(
        transport=_Routes(context, Proxies.read()),
        trust_env=False,  # httpx reads NO_PROXY in its own way (encode/httpx#3221)
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


class _Routes(httpx.BaseTransport):
    """Sends each request to its server, or to the proxy that the environment names for the server."""

    def __init__(self, context: ssl.SSLContext, proxies: Proxies) -> None:
        self._context = context
        self._proxies = proxies
        self._transports: dict[Proxy | None, httpx.HTTPTransport] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request. Raises RegistryUnreachable if its proxy cannot be used."""
        origin = Origin.of(request.url)
        proxy = self._proxies.find(origin.scheme, origin.host, origin.port)
        with self._lock:
            if proxy not in self._transports:
                self._transports[proxy] = self._transport(proxy, origin)
            transport = self._transports[proxy]
        return transport.handle_request(request)

    def close(self) -> None:
        """Closes all connections."""
        for transport in self._transports.values():
            transport.close()

    def _transport(self, proxy: Proxy | None, origin: Origin) -> httpx.HTTPTransport:
        limits = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)
        if proxy is None:
            return httpx.HTTPTransport(verify=self._context, trust_env=False, limits=limits)
        failure = f"Could not connect to {origin.host}: the proxy of {proxy.variable}"
        try:
            if not proxy.is_valid:
                raise ValueError
            url = httpx.URL(proxy.url)
            route = httpx.Proxy(url, ssl_context=self._context if url.scheme == "https" else None)
            return httpx.HTTPTransport(verify=self._context, trust_env=False, limits=limits, proxy=route)
        except ImportError:
            raise RegistryUnreachable(
                f"{failure} speaks SOCKS, and the package socksio is not installed.",
                "Install it with 'pip install socksio', name an HTTP proxy, or name the registry in NO_PROXY.",
            ) from None
        except (ValueError, httpx.InvalidURL):
            raise RegistryUnreachable(
                f"{failure} cannot be used.",
                f"Write {proxy.variable} as http://HOST:PORT, or name the registry in NO_PROXY.",
            ) from None


def _tls_context(home: Origin, *, verify: bool) -> ssl.SSLContext:
    """Returns a TLS context for connections to `home`.

    It trusts the certificates of the system or of SSL_CERT_FILE, or those of certifi if there are none. It also trusts
    the certificates that Docker or Podman have for this registry in `CERTIFICATE_DIRS`.
    """
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
    """Removes the query from the URLs that httpx logs, because a query may contain a signature."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.copy_with(query=None, fragment=None) if isinstance(arg, httpx.URL) else arg for arg in record.args
            )
        return True


_QUIET = _WithoutQueries()
