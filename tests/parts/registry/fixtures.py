"""Pytest fixtures: fake registries, and hosts with certificates."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parts.registry.faults import FakeRegistry, serving
from tests.parts.registry.logins import CANARIES, certificate


@pytest.fixture
def fake_registry() -> Iterator[FakeRegistry]:
    """A registry that a test controls."""
    with serving() as server:
        yield server


@pytest.fixture
def elsewhere() -> Iterator[FakeRegistry]:
    """Another server, which must not get credentials."""
    with serving() as server:
        yield server
        for seen in server.seen:
            assert not seen.authorization
            text = f"{seen.path} {dict(seen.headers)} {seen.body!r}"
            assert not [canary for canary in CANARIES if canary in text]


@pytest.fixture
def named_here(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a host name lead to this machine."""
    names, real = set[str](), socket.getaddrinfo

    def resolve(host: str | bytes, *args: object, **more: object) -> object:
        name = host.decode() if isinstance(host, bytes) else host
        return real("127.0.0.1" if name in names else host, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return names.add


@pytest.fixture
def trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named_here: Callable[[str], None]
) -> Callable[[str], ssl.SSLContext]:
    """Makes a server's TLS context for a host name of this machine, with a trusted certificate."""

    def make(name: str) -> ssl.SSLContext:
        named_here(name)
        key, crt = certificate(tmp_path, name)
        monkeypatch.setenv("SSL_CERT_FILE", str(crt))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(crt, key)
        return context

    return make
