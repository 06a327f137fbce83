"""AllowedHosts: the hosts that a server of several users may connect to on behalf of its clients (CWE-918)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

from jupyter_condabuild.errors import RegistryNotAllowed
from jupyter_condabuild.oci.connections.origins import Origin

_HUB = ("docker.io", "registry-1.docker.io", "auth.docker.io")
"""The hosts of Docker Hub. The entry ``docker.io`` stands for all of them."""


class AllowedHosts:
    """A list of allowed hosts. An empty list allows every host.

    An entry is a host name or an address, with or without a port: ``registry.lab.org``, ``127.0.0.1:5000``,
    ``[::1]:5000``. It may have ``*``. An entry with ``*`` never allows a loopback or link-local address, such as that
    of a cloud's metadata service, whatever name leads there.
    """

    def __init__(self, entries: Collection[str]) -> None:
        self._entries = tuple(entry.lower() for entry in entries)
        self._known: set[Origin] = set()

    def check(self, origin: Origin, registry: str) -> None:
        """Raises RegistryNotAllowed if the host of an origin is not allowed.

        Args:
            registry: the registry whose request leads to the origin, for the message.
        """
        if not self._entries or origin in self._known:
            return
        names = {origin.host.lower(), origin.name.lower(), f"{origin.name.lower()}:{origin.port}"}
        if origin.host in _HUB:
            names.add("docker.io")
        if not names & set(self._entries):
            place = origin.name if origin.port == 443 else f"{origin.name}:{origin.port}"
            where = place if registry in (place, origin.host) else f"{place} (for {registry})"
            if not any(fnmatchcase(name, entry) for name in names for entry in self._entries):
                raise RegistryNotAllowed(f"This server may not be sent to {where}.")
            if any(map(_is_local, _addresses(origin))):
                raise RegistryNotAllowed(f"This server may not be sent to {where}: the address is local.")
        self._known.add(origin)


def _addresses(origin: Origin) -> Iterator[str]:
    try:
        for *_, address in socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM):
            yield str(address[0])
    except (OSError, UnicodeError):
        return  # the connection fails, too, or a proxy finds the address


def _is_local(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
