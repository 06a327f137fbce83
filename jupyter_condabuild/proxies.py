"""Proxies: the proxy that the environment variables name for an address, for registries and channels alike.

The variables are read as curl and Go's ``golang.org/x/net/http/httpproxy`` read them. Where the two differ, the rule is
that of curl, which rattler follows too: ``ALL_PROXY`` counts, a lower-case name comes before its upper-case form, and
``.lab.org`` also means ``lab.org``. From Go come the ports and ``*.lab.org`` in ``NO_PROXY``, and that this machine is
reached without a proxy.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_PORTS = {"http": 80, "https": 443}
_SCHEMES = ("http", "https", "socks5", "socks5h")
_WITH_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class Proxy:
    """The URL of a proxy, which may contain a login, and the environment variable that names it."""

    url: str = field(repr=False)
    variable: str

    @property
    def is_socks(self) -> bool:
        """Whether the proxy speaks SOCKS."""
        return self.url.lower().startswith("socks")

    @property
    def is_http(self) -> bool:
        """Whether the URL is valid, and the proxy speaks HTTP."""
        return self.is_valid and not self.is_socks

    @property
    def is_valid(self) -> bool:
        """Whether the URL has a known scheme, a host, and a port that is a number."""
        try:
            parts = urlsplit(self.url)
            return parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            return False


@dataclass(frozen=True)
class Direct:
    """An entry of ``NO_PROXY``: what is reached without a proxy.

    Either `network`, a range of addresses, or `domain`, a domain with all domains below it. `port` is None for all.
    """

    network: _Network | None = None
    domain: str = ""
    port: int | None = None

    @classmethod
    def parse_all(cls, text: str) -> Iterator[Direct]:
        """Yields the entries of ``NO_PROXY``, which commas or spaces separate. Malformed entries are left out."""
        for entry in text.replace(",", " ").split():
            match = _WITH_PORT.fullmatch(entry)
            host, port = (match["host"], int(match["port"])) if match else (entry, None)
            try:
                yield cls(ipaddress.ip_network(host.strip("[]"), strict=False), port=port)
            except ValueError:
                if domain := _domain(host.removeprefix("*")):
                    yield cls(domain=domain, port=port)

    @property
    def name(self) -> str:
        """The range of addresses or the domain, without the port."""
        return str(self.network or self.domain)

    def covers(self, host: str, port: int) -> bool:
        """Whether the entry means a host, which is a name or an address, and a port."""
        if self.port not in (None, port):
            return False
        if self.network:
            address = _address(host)
            return address is not None and address in self.network
        return f".{_domain(host)}".endswith(f".{self.domain}")


@dataclass(frozen=True)
class Proxies:
    """The proxies for each scheme, and what is reached without them.

    `by_scheme` has the proxy for ``http`` and for ``https``. `direct` are the entries of ``NO_PROXY``.
    """

    by_scheme: Mapping[str, Proxy]
    direct: tuple[Direct, ...] = ()

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Proxies:
        """Reads the environment variables of this process, or the given ones. Never raises an error."""
        environ = os.environ if environ is None else environ
        no_proxy = next(filter(None, (environ.get(name) for name in ("no_proxy", "NO_PROXY"))), "")
        if "*" in no_proxy.replace(",", " ").split():
            return cls({})
        found = {scheme: _named(environ, f"{scheme}_proxy", "all_proxy") for scheme in ("http", "https")}
        return cls({scheme: proxy for scheme, proxy in found.items() if proxy}, tuple(Direct.parse_all(no_proxy)))

    def find_for(self, url: str) -> Proxy | None:
        """Returns the proxy for a URL; None for a direct connection, and for a URL without a host."""
        parts = urlsplit(url)
        return (
            self.find(parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme, 0))
            if parts.hostname
            else None
        )

    def find(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Returns the proxy for an address; None for a direct connection.

        Args:
            scheme: ``http`` or ``https``.
            host: a name, or an address without brackets.
            port: the port, also if it is the scheme's own.
        """
        if is_this_machine(host):
            return None
        if any(entry.covers(host, port) for entry in self.direct):
            return None
        return self.by_scheme.get(scheme)


def is_this_machine(host: str) -> bool:
    """Whether a name or an address means the machine of the process that uses it: ``localhost``, ``127.0.0.1`` …"""
    address = _address(host)
    if address:
        return address.is_loopback or address.is_unspecified
    return f".{_domain(host)}".endswith(".localhost")


def _named(environ: Mapping[str, str], *names: str) -> Proxy | None:
    for variable in (form for name in names for form in (name, name.upper())):
        if value := environ.get(variable, "").strip():
            return Proxy(value if "://" in value else f"http://{value}", variable)
    return None


def _address(host: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _domain(host: str) -> str:
    """Returns a name in the form in which names are compared: in lower case, in ASCII, without dots at its ends."""
    name = host.strip(".").lower()
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return name
