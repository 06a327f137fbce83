"""The pools of connections to a registry: their proxies, their certificates, and what they log."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from http.cookiejar import CookieJar, DefaultCookiePolicy

from jupyter_condabuild.errors import RegistryUnreachable
from jupyter_condabuild.oci.connections.http import httpx
from jupyter_condabuild.oci.connections.origins import Origin
from jupyter_condabuild.oci.connections.tls import Certificates
from jupyter_condabuild.oci.http_errors import causes_of
from jupyter_condabuild.proxies import Proxies, Proxy

MAX_CONNECTIONS = 32
_UNREACHED = (ConnectionRefusedError, socket.gaierror)


class Pools:
    """The pools of connections that one registry needs. Several threads can share them.

    There is one pool for each kind of TLS: none, for a registry on this machine; without verifying certificates, only
    for the host of an insecure registry; and with a certificate of this client, only for the registry itself.
    """

    def __init__(self, host: str, *, insecure: bool) -> None:
        """Opens no connection.

        Args:
            host: the registry, for messages.
            insecure: whether the certificate of the registry's host is not verified.
        """
        self._host = host
        self._insecure = insecure
        self._certificates: Certificates | None = None
        self._clients: dict[tuple[bool, bool] | None, httpx.Client] = {}
        self._lock = threading.Lock()
        self._closed = False

    def client(self, url: httpx.URL, home: Origin) -> httpx.Client:
        """Returns the pool for a URL. A request through it raises RegistryUnreachable if its proxy cannot be used.

        Args:
            home: the origin of the registry.

        Raises RegistryUnreachable if the pools are closed, or if certificates cannot be used.
        """
        verify = not (self._insecure and url.host == home.host)
        with self._lock:
            if self._closed:
                raise RegistryUnreachable(f"The connections to {self._host} are closed.")
            if url.scheme == "http" and home.is_loopback:
                return self._pool(None, Certificates())
            self._certificates = self._certificates or Certificates.of(home)
            own = bool(self._certificates.own) and Origin.of(url) == home
            return self._pool((verify, own), self._certificates)

    def close(self) -> None:
        """Closes all connections. Threads that still ask for a pool get a RegistryUnreachable."""
        with self._lock:
            self._closed = True
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _pool(self, kind: tuple[bool, bool] | None, certificates: Certificates) -> httpx.Client:
        if kind not in self._clients:
            try:
                context = certificates.context(verify=kind[0], own=kind[1]) if kind else None
            except OSError as error:
                raise RegistryUnreachable(
                    f"Could not connect to {self._host}: {error}.",
                    "Check SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, and the folder of the "
                    "registry in certs.d.",
                ) from None
            self._clients[kind] = _make_client(context)
        return self._clients[kind]


def _make_client(context: ssl.SSLContext | None) -> httpx.Client:
    """Makes a pool of connections. It follows no redirects, stores no cookies, and uses the proxies of the environment.

    Without a context the pool trusts no certificate at all: reading the certificates of the system takes time.
    """
    logging.getLogger("httpx").addFilter(_QUIET)
    return httpx.Client(
        transport=_Routes(context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), Proxies.read()),
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
        try:
            return transport.handle_request(request)
        except httpx.ConnectError as error:
            # Only the connection to the proxy fails so: its own refusals, and TLS to the server, are other errors.
            if proxy is None or not any(isinstance(one, _UNREACHED) for one in causes_of(error)):
                raise
            raise httpx.ProxyError(f"the proxy of {proxy.variable} cannot be reached", request=request) from error

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


class _WithoutQueries(logging.Filter):
    """Removes the query from the URLs that httpx logs, because a query may contain a signature."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.copy_with(query=None, fragment=None) if isinstance(arg, httpx.URL) else arg for arg in record.args
            )
        return True


_QUIET = _WithoutQueries()
