"""Credentials go only to their registry and to its realm: to no other server, into no message and into no log."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable

import pytest

from jupyter_condabuild.errors import RegistryDenied, RegistryError, RegistryFault, RegistryUnreachable
from jupyter_condabuild.oci.logins.credentials import Credentials
from jupyter_condabuild.oci.tag_list import tags_of
from tests.parts.registry.faults import FakeRegistry, Reply, serving, spec_error
from tests.parts.registry.logins import ADA, BASIC, IDENTITY, PASSWORD, USER, basic_guard, bearer_guard
from tests.parts.registry.pushing import blob, connect, never, opener, push_image

DATA = b"some bytes"


def test_a_redirect_to_storage_carries_no_credentials(fake_registry: FakeRegistry, elsewhere: FakeRegistry) -> None:
    """A blob can be at a signed URL on another server, as in object storage. This server does not get our login."""
    fake_registry.guard = basic_guard
    elsewhere.guard = lambda seen: Reply(200, body=DATA)
    moved = Reply(307, {"Location": f"http://user:secret@{elsewhere.host}/bucket/object?signature=a%2Bb"})
    with connect(fake_registry.host, ADA) as registry:
        repository = registry.repository("team/env")
        assert repository.head("v1") is None
        fake_registry.on("GET", "blobs", moved)
        assert b"".join(repository.read(blob(DATA))) == DATA
        fake_registry.on("HEAD", "blobs", moved)
        assert repository.has(blob(DATA).digest)
    assert [seen.path for seen in elsewhere.seen] == ["/bucket/object?signature=a%2Bb"] * 2


@pytest.mark.parametrize("large", [False, True])
def test_an_upload_location_elsewhere_gets_no_credentials(
    fake_registry: FakeRegistry, elsewhere: FakeRegistry, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """If a registry redirects uploads to another server, all requests to this server are without our login."""
    if large:
        monkeypatch.setattr("jupyter_condabuild.oci.upload.MONOLITHIC_MAX", 1)
        monkeypatch.setattr("jupyter_condabuild.oci.upload.CHUNK", 4)
    fake_registry.guard = basic_guard
    elsewhere.uploads["u"] = bytearray()
    with connect(fake_registry.host, ADA) as registry:
        registry.repository("team/env").head("v1")
        fake_registry.on(
            "POST", "uploads", Reply(202, {"Location": f"http://{elsewhere.host}/v2/team/env/blobs/uploads/u"})
        )
        assert registry.repository("team/env").push(blob(DATA), opener(DATA)) == "uploaded"
    assert elsewhere.blobs["team/env"] == {str(blob(DATA).digest): DATA}
    assert elsewhere.times("PATCH") == (3 if large else 0)


def test_a_cancelled_upload_elsewhere_gets_no_credentials(fake_registry: FakeRegistry, elsewhere: FakeRegistry) -> None:
    """The request that cancels an upload session on another server is without our login."""
    fake_registry.guard = basic_guard
    with connect(fake_registry.host, ADA) as registry:
        registry.repository("team/env").head("v1")
        fake_registry.on(
            "POST", "mount=", Reply(202, {"Location": f"http://{elsewhere.host}/v2/team/env/blobs/uploads/u"})
        )
        assert not registry.repository("team/env").mount(blob(DATA).digest, "team/base")
    assert elsewhere.times("DELETE") == 1


def test_a_redirected_manifest_and_tag_list_carry_no_credentials(
    fake_registry: FakeRegistry, elsewhere: FakeRegistry
) -> None:
    """All redirected requests, reads and writes, are without our login."""
    fake_registry.guard = basic_guard
    with connect(fake_registry.host, ADA) as registry:
        repository = registry.repository("team/env")
        manifest = push_image(repository, "v1")
        moved = Reply(307, {"Location": f"http://{elsewhere.host}/v2/team/env/manifests/v1"})
        for method in ("GET", "PUT", "DELETE"):
            fake_registry.on(method, "manifests", moved)
        with pytest.raises(RegistryFault, match="answered 404"):
            repository.manifest("v1")
        repository.push_manifest(manifest, "v1")
        repository.delete(manifest.descriptor.digest)
        fake_registry.on(
            "GET", "tags", Reply(200, {"Link": f'<http://{elsewhere.host}/more>; rel="next"'}, b'{"tags": ["a"]}')
        )
        with pytest.raises(RegistryError):
            tags_of(repository)
    assert [seen.method for seen in elsewhere.seen] == ["GET", "PUT", "DELETE", "GET"]


def test_a_challenge_of_another_server_is_not_answered(fake_registry: FakeRegistry, elsewhere: FakeRegistry) -> None:
    """A server that is the target of a redirect cannot ask for the login."""
    fake_registry.guard = basic_guard
    elsewhere.guard = lambda seen: Reply(401, {"WWW-Authenticate": 'Basic realm="please"'})
    with connect(fake_registry.host, ADA) as registry:
        registry.repository("team/env").head("v1")
        fake_registry.on("GET", "blobs", Reply(302, {"Location": f"http://{elsewhere.host}/blob"}))
        with pytest.raises(RegistryFault, match="where the registry keeps its blobs, answered 401"):
            b"".join(registry.repository("team/env").read(blob(DATA)))
    assert len(elsewhere.seen) == 1


def test_a_redirect_back_to_the_registry_carries_no_credentials(
    fake_registry: FakeRegistry, elsewhere: FakeRegistry
) -> None:
    """The other server could otherwise send our login to a URL of its choice."""
    fake_registry.guard = basic_guard
    elsewhere.guard = lambda seen: Reply(307, {"Location": f"http://{fake_registry.host}/v2/team/secret/manifests/v1"})
    with connect(fake_registry.host, ADA) as registry:
        registry.repository("team/env").head("v1")
        fake_registry.on("GET", "blobs", Reply(307, {"Location": f"http://{elsewhere.host}/there"}))
        with pytest.raises(RegistryError):
            b"".join(registry.repository("team/env").read(blob(DATA)))
    assert not fake_registry.seen[-1].authorization


@pytest.mark.parametrize("way", ["realm", "redirect", "upload", "next page"])
def test_tls_is_kept(elsewhere: FakeRegistry, trusted: Callable[[str], ssl.SSLContext], way: str) -> None:
    """A registry with TLS cannot redirect to a URL without TLS."""
    with serving(trusted("registry.test")) as secure, connect(f"registry.test:{secure.port}", ADA) as registry:
        repository, place = registry.repository("team/env"), f"http://{elsewhere.host}/token"
        secure.guard = bearer_guard(place) if way == "realm" else basic_guard
        secure.on("POST", "uploads", Reply(202, {"Location": place}))
        secure.on("GET", "tags", Reply(200, {"Link": f'<{place}>; rel="next"'}, b'{"tags": ["a"]}'))
        secure.on("GET", "blobs", Reply(307, {"Location": place}))
        act: dict[str, Callable[[], object]] = {
            "realm": lambda: repository.head("v1"),
            "redirect": lambda: list(repository.read(blob(DATA))),
            "upload": lambda: repository.push(blob(DATA), never),
            "next page": lambda: tags_of(repository),
        }
        with pytest.raises(RegistryFault, match="without TLS") as raised:
            act[way]()
        assert "X-Forwarded-Proto" in raised.value.hint
    assert elsewhere.seen == []


def test_a_login_works_over_tls(trusted: Callable[[str], ssl.SSLContext]) -> None:
    """A registry whose certificate the system trusts is used only with TLS."""
    with serving(trusted("registry.test")) as secure:
        secure.guard = bearer_guard(f"https://registry.test:{secure.port}/token")
        with connect(f"registry.test:{secure.port}", ADA) as registry:
            assert registry.repository("team/env").push(blob(DATA), opener(DATA)) == "uploaded"
        realm_request = next(seen for seen in secure.seen if seen.path.startswith("/token"))
        assert realm_request.authorization == BASIC


def test_the_realm_gets_the_password_and_the_registry_does_not(fake_registry: FakeRegistry) -> None:
    """In the token flow, only the realm gets the login."""
    with serving() as realm:
        realm.guard = bearer_guard("")
        fake_registry.guard = bearer_guard(f"http://other:login@{realm.host}/token")
        with connect(fake_registry.host, ADA) as registry:
            registry.repository("team/env").head("v1")
        assert [seen.authorization for seen in realm.seen] == [BASIC]
    assert BASIC not in {seen.authorization for seen in fake_registry.seen}


@pytest.mark.parametrize("login", [ADA, IDENTITY])
def test_a_realm_that_redirects_is_not_followed(
    fake_registry: FakeRegistry, elsewhere: FakeRegistry, login: Credentials
) -> None:
    """Only the realm that the registry named gets the login."""
    with serving() as realm:
        fake_registry.guard = bearer_guard(f"http://{realm.host}/token")
        realm.guard = lambda seen: Reply(307, {"Location": f"http://{elsewhere.host}/token"})
        with connect(fake_registry.host, login) as registry, pytest.raises(RegistryFault, match="307"):
            registry.repository("team/env").head("v1")
    assert elsewhere.seen == []


def test_no_secret_is_in_an_error_a_log_or_a_repr(
    fake_registry: FakeRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """Texts of the registry that contain a secret do not appear in messages. Signed URLs do not appear in logs."""
    caplog.set_level(logging.INFO)
    fake_registry.guard = bearer_guard(f"http://{fake_registry.host}/token")
    echo = f"token canary-token of {USER}:{PASSWORD} {BASIC} at https://u:canary-x@h/p?sig=canary-y refused"
    with connect(fake_registry.host, ADA) as registry:
        repository = registry.repository("team/env")
        repository.head("v1")
        fake_registry.on("GET", "manifests", spec_error(403, "DENIED", echo))
        with pytest.raises(RegistryDenied, match="DENIED: token ") as raised:
            repository.manifest("v1")
        fake_registry.on("GET", "blobs", Reply(307, {"Location": "/v2/team/env/blobs/x?signature=canary-z"}))
        with pytest.raises(RegistryError):
            b"".join(repository.read(blob(DATA)))
    assert fake_registry.times("GET", "canary-z") == 1
    for text in (raised.value.message, raised.value.hint, repr(raised.value), repr(ADA), repr(IDENTITY), caplog.text):
        assert "canary" not in text
    assert "httpx" in caplog.text


def test_cookies_are_not_stored(fake_registry: FakeRegistry) -> None:
    """A session cookie would be a credential with its own rules for sending."""
    fake_registry.on("HEAD", "manifests", Reply(404, {"Set-Cookie": "session=1; Domain=127.0.0.1; Path=/"}))
    with connect(fake_registry.host, ADA) as registry:
        registry.repository("team/env").head("v1")
        registry.repository("team/env").head("v1")
    assert all("cookie" not in seen.headers for seen in fake_registry.seen)


def test_a_closed_registry_opens_no_connection(fake_registry: FakeRegistry) -> None:
    """A thread that outlives its job gets an error. Otherwise nobody would close its connection."""
    with connect(fake_registry.host) as registry:
        repository = registry.repository("team/env")
        repository.head("v1")
    with pytest.raises(RegistryUnreachable, match="closed"):
        tags_of(repository)
