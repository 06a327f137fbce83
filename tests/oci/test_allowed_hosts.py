"""A server of several users connects only to the hosts that its administrator lists, for any answer of a registry."""

from __future__ import annotations

import io
import socket
from collections.abc import Collection
from typing import Any

import pytest

from jupyter_condabuild.errors import RegistryNotAllowed
from jupyter_condabuild.oci.connections.allowed_hosts import AllowedHosts
from jupyter_condabuild.oci.connections.origins import Origin
from jupyter_condabuild.oci.image import OCI_LAYER_GZIP, Descriptor, Digest
from jupyter_condabuild.oci.registry import Credentials, Registry
from tests.parts.registry.faults import FakeRegistry, Reply

BLOB = b"blob"
LAYER = Descriptor(OCI_LAYER_GZIP, Digest.of(BLOB), len(BLOB))
ADDRESSES = {"metadata.lab.org": "169.254.169.254", "inside.lab.org": "127.0.0.1", "registry.lab.org": "192.0.2.7"}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Returns the addresses of a few names. An address is its own name."""

    def found(host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ADDRESSES.get(host, host), port))]

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.mark.parametrize(
    ("host", "allowed", "may"),
    [
        ("anything.example", (), True),
        ("registry.lab.org", ("registry.lab.org",), True),
        ("registry.lab.org", ("REGISTRY.lab.org:443",), True),
        ("registry.lab.org:5000", ("registry.lab.org:443",), False),
        ("registry.lab.org", ("*.lab.org",), True),
        ("lab.org.evil.example", ("*.lab.org",), False),
        ("docker.io", ("docker.io",), True),
        ("metadata.lab.org", ("*.lab.org",), False),
        ("inside.lab.org", ("*",), False),
        ("inside.lab.org", ("inside.lab.org",), True),
        ("127.0.0.1:5000", ("*",), False),
        ("127.0.0.1:5000", ("127.0.0.1:5000",), True),
        ("127.0.0.1:6000", ("127.0.0.1:5000",), False),
        ("169.254.169.254", ("*",), False),
        ("[::1]:5000", ("*",), False),
        ("[::1]:5000", ("[::1]:5000",), True),
        ("[::1]:5000", ("[::1]",), True),
        ("[::1]:5000", ("[::1]:6000",), False),
        ("[fe80::1]:5000", ("*",), False),
        ("[::ffff:127.0.0.1]", ("*",), False),
        ("0.0.0.0:5000", ("*",), False),
        ("192.0.2.7", ("*",), True),
    ],
)
def test_a_host_is_allowed_by_its_name_and_a_local_host_only_by_its_exact_name(
    names: None, host: str, allowed: Collection[str], may: bool
) -> None:
    """A pattern never allows this machine or a metadata service, whatever name has this address."""
    hosts, origin = AllowedHosts(allowed), Origin.of_registry(host, "https")
    if may:
        hosts.check(origin, host)
    else:
        with pytest.raises(RegistryNotAllowed, match="may not be sent to"):
            hosts.check(origin, host)


@pytest.mark.parametrize("way", ["redirect", "realm", "location"])
def test_a_registry_cannot_send_the_server_to_other_hosts(
    fake_registry: FakeRegistry, elsewhere: FakeRegistry, way: str
) -> None:
    """Redirects, token realms and upload locations are checked. The other server gets no request."""
    other = f"http://{elsewhere.host}/token"
    challenge = Reply(401, {"WWW-Authenticate": f'Bearer realm="{other}"'})
    fake_registry.on("GET", "blobs", Reply(307, {"Location": other}) if way == "redirect" else challenge)
    fake_registry.on("POST", "uploads", Reply(202, {"Location": other}))
    with Registry(fake_registry.host, credentials=Credentials("u", "p"), allowed=(fake_registry.host,)) as registry:
        repository = registry.repository("a/b")
        work = repository.push if way == "location" else lambda layer, _: list(repository.read(layer))
        said = f"may not be sent to {elsewhere.host} .for {fake_registry.host}"
        with pytest.raises(RegistryNotAllowed, match=said):
            work(LAYER, lambda: io.BytesIO(BLOB))
    assert elsewhere.seen == []


def test_a_registry_that_is_not_allowed_gets_no_request(fake_registry: FakeRegistry) -> None:
    """The probe for TLS is not sent either."""
    for insecure in (True, False):
        with (
            Registry(fake_registry.host, insecure=insecure, allowed=("registry.lab.org",)) as registry,
            pytest.raises(RegistryNotAllowed),
        ):
            registry.check()
    assert fake_registry.seen == []
