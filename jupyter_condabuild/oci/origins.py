"""Where a request may go: origins of URLs, the address behind a registry's name, and whose certificates are trusted."""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx

from jupyter_condabuild.errors import RegistryFault, UsageError

CERTIFICATE_DIRS = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))
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

    @property
    def url(self) -> httpx.URL:
        """The URL of the origin's root."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return httpx.URL(f"{self.scheme}://{host}:{self.port}/")


def resolve(base: httpx.URL, location: str, doing: str, where: str) -> httpx.URL:
    """The absolute URL that an answer from `base` names, without userinfo and fragment.

    Raises RegistryFault for what is no http or https URL, and for one that would leave TLS.
    """
    try:
        url = base.join(location)
        url = url.copy_with(username=None, password=None, fragment=None)
        valid = url.scheme in _DEFAULT_PORTS and bool(url.host)
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


def address(host: str) -> str:
    """The host and port to connect to for a registry's name; Docker Hub's registry has a name of its own."""
    if not _HOST.fullmatch(host):
        raise UsageError(f"{host[:200]!r} is not the name of a registry.")
    return "registry-1.docker.io" if host in ("docker.io", "index.docker.io") else host


def is_loopback(host: str) -> bool:
    """Whether a host, with or without port, is this machine by its name: localhost, 127/8 or ::1."""
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def tls_context(host: str, *, verify: bool) -> ssl.SSLContext:
    """Trusts the system's certificates or SSL_CERT_FILE's, else certifi's, and what Docker or Podman have for host."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if not context.cert_store_stats()["x509_ca"]:
        import certifi

        context.load_verify_locations(certifi.where())
    for folder in CERTIFICATE_DIRS:
        for certificate in sorted((folder / host).glob("*.crt")):
            context.load_verify_locations(certificate)
    return context
