"""A push with failures sends only what is necessary, and leaves no open session."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from jupyter_condabuild.errors import (
    ContentMismatch,
    RegistryBusy,
    RegistryDenied,
    RegistryError,
    RegistryFault,
    RegistryTooLarge,
    RegistryUnauthorized,
)
from jupyter_condabuild.oci import upload as upload_module
from jupyter_condabuild.oci.image import Digest
from tests.parts.registry.faults import FakeRegistry, Reply, Seen, spec_error
from tests.parts.registry.logins import ADA, bearer_guard
from tests.parts.registry.pushing import DATA, RecordedPush, blob, connect, opener

KIB = 1024
CUT = Reply(drop=True, take=100 * KIB)
GONE = spec_error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")


@pytest.fixture
def push(fake_registry: FakeRegistry) -> RecordedPush:
    """Pushes a blob to the fake registry."""
    return RecordedPush(fake_registry)


@pytest.fixture
def in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs above 1 kB are pushed in chunks of 256 kB."""
    monkeypatch.setattr(upload_module, "MONOLITHIC_MAX", KIB)
    monkeypatch.setattr(upload_module, "CHUNK", 256 * KIB)
    monkeypatch.setattr(upload_module, "MIN_CHUNK", 16 * KIB)
    monkeypatch.setattr(upload_module, "MIB", 64 * KIB)
    monkeypatch.setattr(upload_module, "READ", 32 * KIB)


def test_a_small_blob_takes_three_requests(push: RecordedPush) -> None:
    """The client asks for the blob, starts the upload, and sends the bytes."""
    assert push() == "uploaded"
    assert push.did == "HEAD POST PUT"
    assert push.is_stored
    digest = str(Digest.of(DATA)).replace(":", "%3A")
    assert push.registry.seen[-1].path == f"/v2/team/env/blobs/uploads/u0?state=a%2Bb&digest={digest}"


@pytest.mark.usefixtures("in_chunks")
def test_a_large_blob_is_sent_in_order(push: RecordedPush) -> None:
    """Each chunk has its range. The last request has the digest and no body."""
    assert push() == "uploaded"
    assert push.did == "HEAD POST PATCH PATCH PATCH PATCH PUT"
    ranges = [seen.headers["content-range"] for seen in push.registry.seen if seen.method == "PATCH"]
    assert ranges == ["0-262143", "262144-524287", "524288-786431", "786432-1023999"]
    assert push.sent == len(DATA)
    assert push.is_stored


@pytest.mark.parametrize("failure", [Reply(503), Reply(429), Reply(408), CUT, Reply(drop=True), Reply(500, take=0)])
def test_a_failed_upload_starts_again(push: RecordedPush, failure: Reply) -> None:
    """After a failed PUT, the next attempt has a new session, and the old session is cancelled."""
    push.registry.on("PUT", "uploads", failure)
    assert push() == "uploaded"
    assert push.registry.times("POST") == 2
    assert push.registry.cancelled == ["u0"]
    # If a registry answers before it has read the body, it can reset the connection. Then the next request waits, too.
    assert set(push.clock.waits) == {0.5}
    assert push.is_stored


@pytest.mark.parametrize("reply", [Reply(drop=True, after=True), Reply(502, after=True), Reply(200, after=True)])
def test_a_lost_answer_costs_one_request(push: RecordedPush, reply: Reply) -> None:
    """If the answer to the PUT is lost or invalid, but the registry has the blob, no byte is sent again."""
    push.registry.on("PUT", "uploads", reply)
    assert push() == "uploaded"
    assert push.did.startswith("HEAD POST PUT HEAD")
    assert push.sent == len(DATA)
    assert push.is_stored


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_every_status_of_success_is_accepted(push: RecordedPush, method: str, status: int) -> None:
    """Registries answer with other statuses than the specification names. No byte is sent again."""
    push.registry.restatus = {method: status}
    assert push() == "uploaded"
    assert push.sent == len(DATA)
    assert push.clock.waits == []
    assert push.is_stored


@pytest.mark.usefixtures("in_chunks")
def test_a_chunk_without_a_new_location_continues_at_the_old_one(push: RecordedPush) -> None:
    """Some registries name the location of a session only once."""
    push.registry.without = {"PATCH": {"Location", "Range", "Docker-Upload-UUID"}}
    assert push() == "uploaded"
    assert push.is_stored


def test_a_success_without_the_blob_is_not_believed(push: RecordedPush) -> None:
    """After an unusual status of success the client asks for the blob, and sends it again if it is missing."""
    push.registry.on("PUT", "uploads", Reply(202))
    assert push() == "uploaded"
    assert push.did.startswith("HEAD POST PUT HEAD")
    assert push.is_stored
    push.registry.on("PUT", "uploads", *[Reply(200)] * 12)
    with connect(push.registry.host, clock=push.clock) as registry, pytest.raises(RegistryFault, match="200 OK, but"):
        registry.repository("team/other").push(blob(DATA), opener(DATA))


@pytest.mark.parametrize("failure", [Reply(503), Reply(drop=True), Reply(drop=True, after=True), Reply(429)])
def test_the_start_of_an_upload_is_repeated(push: RecordedPush, failure: Reply) -> None:
    """This request has no body, so that it can be repeated."""
    push.registry.on("POST", "uploads", failure, failure)
    assert push() == "uploaded"
    assert push.registry.times("POST") == 3
    assert push.sent == len(DATA)


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("kept", [0, 1, 100 * KIB, 256 * KIB])
def test_a_cut_chunk_is_resumed(push: RecordedPush, kept: int) -> None:
    """After a broken connection, the client asks the registry for its offset, and sends the rest."""
    push.registry.on("PATCH", "uploads", Reply(202, {"Location": "/v2/team/env/blobs/uploads/u0"}, kept=True))
    push.registry.on("PATCH", "uploads", Reply(drop=True, take=kept, kept=True))
    assert push() == "uploaded"
    assert push.registry.times("POST") == 1
    assert push.registry.times("GET", "uploads") == 1
    assert push.sent == len(DATA)
    assert push.is_stored


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("lost", [Reply(drop=True, after=True), Reply(503, after=True), Reply(504, after=True)])
def test_a_chunk_whose_answer_was_lost_is_not_sent_again(push: RecordedPush, lost: Reply) -> None:
    """The registry's offset shows that it has the chunk."""
    push.registry.on("PATCH", "uploads", lost)
    assert push() == "uploaded"
    assert push.sent == len(DATA)
    assert push.is_stored


@pytest.mark.usefixtures("in_chunks")
def test_a_partly_accepted_chunk_is_completed(push: RecordedPush) -> None:
    """If a registry accepts a part of a chunk, the next chunk starts there."""
    part = {"Location": "/v2/team/env/blobs/uploads/u0", "Range": f"0-{100 * KIB - 1}"}
    push.registry.on("PATCH", "uploads", Reply(202, part, take=100 * KIB, kept=True))
    assert push() == "uploaded"
    assert push.registry.times("POST") == 1
    assert push.is_stored


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("method", ["PATCH", "GET", "PUT"])
def test_a_lost_session_starts_again(push: RecordedPush, method: str) -> None:
    """An upload that has expired, or that a restarted registry does not know, starts from the beginning."""
    push.registry.on("PATCH", "uploads", Reply(202, {"Location": "/v2/team/env/blobs/uploads/u0"}, kept=True))
    if method == "GET":
        push.registry.on("PATCH", "uploads", Reply(drop=True))
    push.registry.on(method, "uploads", GONE)
    assert push() == "uploaded"
    assert push.registry.times("POST") == 2
    assert push.is_stored


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("status", [400, 404, 405, 415, 416, 501])
def test_a_registry_without_chunks_gets_the_blob_in_one_piece(push: RecordedPush, status: int) -> None:
    """The client does not repeat a chunked upload that the registry does not support."""
    push.registry.guard = lambda seen: Reply(status) if seen.method == "PATCH" else None
    assert push() == "uploaded"
    assert push.did == "HEAD POST PATCH DELETE POST PUT"
    assert push.is_stored


def limit(size: int) -> Callable[[Seen], Reply | None]:
    """Returns a proxy in front of the registry that refuses larger bodies."""
    return lambda seen: Reply(413, {"Content-Type": "text/html"}, b"<html>") if len(seen.body) > size else None


@pytest.mark.parametrize("size", [20 * KIB, 70 * KIB, 300 * KIB])
def test_a_proxy_with_a_limit_gets_smaller_chunks(
    push: RecordedPush, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A blob that is too large for the proxy is pushed in chunks.

    Their size is divided by four until they are accepted.
    """
    for name, value in {"CHUNK": 256 * KIB, "MIN_CHUNK": 16 * KIB, "MIB": 64 * KIB}.items():
        monkeypatch.setattr(upload_module, name, value)
    push.registry.guard = limit(size)
    assert push() == "uploaded"
    assert push.is_stored
    assert push.clock.waits == []


def test_a_too_small_limit_is_named(push: RecordedPush) -> None:
    """If the smallest chunk is refused, the error says which limit must be raised."""
    push.registry.guard = limit(1000)
    with pytest.raises(RegistryTooLarge) as raised:
        push()
    assert "client_max_body_size" in raised.value.hint
    assert sum(push.moved) == 0
    assert push.registry.uploads == {}


@pytest.mark.usefixtures("in_chunks")
def test_the_minimum_chunk_size_of_a_registry_is_respected(push: RecordedPush) -> None:
    """``OCI-Chunk-Min-Length`` makes chunks larger. Only the last chunk can be smaller."""
    push.registry.uploads["u9"] = bytearray()
    headers = {"Location": "/v2/team/env/blobs/uploads/u9", "OCI-Chunk-Min-Length": str(600 * KIB)}
    push.registry.on("POST", "uploads", Reply(202, headers))
    assert push() == "uploaded"
    assert [len(seen.body) for seen in push.registry.seen if seen.method == "PATCH"] == [600 * KIB, 400 * KIB]


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("failure", [Reply(503), Reply(drop=True)])
def test_the_end_of_a_chunked_upload_is_repeated(push: RecordedPush, failure: Reply) -> None:
    """If the last request fails, the bytes are not sent again."""
    push.registry.on("PUT", "uploads", failure, failure)
    assert push() == "uploaded"
    assert push.did.endswith("PUT HEAD PUT HEAD PUT")
    assert push.sent == len(DATA)
    assert push.is_stored


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("form", ["0-{}", "bytes=0-{}", "bytes 0-{}"])
def test_each_form_of_a_range_is_read(push: RecordedPush, form: str) -> None:
    """Registries write the range as the specification does, or as a request or an answer of HTTP does."""
    half = {"Location": "/v2/team/env/blobs/uploads/u0", "Range": form.format(128 * KIB - 1)}
    push.registry.on("PATCH", "uploads", Reply(202, half, take=128 * KIB, kept=True))
    assert push() == "uploaded"
    assert push.is_stored


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("text", ["nonsense", "0-99999999999", "5-10", "0-262143,300000-400000", "0-0", "0-262144"])
def test_an_invalid_range_is_an_error(push: RecordedPush, text: str) -> None:
    """The client sends no more bytes, and cancels the upload."""
    push.registry.on("PATCH", "uploads", Reply(202, {"Location": "/v2/team/env/blobs/uploads/u0", "Range": text}))
    with pytest.raises(RegistryFault, match="another range than was sent"):
        push()
    assert push.registry.cancelled == ["u0"]


@pytest.mark.usefixtures("in_chunks")
def test_a_wrong_offset_starts_the_upload_again(push: RecordedPush) -> None:
    """If the bytes of a resumed upload do not match the digest, the upload starts again without resuming."""
    push.registry.on("PATCH", "uploads", Reply(drop=True, take=50 * KIB, kept=True))
    push.registry.on("GET", "uploads", Reply(204, {"Range": f"0-{50 * KIB - 2}"}))
    push.registry.on("PATCH", "uploads", *[Reply(202, {"Location": "/v2/team/env/blobs/uploads/u0"}, kept=True)] * 4)
    assert push() == "uploaded"
    assert push.registry.times("POST") == 2
    assert push.is_stored


@pytest.mark.parametrize("chunked", [False, True])
def test_a_push_that_always_fails_ends(push: RecordedPush, request: pytest.FixtureRequest, chunked: bool) -> None:
    """The number of attempts is limited, every session is cancelled, and the progress is reset."""
    if chunked:
        request.getfixturevalue("in_chunks")
    push.registry.guard = lambda seen: Reply(503) if seen.method in ("PUT", "PATCH") else None
    with pytest.raises(RegistryFault, match="503"):
        push()
    assert push.registry.uploads == {}
    assert len(push.registry.seen) < 30
    assert push.clock.waits == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert sum(push.moved) == 0


@pytest.mark.usefixtures("in_chunks")
def test_a_registry_that_loses_every_session_is_an_error(push: RecordedPush) -> None:
    """Sending the first chunk again and again does not count as progress."""

    def forgetful(seen: Seen) -> Reply | None:
        return GONE if seen.method == "PATCH" and not seen.headers["content-range"].startswith("0-") else None

    push.registry.guard = forgetful
    with pytest.raises(RegistryError, match="BLOB_UPLOAD_UNKNOWN"):
        push()
    assert len(push.registry.seen) < 60


def test_retry_after_is_respected_during_a_push(push: RecordedPush) -> None:
    """``Retry-After`` is valid for uploads, too."""
    push.registry.on("PUT", "uploads", Reply(429, {"Retry-After": "33"}))
    assert push() == "uploaded"
    assert push.clock.waits == [33.0]
    push.registry.blobs.clear()
    push.registry.on("PUT", "uploads", Reply(429, {"Retry-After": "3600"}))
    with pytest.raises(RegistryBusy):
        push()


def test_a_token_that_expires_during_a_push_is_renewed(fake_registry: FakeRegistry) -> None:
    """The body is sent again with a new token. If the login is no longer accepted, the error says so."""
    fake_registry.guard = bearer_guard(f"http://{fake_registry.host}/token")
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{fake_registry.host}/token"'}
    fake_registry.on("PUT", "uploads", Reply(401, challenge))
    moved: list[int] = []
    with connect(fake_registry.host, ADA) as registry:
        repository = registry.repository("team/env")
        assert repository.push(blob(DATA), opener(DATA), progress=moved.append) == "uploaded"
        assert sum(moved) == len(DATA)
        fake_registry.on("PUT", "uploads", Reply(401, challenge), Reply(401, challenge))
        with pytest.raises(RegistryUnauthorized):
            repository.push(blob(b"other"), opener(b"other"))
    assert fake_registry.uploads == {}


def test_a_registry_that_stores_other_bytes_is_an_error(push: RecordedPush) -> None:
    """The digest in its answer must be the digest of the blob."""
    push.registry.on("PUT", "uploads", Reply(201, {"Docker-Content-Digest": str(Digest.of(b""))}))
    with pytest.raises(ContentMismatch, match="stored other bytes"):
        push()


def test_a_failed_cancellation_hides_no_error(push: RecordedPush) -> None:
    """The first error is raised."""
    push.registry.guard = lambda seen: Reply(500, drop=True) if seen.method == "DELETE" else None
    push.registry.on("PUT", "uploads", spec_error(403, "DENIED", "quota exceeded"))
    with pytest.raises(RegistryError, match="quota exceeded"):
        push()


def test_the_source_is_always_closed(push: RecordedPush) -> None:
    """Each opened file is closed after success and after failure."""
    opened: list[io.BytesIO] = []

    def open_source() -> io.BytesIO:
        opened.append(io.BytesIO(DATA))
        return opened[-1]

    with connect(push.registry.host) as registry:
        repository = registry.repository("team/env")
        push.registry.on("PUT", "uploads", spec_error(403, "DENIED", "no"))
        with pytest.raises(RegistryError):
            repository.push(blob(DATA), open_source)
        repository.push(blob(DATA), open_source)
    assert len(opened) == 2
    assert all(source.closed for source in opened)


@pytest.mark.parametrize("status", [201, 204])
def test_a_user_who_may_not_ask_for_a_blob_may_push_it(fake_registry: FakeRegistry, status: int) -> None:
    """Some registries answer HEAD with 403. Only a refused upload ends the push, and its reason is the registry's."""
    fake_registry.on("HEAD", "blobs", *[Reply(403)] * 20)
    if status != 201:
        fake_registry.on("PUT", "blobs/uploads", Reply(status))
    with connect(fake_registry.host) as registry:
        assert registry.repository("team/env").push(blob(DATA), opener(DATA)) == "uploaded"
    fake_registry.on("POST", "blobs/uploads", *[spec_error(403, "DENIED", "no right to push")] * 4)
    with connect(fake_registry.host) as registry, pytest.raises(RegistryDenied, match="no right to push"):
        registry.repository("team/other").push(blob(DATA), opener(DATA))
