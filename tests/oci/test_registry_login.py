"""Logins: each kind of challenge is answered, by real registries where they can ask it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_condabuild.errors import RegistryFault, RegistryUnauthorized
from jupyter_condabuild.oci.credentials import ANONYMOUS, Credentials
from jupyter_condabuild.oci.image import Digest
from jupyter_condabuild.oci.registry import Registry
from jupyter_condabuild.oci.tokens import Challenge
from tests.parts.registry.faults import Clock, FakeRegistry, Reply, serving
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
    """The realm, with a clean record."""
    _, realm = realm_and_host
    realm.granted.clear()
    realm.lifetime = 300
    return realm


@pytest.fixture
def tokened(realm_and_host: tuple[str, Realm]) -> str:
    """The registry that asks for the realm's tokens."""
    return realm_and_host[0]


def test_a_password_opens_a_registry(locked: str) -> None:
    """Push and pull work with Basic credentials."""
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
def test_a_closed_door_says_what_to_do(locked: str, login: Credentials, said: str) -> None:
    """Without the right login the error says whether there was one, and how to log in."""
    with connect(locked, login) as registry, pytest.raises(RegistryUnauthorized, match=said) as raised:
        registry.repository("team/env").push(blob(DATA), never)
    assert raised.value.status == 401
    assert f"docker login {locked}" in raised.value.hint
    assert "team/env" in raised.value.message


@pytest.mark.parametrize("login", [ADA, IDENTITY])
def test_a_token_is_got_for_each_scope_and_kept(tokened: str, realm: Realm, login: Credentials) -> None:
    """With a password or an identity token, one token for writing and one for reading do for a whole push and pull."""
    with connect(tokened, login) as registry:
        repository = registry.repository("team/env")
        manifest = push_image(repository, "v1", layers=tuple(os.urandom(100) for _ in range(5)))
        assert repository.manifest("v1") == manifest
        assert repository.head("v1") == manifest.descriptor
        b"".join(repository.read(manifest.layers[0]))
    assert realm.granted == [["repository:team/env:pull,push"], ["repository:team/env:pull"]]


def test_a_public_repository_needs_no_login(tokened: str, realm: Realm) -> None:
    """The anonymous token of the realm lets anyone read."""
    with connect(tokened, ANONYMOUS) as registry:
        assert registry.repository("public/base").head("v1") is None
        with pytest.raises(RegistryUnauthorized, match="requires a login for writing public/base"):
            registry.repository("public/base").push(blob(DATA), never)
    assert realm.granted[0] == ["repository:public/base:pull"]


def test_a_mount_asks_for_the_right_to_read_its_source(tokened: str, realm: Realm) -> None:
    """The token for a mount covers both repositories, and the mount succeeds."""
    data = os.urandom(100)
    with connect(tokened, ADA) as registry:
        registry.repository("team/base").push(blob(data), opener(data))
        realm.granted.clear()
        assert registry.repository("team/new").push(blob(data), never, mount_from=["team/base"]) == "mounted"
    assert ["repository:team/new:pull,push", "repository:team/base:pull"] in realm.granted


def test_a_source_that_may_not_be_read_is_not_mounted(tokened: str, realm: Realm) -> None:
    """Without the right to read the source the blob is uploaded."""
    data = os.urandom(100)
    with connect(tokened, ADA) as registry:
        repository = registry.repository("team/other")
        assert repository.push(blob(data), opener(data), mount_from=["secret/base"]) == "uploaded"


def test_deleting_asks_for_the_right_to_delete(tokened: str, realm: Realm) -> None:
    """The scope names the action."""
    with connect(tokened, ADA) as registry:
        repository = registry.repository("team/old")
        repository.delete(push_image(repository, "v1").descriptor.digest)
        assert repository.head("v1") is None
    assert ["repository:team/old:pull,delete"] in realm.granted


def test_a_token_is_renewed_before_it_expires(tokened: str, realm: Realm) -> None:
    """When its time is over by our clock, another one is got without a refusal in between."""
    clock = Clock()
    realm.lifetime = 100
    with connect(tokened, ADA, clock) as registry:
        repository = registry.repository("team/env")
        for now, tokens in ((0, 1), (80, 1), (95, 2), (120, 2)):
            clock.now = 1000.0 + now
            repository.has(Digest.of(b""))
            assert len(realm.granted) == tokens


def test_a_token_that_is_refused_early_is_renewed_once(fake_registry: FakeRegistry) -> None:
    """A registry that forgets its tokens gets a new one; one that refuses that too is believed."""
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


def test_a_wrong_password_at_the_realm_is_the_user_s_to_mend(tokened: str, realm: Realm) -> None:
    """The realm's refusal reads like the registry's."""
    with connect(tokened, Credentials(USER, "wrong")) as registry, pytest.raises(RegistryUnauthorized) as raised:
        registry.repository("team/env").head("v1")
    assert "does not accept the stored login for reading team/env" in raised.value.message


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
def test_an_invalid_token_is_a_fault_of_the_realm(fake_registry: FakeRegistry, body: bytes) -> None:
    """What is no token is never put into a header."""
    with serving() as realm:
        fake_registry.guard = bearer_guard(f"http://{realm.host}/token")
        realm.guard = lambda seen: Reply(200, body=body)
        with connect(fake_registry.host, ADA) as registry, pytest.raises(RegistryFault, match="token"):
            registry.repository("team/env").head("v1")


def test_a_realm_may_not_widen_what_is_asked_for(fake_registry: FakeRegistry) -> None:
    """A challenge may ask for further actions on the repository at hand, not for other repositories."""
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
def test_challenges_are_read_as_the_standard_writes_them(
    headers: list[str], expected: list[tuple[str, dict[str, str]]]
) -> None:
    """Quoted commas, several challenges in one header, several headers, any case; nonsense harms nobody."""
    found = [(challenge.scheme, dict(challenge.parameters)) for challenge in Challenge.parse_all(headers)]
    assert found == expected


def test_basic_is_the_way_where_bearer_is_not_offered_and_others_are_unknown(fake_registry: FakeRegistry) -> None:
    """Of several ways the one that works here is chosen; if there is none, the message names them."""
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


def test_the_stored_login_is_looked_for_only_when_it_is_asked_for(
    fake_registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker's configuration opens the registry; while nothing is refused, no login is sent."""
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
