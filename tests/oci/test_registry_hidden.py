"""A registry that hides private repositories from anonymous users gets the user's login. No other server gets it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jupyter_condabuild.errors import RegistryDenied, RegistryNotFound, RegistryUnauthorized
from jupyter_condabuild.oci.image import Digest
from jupyter_condabuild.oci.logins.credentials import ANONYMOUS, Credentials
from tests.parts.registry.faults import FakeRegistry, Reply, Seen, spec_error
from tests.parts.registry.logins import ADA, BASIC, bearer_guard
from tests.parts.registry.pushing import blob, connect, opener, push_image

DATA = b"some bytes"
WRONG = Credentials("ada", "an old password")
CHALLENGE = {"WWW-Authenticate": 'Basic realm="lab"'}
MISSING = spec_error(404, "NAME_UNKNOWN", "repository name not known to registry")
Guard = Callable[[Seen], Reply | None]


def hiding(refusal: Reply, root: Reply, wrong: Reply) -> Guard:
    """Answers anonymous users with `refusal`, and with `root` at ``/v2/``; and wrong passwords with `wrong`."""

    def guard(seen: Seen) -> Reply | None:
        if seen.authorization:
            return None if seen.authorization == BASIC else wrong
        return root if seen.path == "/v2/" else refusal

    return guard


WAYS = {
    "404, and a challenge at the root": hiding(MISSING, Reply(401, CHALLENGE), Reply(401, CHALLENGE)),
    "403, and a challenge at the root": hiding(Reply(403), Reply(401, CHALLENGE), Reply(401, CHALLENGE)),
    "404, and no challenge anywhere": hiding(MISSING, Reply(), Reply(401)),
    "401 without a challenge": hiding(Reply(401), Reply(401), Reply(401)),
    "401 with an empty challenge": hiding(Reply(401, {"WWW-Authenticate": ""}), Reply(401), Reply(401)),
}
ways = pytest.mark.parametrize("guard", WAYS.values(), ids=WAYS)


@ways
def test_a_hidden_repository_is_read_and_written(fake_registry: FakeRegistry, guard: Guard) -> None:
    """The login is offered once. All further requests have it."""
    fake_registry.guard = guard
    with connect(fake_registry.host, ADA) as registry:
        repository = registry.repository("team/env")
        assert repository.push(blob(DATA), opener(DATA)) == "uploaded"
        manifest = push_image(repository, "v1", layers=(DATA,))
        assert repository.manifest("v1").raw == manifest.raw
        assert repository.head("v2") is None
    assert [seen.path for seen in fake_registry.seen if not seen.authorization] == [fake_registry.seen[0].path, "/v2/"]


def test_a_hidden_repository_with_tokens_is_read(fake_registry: FakeRegistry) -> None:
    """The root names the token server."""
    tokens = bearer_guard(f"http://{fake_registry.host}/token")
    fake_registry.guard = lambda seen: (
        MISSING if not seen.authorization and seen.path.startswith("/v2/team") else tokens(seen)
    )
    with connect(fake_registry.host, ADA) as registry:
        push_image(registry.repository("team/env"), "v1")
    token_requests = [seen for seen in fake_registry.seen if seen.path.startswith("/token")]
    assert {seen.authorization for seen in token_requests} == {BASIC}
    assert all("scope=repository%3Ateam%2Fenv%3A" in seen.path for seen in token_requests)


@ways
def test_without_a_login_nothing_is_offered(fake_registry: FakeRegistry, guard: Guard) -> None:
    """The refusal costs one request, and the error says how to log in."""
    fake_registry.guard = guard
    with (
        connect(fake_registry.host, ANONYMOUS) as registry,
        pytest.raises((RegistryNotFound, RegistryDenied, RegistryUnauthorized)) as raised,
    ):
        registry.repository("team/env").manifest("v1")
    assert len(fake_registry.seen) == 1
    if isinstance(raised.value, RegistryUnauthorized):
        assert "requires a login for reading team/env" in raised.value.message
    if not isinstance(raised.value, RegistryDenied):
        assert "condabuild login" in raised.value.hint


@ways
def test_a_refused_login_is_not_offered_again(fake_registry: FakeRegistry, guard: Guard) -> None:
    """The answer to the anonymous user counts, so that a public repository can be read with a wrong password."""
    fake_registry.guard = guard
    with connect(fake_registry.host, WRONG) as registry:
        for _ in range(2):
            with pytest.raises((RegistryNotFound, RegistryDenied, RegistryUnauthorized)) as raised:
                registry.repository("team/env").manifest("v1")
        fake_registry.guard = lambda seen: Reply(401) if seen.authorization else None
        push_image(registry.repository("public/env"), "v1")
    assert len([seen for seen in fake_registry.seen if seen.authorization]) <= 2
    if isinstance(raised.value, RegistryUnauthorized):
        assert "does not accept the stored login for reading team/env" in raised.value.message


def test_a_login_without_access_is_reported_in_the_words_of_the_registry(
    fake_registry: FakeRegistry,
) -> None:
    """The registry knows the user, so that the user's rights are the reason."""
    fake_registry.guard = lambda seen: (
        spec_error(403, "DENIED", "ada may not read team/env") if seen.authorization else Reply(401)
    )
    with (
        connect(fake_registry.host, ADA) as registry,
        pytest.raises(RegistryDenied, match="ada may not read team/env"),
    ):
        registry.repository("team/env").manifest("v1")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_another_server_is_not_offered_the_login(
    fake_registry: FakeRegistry, elsewhere: FakeRegistry, status: int
) -> None:
    """A redirect leads to a server that refuses; the test's own part checks that it got no login."""
    fake_registry.on("HEAD", "blobs", Reply(307, {"Location": f"http://{elsewhere.host}/v2/team/env/blobs/x"}))
    elsewhere.guard = lambda seen: Reply(status)
    with connect(fake_registry.host, ADA) as registry:
        assert not registry.repository("team/env").has(Digest.of(DATA))
    assert [seen.method for seen in elsewhere.seen] == ["HEAD"]
    assert not any(seen.authorization for seen in fake_registry.seen)
