"""A push that meets trouble sends again what it must, never what it need not, and leaves nothing half-done."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import pytest

from jupyter_condabuild.errors import (
    ContentMismatch,
    RegistryBusy,
    RegistryError,
    RegistryFault,
    RegistryTooLarge,
    RegistryUnauthorized,
)
from jupyter_condabuild.oci import upload as upload_module
from jupyter_condabuild.oci.image import Digest
from tests.parts.registry.faults import Clock, FakeRegistry, Reply, Seen, spec_error
from tests.parts.registry.logins import ADA, bearer_guard
from tests.parts.registry.pushing import blob, connect, never, opener

KIB = 1024
DATA = os.urandom(1000 * KIB)
CUT = Reply(drop=True, take=100 * KIB)
GONE = spec_error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")


class Push:
    """One push of DATA to the fake, and what it did."""

    def __init__(self, registry: FakeRegistry) -> None:
        self.registry = registry
        self.clock = Clock()
        self.moved: list[int] = []

    def __call__(self) -> str:
        with connect(self.registry.host, clock=self.clock) as registry:
            return registry.repository("team/env").push(blob(DATA), opener(DATA), progress=self.moved.append)

    @property
    def did(self) -> str:
        """The methods of the requests that arrived, as in "HEAD POST PUT"."""
        return " ".join(seen.method for seen in self.registry.seen)

    @property
    def sent(self) -> int:
        """Bytes of bodies that arrived."""
        return sum(len(seen.body) for seen in self.registry.seen)

    @property
    def is_stored(self) -> bool:
        """Whether the registry has the blob, no upload is left open, and progress was right."""
        stored = self.registry.blobs.get("team/env", {}).get(str(Digest.of(DATA))) == DATA
        return stored and not self.registry.uploads and sum(self.moved) == len(DATA)


@pytest.fixture
def push(fake_registry: FakeRegistry) -> Push:
    """A push to the fake."""
    return Push(fake_registry)


@pytest.fixture
def in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs above 1 kB go in chunks of 256 kB."""
    monkeypatch.setattr(upload_module, "MONOLITHIC_MAX", KIB)
    monkeypatch.setattr(upload_module, "CHUNK", 256 * KIB)
    monkeypatch.setattr(upload_module, "MIN_CHUNK", 16 * KIB)
    monkeypatch.setattr(upload_module, "MIB", 64 * KIB)
    monkeypatch.setattr(upload_module, "READ", 32 * KIB)


def test_a_small_blob_takes_three_requests(push: Push) -> None:
    """Ask, begin, send."""
    assert push() == "uploaded"
    assert push.did == "HEAD POST PUT"
    assert push.is_stored
    digest = str(Digest.of(DATA)).replace(":", "%3A")
    assert push.registry.seen[-1].path == f"/v2/team/env/blobs/uploads/u0?state=a%2Bb&digest={digest}"


@pytest.mark.usefixtures("in_chunks")
def test_a_large_blob_goes_in_order(push: Push) -> None:
    """Each chunk says where it belongs; the last request has the digest and no body."""
    assert push() == "uploaded"
    assert push.did == "HEAD POST PATCH PATCH PATCH PATCH PUT"
    ranges = [seen.headers["content-range"] for seen in push.registry.seen if seen.method == "PATCH"]
    assert ranges == ["0-262143", "262144-524287", "524288-786431", "786432-1023999"]
    assert push.sent == len(DATA)
    assert push.is_stored


@pytest.mark.parametrize("failure", [Reply(503), Reply(429), Reply(408), CUT, Reply(drop=True), Reply(500, take=0)])
def test_a_failed_upload_is_begun_again(push: Push, failure: Reply) -> None:
    """A PUT that failed is no good any more: the next try has a session of its own, and the old one is cancelled."""
    push.registry.on("PUT", "uploads", failure)
    assert push() == "uploaded"
    assert push.registry.times("POST") == 2
    assert push.registry.cancelled == ["u0"]
    # A registry that answers before it has read the body can reset the connection; the next request then waits, too.
    assert set(push.clock.waits) == {0.5}
    assert push.is_stored


@pytest.mark.parametrize("reply", [Reply(drop=True, after=True), Reply(502, after=True), Reply(200, after=True)])
def test_a_lost_answer_costs_one_question(push: Push, reply: Reply) -> None:
    """Where the answer to the PUT was lost or made no sense, but the registry has the blob, no byte goes twice."""
    push.registry.on("PUT", "uploads", reply)
    assert push() == "uploaded"
    assert push.did.startswith("HEAD POST PUT HEAD")
    assert push.sent == len(DATA)
    assert push.is_stored


@pytest.mark.parametrize("failure", [Reply(503), Reply(drop=True), Reply(drop=True, after=True), Reply(429)])
def test_the_begin_of_an_upload_is_tried_again(push: Push, failure: Reply) -> None:
    """It has no body and may be repeated."""
    push.registry.on("POST", "uploads", failure, failure)
    assert push() == "uploaded"
    assert push.registry.times("POST") == 3
    assert push.sent == len(DATA)


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("kept", [0, 1, 100 * KIB, 256 * KIB])
def test_a_cut_chunk_goes_on_at_what_the_registry_has(push: Push, kept: int) -> None:
    """After a broken connection the registry is asked how far it came, and gets the rest."""
    push.registry.on("PATCH", "uploads", Reply(202, {"Location": "/v2/team/env/blobs/uploads/u0"}, kept=True))
    push.registry.on("PATCH", "uploads", Reply(drop=True, take=kept, kept=True))
    assert push() == "uploaded"
    assert push.registry.times("POST") == 1
    assert push.registry.times("GET", "uploads") == 1
    assert push.sent == len(DATA)
    assert push.is_stored


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("lost", [Reply(drop=True, after=True), Reply(503, after=True), Reply(504, after=True)])
def test_a_chunk_whose_answer_was_lost_is_not_sent_again(push: Push, lost: Reply) -> None:
    """The registry says that it has it."""
    push.registry.on("PATCH", "uploads", lost)
    assert push() == "uploaded"
    assert push.sent == len(DATA)
    assert push.is_stored


@pytest.mark.usefixtures("in_chunks")
def test_a_registry_that_takes_less_gets_the_rest(push: Push) -> None:
    """A chunk that was taken in part is completed from there."""
    part = {"Location": "/v2/team/env/blobs/uploads/u0", "Range": f"0-{100 * KIB - 1}"}
    push.registry.on("PATCH", "uploads", Reply(202, part, take=100 * KIB, kept=True))
    assert push() == "uploaded"
    assert push.registry.times("POST") == 1
    assert push.is_stored


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("method", ["PATCH", "GET", "PUT"])
def test_a_session_that_the_registry_forgot_is_begun_again(push: Push, method: str) -> None:
    """An upload that expired, or that a restarted registry knows nothing of, starts from the beginning."""
    push.registry.on("PATCH", "uploads", Reply(202, {"Location": "/v2/team/env/blobs/uploads/u0"}, kept=True))
    if method == "GET":
        push.registry.on("PATCH", "uploads", Reply(drop=True))
    push.registry.on(method, "uploads", GONE)
    assert push() == "uploaded"
    assert push.registry.times("POST") == 2
    assert push.is_stored


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("status", [400, 404, 405, 415, 416, 501])
def test_a_registry_without_chunks_gets_the_blob_whole(push: Push, status: int) -> None:
    """What the registry does not offer is not insisted on."""
    push.registry.guard = lambda seen: Reply(status) if seen.method == "PATCH" else None
    assert push() == "uploaded"
    assert push.did == "HEAD POST PATCH DELETE POST PUT"
    assert push.is_stored


def limit(size: int) -> Callable[[Seen], Reply | None]:
    """A proxy before the registry that refuses larger bodies."""
    return lambda seen: Reply(413, {"Content-Type": "text/html"}, b"<html>") if len(seen.body) > size else None


@pytest.mark.parametrize("size", [20 * KIB, 70 * KIB, 300 * KIB])
def test_a_proxy_with_a_limit_gets_smaller_pieces(push: Push, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A blob that is refused for its size is pushed in chunks, each a quarter of the last, until they pass."""
    for name, value in {"CHUNK": 256 * KIB, "MIN_CHUNK": 16 * KIB, "MIB": 64 * KIB}.items():
        monkeypatch.setattr(upload_module, name, value)
    push.registry.guard = limit(size)
    assert push() == "uploaded"
    assert push.is_stored
    assert push.clock.waits == []


def test_a_limit_below_any_sense_is_named(push: Push) -> None:
    """Where even the smallest chunk is refused, the user learns which limit to raise."""
    push.registry.guard = limit(1000)
    with pytest.raises(RegistryTooLarge) as raised:
        push()
    assert "client_max_body_size" in raised.value.hint
    assert sum(push.moved) == 0
    assert push.registry.uploads == {}


@pytest.mark.usefixtures("in_chunks")
def test_a_registry_s_least_chunk_is_respected(push: Push) -> None:
    """``OCI-Chunk-Min-Length`` makes chunks larger; only the last may be smaller."""
    push.registry.uploads["u9"] = bytearray()
    headers = {"Location": "/v2/team/env/blobs/uploads/u9", "OCI-Chunk-Min-Length": str(600 * KIB)}
    push.registry.on("POST", "uploads", Reply(202, headers))
    assert push() == "uploaded"
    assert [len(seen.body) for seen in push.registry.seen if seen.method == "PATCH"] == [600 * KIB, 400 * KIB]


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("failure", [Reply(503), Reply(drop=True)])
def test_the_end_of_a_chunked_upload_is_tried_again(push: Push, failure: Reply) -> None:
    """When all bytes are there, a failure to end does not send them again."""
    push.registry.on("PUT", "uploads", failure, failure)
    assert push() == "uploaded"
    assert push.did.endswith("PUT HEAD PUT HEAD PUT")
    assert push.sent == len(DATA)
    assert push.is_stored


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("text", ["nonsense", "0-99999999999", "5-10", "0-262143,300000-400000", "0-0", "0-262144"])
def test_a_range_that_makes_no_sense_is_a_fault(push: Push, text: str) -> None:
    """Nothing is sent on the ground of it, and the upload is cancelled."""
    push.registry.on("PATCH", "uploads", Reply(202, {"Location": "/v2/team/env/blobs/uploads/u0", "Range": text}))
    with pytest.raises(RegistryFault, match="another range than was sent"):
        push()
    assert push.registry.cancelled == ["u0"]


@pytest.mark.usefixtures("in_chunks")
def test_a_registry_that_misjudges_what_it_has_gets_the_blob_anew(push: Push) -> None:
    """When the bytes of a resumed upload do not make the digest, it is begun again, without resuming."""
    push.registry.on("PATCH", "uploads", Reply(drop=True, take=50 * KIB, kept=True))
    push.registry.on("GET", "uploads", Reply(204, {"Range": f"0-{50 * KIB - 2}"}))
    push.registry.on("PATCH", "uploads", *[Reply(202, {"Location": "/v2/team/env/blobs/uploads/u0"}, kept=True)] * 4)
    assert push() == "uploaded"
    assert push.registry.times("POST") == 2
    assert push.is_stored


@pytest.mark.parametrize("chunked", [False, True])
def test_a_push_that_never_works_comes_to_an_end(push: Push, request: pytest.FixtureRequest, chunked: bool) -> None:
    """Patience is bounded, every session is cancelled, and progress is taken back."""
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
def test_a_registry_that_forgets_every_session_is_given_up(push: Push) -> None:
    """Sending the first chunk again and again is no progress."""

    def forgetful(seen: Seen) -> Reply | None:
        return GONE if seen.method == "PATCH" and not seen.headers["content-range"].startswith("0-") else None

    push.registry.guard = forgetful
    with pytest.raises(RegistryError, match="BLOB_UPLOAD_UNKNOWN"):
        push()
    assert len(push.registry.seen) < 60


def test_a_busy_registry_s_wish_is_granted_in_the_middle_of_a_push(push: Push) -> None:
    """``Retry-After`` holds for uploads, too."""
    push.registry.on("PUT", "uploads", Reply(429, {"Retry-After": "33"}))
    assert push() == "uploaded"
    assert push.clock.waits == [33.0]
    push.registry.blobs.clear()
    push.registry.on("PUT", "uploads", Reply(429, {"Retry-After": "3600"}))
    with pytest.raises(RegistryBusy):
        push()


def test_a_token_that_ends_in_the_middle_of_a_push_is_renewed(fake_registry: FakeRegistry) -> None:
    """The body is sent again with a new one; a login that is no longer accepted is named."""
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


def test_a_mount_that_was_refused_gives_its_session_to_the_upload(push: Push) -> None:
    """No session is left open: the last one is used, the others are cancelled."""
    with connect(push.registry.host) as registry:
        repository = registry.repository("team/env")
        assert repository.push(blob(DATA), opener(DATA), mount_from=["a", "b"]) == "uploaded"
        assert push.did == "HEAD POST DELETE POST PUT"
        assert not repository.mount(Digest.of(b"nobody has it"), "a")
    assert push.registry.uploads == {}


def test_a_mount_costs_one_request(push: Push) -> None:
    """Without a byte."""
    push.registry.put("base", DATA)
    with connect(push.registry.host) as registry:
        assert registry.repository("team/env").push(blob(DATA), never, mount_from=["base"]) == "mounted"
    assert push.did == "HEAD POST"
    assert push.sent == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 429, 500, 503])
def test_a_mount_that_is_refused_in_any_way_becomes_an_upload(push: Push, status: int) -> None:
    """Registries disagree on the status. The mount is asked for once, without waiting: the upload needs no mount."""
    push.registry.put("base", DATA)
    push.registry.on("POST", "mount=", *[spec_error(status, "UNSUPPORTED", "no mounts here")] * 5)
    with connect(push.registry.host, clock=push.clock) as registry:
        repository = registry.repository("team/env")
        assert repository.push(blob(DATA), opener(DATA), mount_from=["base"], progress=push.moved.append) == "uploaded"
    assert push.is_stored
    assert len([seen for seen in push.registry.seen if "mount=" in seen.path]) == 1
    assert push.clock.waits == []


def test_a_mount_counts_when_the_registry_has_the_blob(push: Push) -> None:
    """An answer of success that is none of the specification's is checked."""
    push.registry.on("POST", "mount=", Reply(200), Reply(204))
    with connect(push.registry.host) as registry:
        repository = registry.repository("team/env")
        assert repository.push(blob(DATA), opener(DATA), mount_from=["base"], progress=push.moved.append) == "uploaded"
        assert push.is_stored
        push.registry.put("team/other", b"other")
        assert registry.repository("team/other").mount(Digest.of(b"other"), "base")


def test_a_registry_that_stores_other_bytes_is_found_out(push: Push) -> None:
    """The digest in its answer must be the blob's."""
    push.registry.on("PUT", "uploads", Reply(201, {"Docker-Content-Digest": str(Digest.of(b""))}))
    with pytest.raises(ContentMismatch, match="stored other bytes"):
        push()


def test_a_failure_to_cancel_hides_nothing(push: Push) -> None:
    """The error that counts is the first."""
    push.registry.guard = lambda seen: Reply(500, drop=True) if seen.method == "DELETE" else None
    push.registry.on("PUT", "uploads", spec_error(403, "DENIED", "quota exceeded"))
    with pytest.raises(RegistryError, match="quota exceeded"):
        push()


def test_the_source_is_closed_whatever_happens(push: Push) -> None:
    """Each file that was opened is closed after success and failure."""
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
