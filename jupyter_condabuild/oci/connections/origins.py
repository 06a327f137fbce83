"""Origins of URLs, and the origin of a registry."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from jupyter_condabuild.errors import RegistryFault, UsageError
from jupyter_condabuild.oci.connections.http import httpx

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
    def name(self) -> str:
        """The host as in a URL or a reference: an IPv6 address is in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def url(self) -> httpx.URL:
        """The URL of the root of the origin."""
        return httpx.URL(f"{self.scheme}://{self.name}:{self.port}/")

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
        url = base.join(location)
        if url.userinfo or url.fragment:
            url = url.copy_with(username=None, password=None, fragment=None)
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
