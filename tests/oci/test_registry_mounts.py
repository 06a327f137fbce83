"""A blob of another repository is mounted; if the registry refuses, the blob is uploaded."""

from __future__ import annotations

import pytest

from jupyter_condabuild.oci.image import Digest
from jupyter_condabuild.oci.repository import SENT_UNASKED, Presence
from tests.parts.registry.faults import FakeRegistry, Reply, spec_error
from tests.parts.registry.pushing import DATA, RecordedPush, blob, connect, never, opener


@pytest.fixture
def push(fake_registry: FakeRegistry) -> RecordedPush:
    """Pushes a blob to the fake registry."""
    return RecordedPush(fake_registry)


def test_a_refused_mount_gives_its_session_to_the_upload(push: RecordedPush) -> None:
    """The last session is used, and the others are cancelled, so that no session stays open."""
    with connect(push.registry.host) as registry:
        repository = registry.repository("team/env")
        assert repository.push(blob(DATA), opener(DATA), mount_from=["a", "b"]) == "uploaded"
        assert push.did == "HEAD POST DELETE POST PUT"
        assert not repository.mount(Digest.of(b"nobody has it"), "a")
    assert push.registry.uploads == {}


def test_a_mount_costs_one_request(push: RecordedPush) -> None:
    """No byte is sent."""
    push.registry.put("base", DATA)
    with connect(push.registry.host) as registry:
        assert registry.repository("team/env").push(blob(DATA), never, mount_from=["base"]) == "mounted"
    assert push.did == "HEAD POST"
    assert push.sent == 0


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((status, "UNSUPPORTED") for status in (400, 401, 403, 404, 405, 409, 415, 422, 429, 500, 502, 503)),
        (400, "DIGEST_INVALID"),
        (404, "BLOB_UNKNOWN"),
    ],
)
def test_every_refusal_of_a_mount_becomes_an_upload(push: RecordedPush, status: int, code: str) -> None:
    """Registries use different statuses and codes.

    The mount is tried once, without waiting, because the upload does not need it.
    """
    push.registry.put("base", DATA)
    push.registry.on("POST", "mount=", *[spec_error(status, code, "no mounts here")] * 5)
    with connect(push.registry.host, clock=push.clock) as registry:
        repository = registry.repository("team/env")
        assert repository.push(blob(DATA), opener(DATA), mount_from=["base"], progress=push.moved.append) == "uploaded"
    assert push.is_stored
    assert len([seen for seen in push.registry.seen if "mount=" in seen.path]) == 1
    assert push.clock.waits == []


def test_a_mount_succeeds_only_if_the_registry_has_the_blob(push: RecordedPush) -> None:
    """After a status of success that the specification does not name, the client checks that the blob is there."""
    push.registry.on("POST", "mount=", Reply(200), Reply(202), Reply(204))
    with connect(push.registry.host) as registry:
        repository = registry.repository("team/env")
        assert repository.push(blob(DATA), opener(DATA), mount_from=["base"], progress=push.moved.append) == "uploaded"
        assert push.is_stored
        assert not repository.mount(Digest.of(b"a session without a location"), "base")
        push.registry.put("team/other", b"other")
        assert registry.repository("team/other").mount(Digest.of(b"other"), "base")


@pytest.mark.parametrize(
    ("presence", "size", "did"),
    [
        ("unknown", SENT_UNASKED, "POST PUT"),
        ("unknown", SENT_UNASKED + 1, "POST HEAD PUT"),
        ("new", SENT_UNASKED + 1, "POST PUT"),
        ("likely", 1, "HEAD POST PUT"),
    ],
)
def test_a_blob_that_is_hardly_there_is_not_asked_for(
    push: RecordedPush, presence: Presence, size: int, did: str
) -> None:
    """A request for a small or a new blob costs more than it saves. A mount finds out by itself."""
    data = bytes(size)
    with connect(push.registry.host) as registry:
        repository = registry.repository("team/env")
        assert repository.push(blob(data), opener(data), mount_from=["base"], presence=presence) == "uploaded"
        assert push.did == did
        again = repository.push(blob(data), opener(data), mount_from=["base"], presence=presence)
        assert again == ("uploaded" if "HEAD" not in did else "present"), "the registry takes it a second time, too"
    assert push.registry.blobs["team/env"] == {str(Digest.of(data)): data}
    assert push.registry.uploads == {}
