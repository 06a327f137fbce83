"""Errors of registries have classes and clear messages. The client repeats requests if this can help."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from jupyter_condabuild.errors import (
    RegistryBusy,
    RegistryDenied,
    RegistryError,
    RegistryFault,
    RegistryNotFound,
    RegistryTooLarge,
    RegistryUnauthorized,
    RegistryUnreachable,
)
from jupyter_condabuild.oci import transport as transport_module
from jupyter_condabuild.oci.image import OCI_MANIFEST, Digest, Reference, canonical_json
from jupyter_condabuild.oci.logins.credentials import ANONYMOUS
from jupyter_condabuild.oci.registry import Registry, Repository, open_registry
from jupyter_condabuild.oci.retry import Patience
from tests.parts.registry.faults import Clock, FakeRegistry, Reply, serving, spec_error
from tests.parts.registry.logins import certificate
from tests.parts.registry.pushing import connect, push_image

DATA = bytes(range(256)) * 20_000
MANIFEST = canonical_json(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/json", "digest": str(Digest.of(b"{}")), "size": 2},
        "layers": [],
    }
)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def clock() -> Clock:
    """A clock that counts the waiting time of retries."""
    return Clock()


@pytest.fixture
def repository(fake_registry: FakeRegistry, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """A repository with a blob, DATA, and a manifest, ``v1``."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    fake_registry.put("team/env", DATA)
    fake_registry.put_manifest("team/env", "v1", OCI_MANIFEST, MANIFEST)
    with connect(fake_registry.host, clock=clock) as registry:
        yield registry.repository("team/env")


@pytest.mark.parametrize(
    ("status", "kind", "temporary"),
    [
        (400, RegistryError, False),
        (401, RegistryUnauthorized, False),
        (403, RegistryDenied, False),
        (404, RegistryNotFound, False),
        (405, RegistryError, False),
        (408, RegistryError, True),
        (413, RegistryTooLarge, False),
        (418, RegistryError, False),
        (429, RegistryBusy, True),
        (500, RegistryFault, True),
        (501, RegistryFault, False),
        (502, RegistryFault, True),
        (503, RegistryFault, True),
        (504, RegistryFault, True),
        (599, RegistryFault, False),
        (204, RegistryFault, False),
        (300, RegistryFault, False),
    ],
)
def test_each_status_has_its_error_class(
    fake_registry: FakeRegistry,
    repository: Repository,
    clock: Clock,
    status: int,
    kind: type[RegistryError],
    temporary: bool,
) -> None:
    """The class says the kind of the failure.

    The message says where it happened, with the registry's code and message.
    """
    headers = {"WWW-Authenticate": 'Basic realm="r"'} if status == 401 else {}
    refused = spec_error(status, "CODE", "in its own words", **headers)
    fake_registry.guard = lambda seen: refused if status != 204 else Reply(204)
    with pytest.raises(RegistryError) as raised:
        repository.manifest("v1")
    error = raised.value
    assert type(error) is kind
    assert (error.status, error.temporary) == (status, temporary)
    assert fake_registry.host in error.message
    assert "team/env" in error.message
    assert status in (204, 401) or f"{status}" in error.message
    assert status in (204, 401) or "(CODE: in its own words)" in error.message
    assert error.hint
    assert bool(clock.waits) == temporary


def test_messages_of_a_registry_are_cleaned(fake_registry: FakeRegistry, repository: Repository) -> None:
    """Control characters, direction marks and secrets in URLs are removed, and long messages are cut."""
    words = "a\x1b[31mb\r\n\u202ec https://user:pw@host/path?sig=secret&x=1 d\0" + "long " * 10_000
    fake_registry.on("GET", "manifests", spec_error(403, "DENIED\x07" + "X" * 500, words))
    with pytest.raises(RegistryDenied) as raised:
        repository.manifest("v1")
    message = raised.value.message
    assert message.isprintable()
    assert "a [31mb c https://host/path d" in message
    assert "secret" not in message
    assert "pw" not in message
    assert len(message) < 600


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"errors": 5}', b'{"errors": [5]}', b"\xff", b"[" * 9000, b'{"errors":{}}']
)
def test_a_body_in_another_format_is_ignored(fake_registry: FakeRegistry, repository: Repository, body: bytes) -> None:
    """The message then contains only the status."""
    fake_registry.on("GET", "manifests", Reply(403, body=body))
    with pytest.raises(RegistryDenied, match=r"403 Forbidden\.$"):
        repository.manifest("v1")


@pytest.mark.parametrize("status", [200, 404, 502])
def test_a_web_page_is_not_an_answer_of_a_registry(
    fake_registry: FakeRegistry, repository: Repository, status: int
) -> None:
    """The message says that the answer is a login page or the error page of a proxy."""
    page = Reply(status, {"Content-Type": "text/html; charset=utf-8"}, b"<html>Please log in</html>")
    fake_registry.guard = lambda seen: page
    with pytest.raises(RegistryError, match="web page"):
        repository.manifest("v1")


def test_a_refused_connection_fails_at_once(clock: Clock) -> None:
    """If the registry has never answered, the client does not wait."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    with connect(host, clock=clock) as registry, pytest.raises(RegistryUnreachable, match="connection was refused"):
        registry.repository("team/env").head("v1")
    assert clock.waits == []


def test_the_client_waits_for_a_registry_that_restarts(clock: Clock) -> None:
    """If the registry has answered before, the client waits for it during a push."""
    with serving() as server:
        registry = connect(server.host, clock=clock)
        registry.check()
    with registry, pytest.raises(RegistryUnreachable):
        registry.check()
    assert len(clock.waits) == 5


def test_an_unknown_host_fails_at_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be resolved is probably misspelled. For Docker Hub, the name may lack its registry."""

    def fail(*args: object, **more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with connect("registry.test", clock=clock) as registry, pytest.raises(RegistryUnreachable, match="no such host"):
        registry.repository("team/env").head("v1")
    with connect("docker.io", clock=clock) as registry, pytest.raises(RegistryUnreachable) as caught:
        registry.repository("library/env").head("v1")
    assert "no registry in its name" in caught.value.hint
    assert clock.waits == []


def test_tls_to_a_plain_server_says_how_to_allow_it(
    fake_registry: FakeRegistry, trusted: Callable[[str], ssl.SSLContext]
) -> None:
    """A registry without TLS on another machine must be listed. The hint says so."""
    trusted("registry.test")
    with connect(f"registry.test:{fake_registry.port}") as registry, pytest.raises(RegistryUnreachable) as raised:
        registry.check()
    assert "no TLS connection" in raised.value.message
    assert "insecure_registries" in raised.value.hint


def test_an_insecure_registry_may_use_plain_http(
    fake_registry: FakeRegistry, trusted: Callable[[str], ssl.SSLContext]
) -> None:
    """A listed host, with or without its port, is used without TLS."""
    trusted("registry.test")
    reference = Reference.parse(f"registry.test:{fake_registry.port}/team/env")
    for insecure in (["registry.test"], [f"registry.test:{fake_registry.port}"]):
        with open_registry(reference, insecure) as registry:
            registry.check()
    with open_registry(reference, ["other.test"]) as registry, pytest.raises(RegistryUnreachable):
        registry.check()


def test_an_unknown_certificate_must_be_allowed(
    trusted: Callable[[str], ssl.SSLContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate is refused with a reason.

    An insecure registry may use it, and so may a registry whose CA Docker has.
    """
    with serving(trusted("registry.test")) as server:
        other = tmp_path / "other"
        other.mkdir()
        _, wrong = certificate(other, "other.test")
        host, ca = f"registry.test:{server.port}", (tmp_path / "crt.pem").read_text()
        monkeypatch.setenv("SSL_CERT_FILE", str(wrong))
        with (
            connect(host) as registry,
            pytest.raises(RegistryUnreachable, match="certificate is not trusted") as raised,
        ):
            registry.check()
        assert "SSL_CERT_FILE" in raised.value.hint
        with Registry(host, insecure=True, credentials=ANONYMOUS) as registry:
            registry.check()
        assert server.seen[-1].path == "/v2/"
        monkeypatch.setattr("jupyter_condabuild.oci.connections.tls.SYSTEM_DIRS", (tmp_path / "certs.d",))
        (tmp_path / "certs.d" / host).mkdir(parents=True)
        (tmp_path / "certs.d" / host / "ca.crt").write_text(ca)
        with connect(host) as registry:
            registry.check()


def test_a_registry_that_does_not_answer_times_out(
    fake_registry: FakeRegistry, repository: Repository, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time limit the request is repeated. After the last attempt an error is raised."""
    monkeypatch.setattr(transport_module, "IDLE_TIMEOUT", 0.05)
    fake_registry.on("HEAD", "manifests", Reply(hang=True))
    assert repository.head("v1") is not None
    fake_registry.on("HEAD", "manifests", *[Reply(hang=True)] * 6)
    with pytest.raises(RegistryUnreachable, match="no answer in time"):
        repository.head("v1")
    assert len(clock.waits) == 1 + 5


def test_an_impatient_reader_waits_as_long_as_it_says(
    fake_registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The panel does not wait a minute for a registry that never answers."""
    used: list[float | None] = []
    build = transport_module.httpx.Timeout

    def seen(*given: float, **named: float | None) -> object:
        used.append(named["read"])
        return build(*given, **named)

    monkeypatch.setattr(transport_module.httpx, "Timeout", seen)
    fake_registry.on("HEAD", "manifests", Reply(hang=True))
    patience = Patience(attempts=1, answer=0.05)
    with (
        Registry(fake_registry.host, credentials=lambda *_: ANONYMOUS, patience=patience) as registry,
        pytest.raises(RegistryUnreachable, match="no answer in time"),
    ):
        registry.repository("team/env").head("v1")
    assert set(used) == {0.05}


@pytest.mark.parametrize(
    "reply", [Reply(drop=True), Reply(200, body=MANIFEST, cut=10), Reply(200, body=MANIFEST, cut=0)]
)
def test_a_request_is_repeated_after_a_broken_connection(
    fake_registry: FakeRegistry, repository: Repository, clock: Clock, reply: Reply
) -> None:
    """No answer and a partial answer are handled like a busy registry."""
    fake_registry.on("GET", "manifests", reply, reply)
    assert repository.manifest("v1").raw == MANIFEST
    assert clock.waits == [0.5, 1.0]
    fake_registry.on("GET", "manifests", *[reply] * 6)
    with pytest.raises(RegistryUnreachable, match="connection was interrupted"):
        repository.manifest("v1")


def test_waiting_times_grow_and_are_limited(fake_registry: FakeRegistry, repository: Repository, clock: Clock) -> None:
    """Each waiting time is twice the previous one. The number of attempts is limited."""
    fake_registry.on("GET", "manifests", *[Reply(503)] * 6)
    with pytest.raises(RegistryFault):
        repository.manifest("v1")
    assert clock.waits == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert fake_registry.times("GET", "manifests") == 6


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ({"Retry-After": "7"}, [7.0]),
        ({"Retry-After": "0"}, [0.5]),
        (
            {"Retry-After": formatdate(1_000_000_020, usegmt=True), "Date": formatdate(1_000_000_000, usegmt=True)},
            [20.0],
        ),
        ({"Retry-After": formatdate(999_999_000, usegmt=True), "Date": formatdate(1_000_000_000, usegmt=True)}, [0.5]),
        ({"Retry-After": "soon"}, [0.5]),
        ({"Retry-After": "-5"}, [0.5]),
        ({"Retry-After": "9" * 400}, [0.5]),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_respected(
    fake_registry: FakeRegistry,
    repository: Repository,
    clock: Clock,
    status: int,
    headers: dict[str, str],
    waits: list[float],
) -> None:
    """``Retry-After`` is used in both of its forms if it is longer than our own waiting time.

    An invalid value is ignored.
    """
    fake_registry.on("GET", "manifests", Reply(status, headers))
    assert repository.manifest("v1").raw == MANIFEST
    assert clock.waits == waits


def test_a_very_long_retry_after_is_an_error(fake_registry: FakeRegistry, repository: Repository, clock: Clock) -> None:
    """If the registry asks for a longer time than our limit, the error tells the user this time."""
    fake_registry.on("GET", "manifests", Reply(429, {"Retry-After": "21600"}))
    with pytest.raises(RegistryBusy) as raised:
        repository.manifest("v1")
    assert "21600 seconds" in raised.value.hint
    assert raised.value.retry_after == 21600
    assert clock.waits == []


def test_the_total_waiting_time_is_limited(fake_registry: FakeRegistry, repository: Repository, clock: Clock) -> None:
    """The sum of several waiting times is limited, too."""
    fake_registry.on("GET", "manifests", *[Reply(429, {"Retry-After": "55"})] * 6)
    with pytest.raises(RegistryBusy):
        repository.manifest("v1")
    assert sum(clock.waits) <= 240


def test_every_request_has_a_user_agent(fake_registry: FakeRegistry, repository: Repository) -> None:
    """The user agent contains the program and its version."""
    push_image(repository, "v2")
    agents = {seen.headers["user-agent"] for seen in fake_registry.seen}
    assert len(agents) == 1
    assert agents.pop() == "jupyter-condabuild"


def test_errors_contain_only_valid_text(fake_registry: FakeRegistry, repository: Repository) -> None:
    """Message and hint can be written as JSON and to a log, for any answer of the registry."""
    fake_registry.on(
        "GET", "manifests", Reply(403, body=json.dumps({"errors": [{"code": None, "message": "\ud800"}]}).encode())
    )
    with pytest.raises(RegistryDenied) as raised:
        repository.manifest("v1")
    raised.value.message.encode()
