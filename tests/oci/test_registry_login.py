"""Logins: each kind of challenge is answered, with real registries where they support it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_condabuild.errors import RegistryFault, RegistryUnauthorized
from jupyter_condabuild.oci.image import Digest
from jupyter_condabuild.oci.logins.credentials import ANONYMOUS, Credentials
from jupyter_condabuild.oci.registry import Registry
from jupyter_condabuild.oci.tokens import Challenge
from tests.parts.registry.faults import Clock, FakeRegistry, Reply, serving, spec_error
from tests.parts.registry.logins import (
    ADA,
    BASIC,
    IDENTITY,
    PASSWORD,
    USER,
    Realm,
    basic_guard,
    bearer_guard,
    password_registry,
    token_registry,
)
from tests.parts.registry.pushing import blob, connect, never, opener, push_image

DATA = b"some bytes"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry with a password file."""
    with password_registry(tmp_path_factory.mktemp("locked")) as host:
        yield host


@pytest.fixture(scope="module")
def realm_and_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Realm]]:
    """A real registry with a token realm."""
    with token_registry(tmp_path_factory.mktemp("tokens")) as both:
        yield both


@pytest.fixture
def realm(realm_and_host: tuple[str, Realm]) -> Realm:
    """The realm, with an empty record of requests."""
    _, realm = realm_and_host
    realm.granted.clear()
    realm.lifetime = 300
    return realm


@pytest.fixture
def tokened(realm_and_host: tuple[str, Realm]) -> str:
    """A registry that needs the realm's tokens."""
    return realm_and_host[0]


def test_a_password_opens_a_registry(locked: str) -> None:
    """Push and pull work with Basic authentication."""
    with connect(locked, ADA) as registry:
        repository = registry.repository("team/env")
        manifest = push_image(repository, "v1", layers=(os.urandom(1000),))
        assert repository.manifest("v1") == manifest
        registry.check()


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (ANONYMOUS, "requires a login"),
        (Credentials(USER, "wrong"), "does not accept the stored login"),
        (IDENTITY, "does not accept the stored login"),
        (
            Credentials(problem="the credential helper docker-credential-x is not installed"),
            "docker-credential-x is not",
        ),
    ],
)
def test_a_missing_login_is_explained(locked: str, login: Credentials, said: str) -> None:
    """If the login is missing or wrong, the error says which, and how to log in."""
    with connect(locked, login) as registry, pytest.raises(RegistryUnauthorized, match=said) as raised:
        registry.repository("team/env").push(blob(DATA), never)
    assert raised.value.status == 401
    assert f"condabuild login {locked}" in raised.value.hint
    assert "team/env" in raised.value.message


@pytest.mark.parametrize("login", [ADA, IDENTITY])
def test_a_token_is_requested_for_each_scope_and_kept(tokened: str, realm: Realm, login: Credentials) -> None:
    """With a password or an identity token, a push and pull needs one token for writing and one for reading."""
    with connect(tokened, login) as registry:
        repository = registry.repository("team/env")
        manifest = push_image(repository, "v1", layers=tuple(os.urandom(100) for _ in range(5)))
        assert repository.manifest("v1") == manifest
        assert repository.head("v1") == manifest.descriptor
        b"".join(repository.read(manifest.layers[0]))
    assert realm.granted == [["repository:team/env:pull,push"], ["repository:team/env:pull"]]


def test_a_public_repository_needs_no_login(tokened: str, realm: Realm) -> None:
    """With the anonymous token of the realm, every user can read."""
    with connect(tokened, ANONYMOUS) as registry:
        assert registry.repository("public/base").head("v1") is None
        with pytest.raises(RegistryUnauthorized, match="requires a login for writing public/base"):
            registry.repository("public/base").push(blob(DATA), never)
    assert realm.granted[0] == ["repository:public/base:pull"]


def test_a_mount_requests_read_access_to_its_source(tokened: str, realm: Realm) -> None:
    """The token for a mount is valid for both repositories, and the mount succeeds."""
    data = os.urandom(100)
    with connect(tokened, ADA) as registry:
        registry.repository("team/base").push(blob(data), opener(data))
        realm.granted.clear()
        assert registry.repository("team/new").push(blob(data), never, mount_from=["team/base"]) == "mounted"
    assert ["repository:team/new:pull,push", "repository:team/base:pull"] in realm.granted


def test_a_source_without_read_access_is_not_mounted(tokened: str, realm: Realm) -> None:
    """Without read access to the source repository, the blob is uploaded."""
    data = os.urandom(100)
    with connect(tokened, ADA) as registry:
        repository = registry.repository("team/other")
        assert repository.push(blob(data), opener(data), mount_from=["secret/base"]) == "uploaded"


def test_deleting_requests_delete_access(tokened: str, realm: Realm) -> None:
    """The scope contains the action."""
    with connect(tokened, ADA) as registry:
        repository = registry.repository("team/old")
        repository.delete(push_image(repository, "v1").descriptor.digest)
        assert repository.head("v1") is None
    assert ["repository:team/old:pull,delete"] in realm.granted


def test_a_token_is_renewed_before_it_expires(tokened: str, realm: Realm) -> None:
    """When a token has expired by our clock, a new one is requested before the registry refuses the old one."""
    clock = Clock()
    realm.lifetime = 100
    with connect(tokened, ADA, clock) as registry:
        repository = registry.repository("team/env")
        for now, tokens in ((0, 1), (80, 1), (95, 2), (120, 2)):
            clock.now = 1000.0 + now
            repository.has(Digest.of(b""))
            assert len(realm.granted) == tokens


def test_a_refused_token_is_renewed_once(fake_registry: FakeRegistry) -> None:
    """If a registry no longer knows its token, a new token is requested.

    If the new token is refused, an error is raised.
    """
    fake_registry.guard = bearer_guard(f"http://{fake_registry.host}/token")
    fake_registry.put("team/env", DATA)
    with connect(fake_registry.host, ADA) as registry:
        repository = registry.repository("team/env")
        assert repository.has(blob(DATA).digest)
        fake_registry.on(
            "HEAD", "blobs", Reply(401, {"WWW-Authenticate": f'Bearer realm="http://{fake_registry.host}/token"'})
        )
        assert repository.has(blob(DATA).digest)
        assert fake_registry.times("GET", "/token") == 2
        fake_registry.guard = bearer_guard(f"http://{fake_registry.host}/token", accept="nothing")
        with pytest.raises(RegistryUnauthorized):
            repository.has(blob(DATA).digest)
        assert fake_registry.times("GET", "/token") == 3


def test_a_wrong_password_at_the_realm_is_explained(tokened: str, realm: Realm) -> None:
    """The error is the same as for a wrong password at the registry."""
    with connect(tokened, Credentials(USER, "wrong")) as registry, pytest.raises(RegistryUnauthorized) as raised:
        registry.repository("team/env").head("v1")
    assert "does not accept the stored login for reading team/env" in raised.value.message


def test_the_reason_of_a_refusal_is_reported(fake_registry: FakeRegistry) -> None:
    """The user learns that an account is locked, or that a token has expired."""
    with serving() as realm:
        fake_registry.guard = bearer_guard(f"http://{realm.host}/token")
        realm.guard = lambda seen: spec_error(401, "UNAUTHORIZED", "the account is locked")
        with connect(fake_registry.host, ADA) as registry, pytest.raises(RegistryUnauthorized) as raised:
            registry.repository("team/env").head("v1")
    assert "does not accept the stored login" in raised.value.message
    assert "the account is locked" in raised.value.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"token": 5}',
        b'{"token": ""}',
        b'{"token": "a\\r\\nX-Evil: b"}',
        b'{"token": "a b"}',
        b"[" * 9000,
    ],
)
def test_an_invalid_token_is_an_error_of_the_realm(fake_registry: FakeRegistry, body: bytes) -> None:
    """A text that is not a token is never put into a header."""
    with serving() as realm:
        fake_registry.guard = bearer_guard(f"http://{realm.host}/token")
        realm.guard = lambda seen: Reply(200, body=body)
        with connect(fake_registry.host, ADA) as registry, pytest.raises(RegistryFault, match="token"):
            registry.repository("team/env").head("v1")


@pytest.mark.parametrize("name", ["token", "access_token"])
@pytest.mark.parametrize("expiry", ["", ', "expires_in": 0', ', "expires_in": null', ', "expires_in": "300"'])
def test_the_answers_of_token_servers_differ(fake_registry: FakeRegistry, name: str, expiry: str) -> None:
    """The token has one of two names. Without a time, it is used for a minute (token.md, "Token Response Fields")."""
    with serving() as realm:
        fake_registry.guard = bearer_guard(f"http://{realm.host}/token")
        realm.guard = lambda seen: Reply(200, body=f'{{"{name}": "canary-token"{expiry}}}'.encode())
        with connect(fake_registry.host, ADA) as registry:
            for tag in ("v1", "v2"):
                push_image(registry.repository("team/env"), tag)
        assert len(realm.seen) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_token_server_is_asked_again(fake_registry: FakeRegistry, status: int) -> None:
    """``Retry-After`` counts for token servers, too."""
    clock = Clock()
    with serving() as realm:
        fake_registry.guard = bearer_guard(f"http://{realm.host}/token")
        realm.guard = lambda seen: Reply(200, body=b'{"token": "canary-token"}')
        realm.on("GET", "token", Reply(status, {"Retry-After": "7"}))
        with connect(fake_registry.host, ADA, clock) as registry:
            assert registry.repository("team/env").head("v1") is None
    assert clock.waits == [7.0]


def test_a_challenge_cannot_request_other_repositories(fake_registry: FakeRegistry) -> None:
    """A challenge can ask for more actions on the repository of the request, but not for other repositories."""
    scope = "repository:team/env:delete repository:team/secret:pull,push registry:catalog:*"
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{fake_registry.host}/token",service="s",scope="{scope}"'}
    fake_registry.guard = bearer_guard(f"http://{fake_registry.host}/token")
    fake_registry.on("HEAD", "manifests", Reply(401, challenge))
    with connect(fake_registry.host, ADA) as registry:
        registry.repository("team/env").head("v1")
    (asked,) = [seen.path for seen in fake_registry.seen if seen.path.startswith("/token")]
    assert asked == "/token?service=s&scope=repository%3Ateam%2Fenv%3Apull%2Cdelete"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["Basic realm=lab"], [("basic", {"realm": "lab"})]),
        (
            ['Bearer realm="https://r/t?a=b,c",service="a, \\"b\\"",scope="repository:x:pull,push"'],
            [("bearer", {"realm": "https://r/t?a=b,c", "service": 'a, "b"', "scope": "repository:x:pull,push"})],
        ),
        (
            ['Negotiate, Basic realm="a, b", BEARER Realm = "r" , error="x"', "Digest nonce=n"],
            [
                ("negotiate", {}),
                ("basic", {"realm": "a, b"}),
                ("bearer", {"realm": "r", "error": "x"}),
                ("digest", {"nonce": "n"}),
            ],
        ),
        (["Basic realm=first, realm=second"], [("basic", {"realm": "first"})]),
        (["", ",,", '"', "=x", "realm=x"], []),
    ],
)
def test_challenges_are_parsed_by_the_standard(headers: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    """Quoted commas, several challenges in a header, several headers and any case are parsed.

    Invalid texts are ignored.
    """
    found = [(challenge.scheme, dict(challenge.parameters)) for challenge in Challenge.parse_all(headers)]
    assert found == expected


def test_a_supported_challenge_is_chosen(fake_registry: FakeRegistry) -> None:
    """If there are several challenges, a supported one is used. If none is supported, the message names them."""
    offers = {"WWW-Authenticate": 'Negotiate, Digest nonce="n", Basic realm="lab"'}
    fake_registry.guard = lambda seen: None if seen.authorization == BASIC else Reply(401, offers)
    with connect(fake_registry.host, ADA) as registry:
        registry.check()
    fake_registry.guard = lambda seen: Reply(401, {"WWW-Authenticate": "Negotiate"})
    with (
        connect(fake_registry.host, ADA) as registry,
        pytest.raises(RegistryUnauthorized, match=r"not supported .negotiate"),
    ):
        registry.check()


def test_the_stored_login_is_read_only_when_needed(
    fake_registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker's configuration contains the login. As long as the registry refuses no request, no login is sent."""
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {fake_registry.host: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)
    with Registry(fake_registry.host) as registry:
        registry.check()
        assert not fake_registry.seen[-1].authorization
        fake_registry.guard = basic_guard
        registry.check()
        assert fake_registry.seen[-1].authorization == BASIC
