"""What goes wrong at a registry has a name, is said in the user's words, and is tried again where that may help."""

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
from jupyter_condabuild.oci.credentials import ANONYMOUS
from jupyter_condabuild.oci.image import OCI_MANIFEST, Digest, Reference, canonical_json
from jupyter_condabuild.oci.registry import Registry, Repository, open_registry
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
    """The time that retries wait by."""
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
def test_each_status_has_its_error(
    fake_registry: FakeRegistry,
    repository: Repository,
    clock: Clock,
    status: int,
    kind: type[RegistryError],
    temporary: bool,
) -> None:
    """The class says what kind of failure it is, the message where and what, with the registry's code and words."""
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


def test_what_a_registry_says_is_made_fit_to_be_shown(fake_registry: FakeRegistry, repository: Repository) -> None:
    """No control characters, no direction marks, no secrets of URLs, no novel."""
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
def test_a_body_of_another_form_is_left_out(fake_registry: FakeRegistry, repository: Repository, body: bytes) -> None:
    """The status alone is enough."""
    fake_registry.on("GET", "manifests", Reply(403, body=body))
    with pytest.raises(RegistryDenied, match=r"403 Forbidden\.$"):
        repository.manifest("v1")


@pytest.mark.parametrize("status", [200, 404, 502])
def test_a_web_page_is_not_a_registry_s_answer(
    fake_registry: FakeRegistry, repository: Repository, status: int
) -> None:
    """A login page or a proxy's error page is called one."""
    page = Reply(status, {"Content-Type": "text/html; charset=utf-8"}, b"<html>Please log in</html>")
    fake_registry.guard = lambda seen: page
    with pytest.raises(RegistryError, match="web page"):
        repository.manifest("v1")


def test_a_refused_connection_is_said_at_once(clock: Clock) -> None:
    """Where nothing ever answered, waiting would not help."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    with connect(host, clock=clock) as registry, pytest.raises(RegistryUnreachable, match="connection was refused"):
        registry.repository("team/env").head("v1")
    assert clock.waits == []


def test_a_registry_that_was_there_is_waited_for(clock: Clock) -> None:
    """A registry that restarts in the middle of a push is given time."""
    with serving() as server:
        registry = connect(server.host, clock=clock)
        registry.check()
    with registry, pytest.raises(RegistryUnreachable):
        registry.check()
    assert len(clock.waits) == 5


def test_an_unknown_host_is_said_at_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not resolve is most likely misspelt."""

    def fail(*args: object, **more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with connect("registry.test", clock=clock) as registry, pytest.raises(RegistryUnreachable, match="no such host"):
        registry.repository("team/env").head("v1")
    assert clock.waits == []


def test_tls_to_a_plain_server_says_how_to_allow_it(
    fake_registry: FakeRegistry, trusted: Callable[[str], ssl.SSLContext]
) -> None:
    """A registry without TLS that is not on this machine must be listed, and the hint says so."""
    trusted("registry.test")
    with connect(f"registry.test:{fake_registry.port}") as registry, pytest.raises(RegistryUnreachable) as raised:
        registry.check()
    assert "no TLS connection" in raised.value.message
    assert "insecure_registries" in raised.value.hint


def test_an_insecure_registry_may_speak_plain_http(
    fake_registry: FakeRegistry, trusted: Callable[[str], ssl.SSLContext]
) -> None:
    """A listed host, named with or without its port, is found without TLS."""
    trusted("registry.test")
    reference = Reference.parse(f"registry.test:{fake_registry.port}/team/env")
    for insecure in (["registry.test"], [f"registry.test:{fake_registry.port}"]):
        with open_registry(reference, insecure) as registry:
            registry.check()
    with open_registry(reference, ["other.test"]) as registry, pytest.raises(RegistryUnreachable):
        registry.check()


def test_a_certificate_that_nobody_vouches_for_must_be_allowed(
    trusted: Callable[[str], ssl.SSLContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused with a reason; an insecure registry may have it, and one whose CA Docker knows, too."""
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
        monkeypatch.setattr("jupyter_condabuild.oci.origins.CERTIFICATE_DIRS", (tmp_path / "certs.d",))
        (tmp_path / "certs.d" / host).mkdir(parents=True)
        (tmp_path / "certs.d" / host / "ca.crt").write_text(ca)
        with connect(host) as registry:
            registry.check()


def test_a_registry_that_does_not_answer_is_not_waited_for_for_ever(
    fake_registry: FakeRegistry, repository: Repository, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time limit the request is made again, and in the end given up."""
    monkeypatch.setattr(transport_module, "IDLE_TIMEOUT", 0.05)
    fake_registry.on("HEAD", "manifests", Reply(hang=True))
    assert repository.head("v1") is not None
    fake_registry.on("HEAD", "manifests", *[Reply(hang=True)] * 6)
    with pytest.raises(RegistryUnreachable, match="no answer in time"):
        repository.head("v1")
    assert len(clock.waits) == 1 + 5


@pytest.mark.parametrize(
    "reply", [Reply(drop=True), Reply(200, body=MANIFEST, cut=10), Reply(200, body=MANIFEST, cut=0)]
)
def test_a_broken_connection_is_tried_again(
    fake_registry: FakeRegistry, repository: Repository, clock: Clock, reply: Reply
) -> None:
    """No answer, or part of one, is as good as a busy registry."""
    fake_registry.on("GET", "manifests", reply, reply)
    assert repository.manifest("v1").raw == MANIFEST
    assert clock.waits == [0.5, 1.0]
    fake_registry.on("GET", "manifests", *[reply] * 6)
    with pytest.raises(RegistryUnreachable, match="connection was interrupted"):
        repository.manifest("v1")


def test_waits_grow_and_end(fake_registry: FakeRegistry, repository: Repository, clock: Clock) -> None:
    """Each wait is twice the one before, up to the number of attempts."""
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
def test_a_registry_s_wish_to_wait_is_granted(
    fake_registry: FakeRegistry,
    repository: Repository,
    clock: Clock,
    status: int,
    headers: dict[str, str],
    waits: list[float],
) -> None:
    """``Retry-After`` counts in both forms where it is longer than our own wait; nonsense does not."""
    fake_registry.on("GET", "manifests", Reply(status, headers))
    assert repository.manifest("v1").raw == MANIFEST
    assert clock.waits == waits


def test_a_wish_to_wait_for_hours_is_passed_on(
    fake_registry: FakeRegistry, repository: Repository, clock: Clock
) -> None:
    """Rather than wait longer than patience goes, the user is told how long the registry wants."""
    fake_registry.on("GET", "manifests", Reply(429, {"Retry-After": "21600"}))
    with pytest.raises(RegistryBusy) as raised:
        repository.manifest("v1")
    assert "21600 seconds" in raised.value.hint
    assert raised.value.retry_after == 21600
    assert clock.waits == []


def test_the_total_of_waits_is_bounded(fake_registry: FakeRegistry, repository: Repository, clock: Clock) -> None:
    """Waits that are each allowed are not endless together."""
    fake_registry.on("GET", "manifests", *[Reply(429, {"Retry-After": "55"})] * 6)
    with pytest.raises(RegistryBusy):
        repository.manifest("v1")
    assert sum(clock.waits) <= 240


def test_every_request_says_who_asks(fake_registry: FakeRegistry, repository: Repository) -> None:
    """The user agent names program and version."""
    push_image(repository, "v2")
    agents = {seen.headers["user-agent"] for seen in fake_registry.seen}
    assert len(agents) == 1
    assert agents.pop() == "jupyter-condabuild"


def test_the_proxy_of_the_environment_is_used(fake_registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere, ``HTTP_PROXY`` leads to registries; the proxy gets the address in full."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("http_proxy", f"http://{fake_registry.host}")
    fake_registry.guard = lambda seen: Reply(200)
    with Registry("registry.test:5000", insecure=True, credentials=ANONYMOUS, patience=Clock().patience) as registry:
        registry.check()
    assert fake_registry.seen[-1].path == "http://registry.test:5000/v2/"


def test_this_machine_is_reached_without_a_proxy(
    fake_registry: FakeRegistry, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry on loopback is none of the proxy's business, whatever NO_PROXY says."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for host in (fake_registry.host, f"localhost:{fake_registry.port}"):
        with connect(host) as registry:
            registry.check()


@pytest.mark.parametrize(
    "proxy", ["nonsense://user:canary@host:1", "http://user:canary@host:port", "socks5://user:canary@h:1"]
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_secret(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """The message points to the environment."""
    monkeypatch.setenv("https_proxy", proxy)
    with connect("registry.test") as registry, pytest.raises(RegistryUnreachable) as raised:
        registry.check()
    assert "proxy" in raised.value.message
    assert "canary" not in raised.value.message + raised.value.hint


def test_errors_are_what_json_and_logs_can_carry(fake_registry: FakeRegistry, repository: Repository) -> None:
    """Message and hint are plain strings whatever the registry sent."""
    fake_registry.on(
        "GET", "manifests", Reply(403, body=json.dumps({"errors": [{"code": None, "message": "\ud800"}]}).encode())
    )
    with pytest.raises(RegistryDenied) as raised:
        repository.manifest("v1")
    raised.value.message.encode()
