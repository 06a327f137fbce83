"""The client checks each answer of a registry against the request."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from jupyter_condabuild.errors import (
    BadImage,
    ContentMismatch,
    RegistryError,
    RegistryFault,
    RegistryUnreachable,
)
from jupyter_condabuild.oci import tag_list
from jupyter_condabuild.oci.image import OCI_MANIFEST, Descriptor, Digest, canonical_json
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.oci.tag_list import tags_of
from tests.parts.registry.faults import Clock, FakeRegistry, Reply
from tests.parts.registry.pushing import blob, connect, opener, push_image

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
    ("reply", "kind"),
    [
        (Reply(200, {"Content-Type": OCI_MANIFEST}, MANIFEST + b" "), ContentMismatch),
        (
            Reply(200, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": str(Digest.of(b""))}, MANIFEST),
            ContentMismatch,
        ),
        (Reply(200, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": "md5:1"}, MANIFEST), RegistryFault),
        (Reply(200, {"Content-Type": OCI_MANIFEST}, b" " * (4 * 1024 * 1024 + 1)), RegistryFault),
    ],
)
def test_a_manifest_must_match_its_digest(
    fake_registry: FakeRegistry, repository: Repository, reply: Reply, kind: type[Exception]
) -> None:
    """Bytes that do not match the digest in the request or in the registry's header are refused.

    So are endless answers.
    """
    fake_registry.on("GET", "manifests", reply)
    with pytest.raises(kind):
        repository.manifest(str(Digest.of(MANIFEST)))


def test_an_endless_manifest_is_not_read_to_the_end(fake_registry: FakeRegistry, repository: Repository) -> None:
    """An answer without a length is read up to the limit."""
    endless = Reply(200, {"Content-Length": str(10**12)}, b" " * (5 * 1024 * 1024))
    fake_registry.on("GET", "manifests", endless)
    with pytest.raises(RegistryFault, match="larger than 4096 KiB"):
        repository.manifest("v1")


@pytest.mark.parametrize(
    "raw",
    [
        b"not json",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"layers": [], "manifests": []}',
        b'{"config": {}, "manifests": []}',
        b'{"schemaVersion": 1, "mediaType": "application/vnd.docker.distribution.manifest.v1+json", "layers": []}',
        MANIFEST.replace(OCI_MANIFEST.encode(), b"text/plain"),
    ],
)
def test_a_document_that_is_no_manifest_is_refused(
    fake_registry: FakeRegistry, repository: Repository, raw: bytes
) -> None:
    """A document that is neither an image nor an index, or is both, is an invalid image."""
    fake_registry.put_manifest("team/env", "bad", "application/json", raw)
    with pytest.raises(BadImage):
        repository.manifest("bad")


def test_the_manifest_is_read_if_head_is_not_enough(fake_registry: FakeRegistry, repository: Repository) -> None:
    """If HEAD is not supported or gives no digest, the descriptor is made from the manifest."""
    expected = repository.head("v1")
    for reply in (Reply(405), Reply(200, {"Content-Type": OCI_MANIFEST}, MANIFEST), Reply(200, body=MANIFEST)):
        fake_registry.on("HEAD", "manifests", reply)
        assert repository.head("v1") == expected
    fake_registry.on("HEAD", "manifests", Reply(405))
    assert repository.head("missing") is None
    headers = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": str(Digest.of(b"")), "Content-Length": "5"}
    fake_registry.on("HEAD", "manifests", Reply(200, headers))
    with pytest.raises(ContentMismatch):
        repository.head(str(Digest.of(MANIFEST)))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(405),
        Reply(400),
        Reply(204),
        Reply(307, {"Location": "/v2/team/env/blobs/gone"}),
        Reply(200, {"Docker-Content-Digest": str(Digest.of(b""))}),
    ],
)
def test_a_blob_is_pushed_if_the_registry_gives_no_clear_answer(
    fake_registry: FakeRegistry, repository: Repository, reply: Reply
) -> None:
    """An unclear answer means that the blob is not there."""
    assert repository.has(Digest.of(DATA))
    fake_registry.on("HEAD", "blobs", reply)
    assert not repository.has(Digest.of(DATA))


def test_a_blob_with_a_wrong_size_is_pushed_again(fake_registry: FakeRegistry, repository: Repository) -> None:
    """A registry that has a part of the blob does not have the blob."""
    fake_registry.on("HEAD", "blobs", Reply(200, {"Content-Length": "12"}))
    assert repository.push(blob(DATA), opener(DATA)) == "uploaded"


@pytest.mark.parametrize(
    ("served", "said"),
    [
        (DATA[:-1] + b"x", "does not match its digest"),
        (DATA + b"x", "5120001 bytes instead of 5120000"),
        (DATA[:-1], "5119999 bytes instead of 5120000"),
        (b"", "0 bytes instead"),
    ],
)
def test_a_blob_must_match_its_descriptor(
    fake_registry: FakeRegistry, repository: Repository, clock: Clock, served: bytes, said: str
) -> None:
    """Wrong bytes and wrong sizes are refused without a second attempt."""
    fake_registry.on("GET", "blobs", Reply(200, {}, served))
    with pytest.raises(ContentMismatch, match=said):
        for _ in repository.read(blob(DATA)):
            pass
    assert clock.waits == []


def test_a_too_long_blob_is_not_read_to_the_end(fake_registry: FakeRegistry, repository: Repository) -> None:
    """The read stops at the size of the blob, also if the answer has no length."""
    fake_registry.on("GET", "blobs", Reply(200, {}, DATA * 4, sized=False))
    chunks = repository.read(Descriptor("application/octet-stream", Digest.of(b"x"), 1_500_000))
    read = len(next(chunks))
    with pytest.raises(ContentMismatch, match="longer than the 1500000 bytes"):
        read += len(next(chunks))
    assert read < 1_500_000


def test_an_answer_that_comes_byte_by_byte_is_not_waited_for(
    fake_registry: FakeRegistry, repository: Repository, clock: Clock
) -> None:
    """A document and a blob must come with some speed. A blob is resumed, as often as after other faults."""
    ticks = itertools.count(0, 100)
    slow = replace(clock.patience, clock=lambda: float(next(ticks)), total=1e9)
    repository._transport.patience = slow
    with pytest.raises(RegistryUnreachable, match="too slowly"):
        repository.manifest("v1")
    assert clock.waits == []
    fake_registry.on("GET", "blobs", *([Reply(200, {}, b"x" * 1000, sized=False)] * slow.attempts))
    with pytest.raises(RegistryUnreachable, match="too slowly"):
        next(repository.read(blob(b"x" * 5000)))
    assert len(clock.waits) == slow.attempts - 1


def test_a_cut_read_is_resumed_at_the_last_byte(
    fake_registry: FakeRegistry, repository: Repository, clock: Clock
) -> None:
    """Only the missing bytes are requested. Progress between two cuts resets the number of attempts."""
    fake_registry.on("GET", "blobs", Reply(200, {}, DATA, cut=1_500_000))
    for start in range(1_500_000, 4_500_000, 300_000):
        headers = {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}
        if start % 900_000 == 0:
            fake_registry.on("GET", "blobs", Reply(503))
        fake_registry.on("GET", "blobs", Reply(206, headers, DATA[start:], cut=300_000))
    repository._transport.patience = clock.patience.__class__(
        attempts=20, clock=lambda: clock.now, sleep=clock.sleep, jitter=lambda: 1.0, total=1e9, longest=1e6
    )
    assert b"".join(repository.read(blob(DATA))) == DATA
    ranges = [seen.headers.get("range", "") for seen in fake_registry.seen if seen.method == "GET"]
    assert ranges[0] == ""
    assert ranges[-1] == "bytes=4500000-"


def test_a_registry_without_ranges_is_read_from_the_start(fake_registry: FakeRegistry, repository: Repository) -> None:
    """The bytes that have been read are skipped."""
    fake_registry.on("GET", "blobs", Reply(200, {}, DATA, cut=3_000_001), Reply(200, {}, DATA))
    assert b"".join(repository.read(blob(DATA))) == DATA


@pytest.mark.parametrize("content_range", ["", "bytes 0-9/10", "bytes 2999999-5119999/5120000", "lines 1-2/3"])
def test_a_wrong_range_is_refused(fake_registry: FakeRegistry, repository: Repository, content_range: str) -> None:
    """Bytes of another range are never joined to the bytes that have been read."""
    fake_registry.on("GET", "blobs", Reply(200, {}, DATA, cut=3_000_000))
    fake_registry.on("GET", "blobs", Reply(206, {"Content-Range": content_range}, DATA[3_000_000:]))
    with pytest.raises(RegistryError, match="another range"):
        b"".join(repository.read(blob(DATA)))


@pytest.mark.parametrize(
    "location",
    [
        "",
        "ftp://host/x",
        "file:///etc/passwd",
        "http://",
        "http://[::1",
        "//",
        "http://a b/",
        "javascript:1",
        "http://h:99999999/",
    ],
)
def test_an_invalid_location_is_refused(fake_registry: FakeRegistry, repository: Repository, location: str) -> None:
    """The location in a redirect or in an upload session is refused."""
    headers = {"Location": location} if location else {}
    fake_registry.on("GET", "blobs", *[Reply(307, headers)] * 10)
    with pytest.raises(RegistryError):
        b"".join(repository.read(blob(DATA)))
    fake_registry.on("POST", "uploads", *[Reply(202, headers)] * 10)
    with pytest.raises(RegistryError):
        repository.push(blob(b"new"), opener(b"new"))


def test_circular_redirects_end(fake_registry: FakeRegistry, repository: Repository) -> None:
    """After a few redirects, the client raises RegistryFault."""
    fake_registry.guard = lambda seen: Reply(307, {"Location": seen.path})
    with pytest.raises(RegistryFault, match="without end"):
        repository.manifest("v1")
    assert len(fake_registry.seen) < 10


def test_tags_are_read_page_by_page(
    fake_registry: FakeRegistry, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client follows the link to the next page, up to a limit."""
    monkeypatch.setattr(tag_list, "MAX_PAGES", 3)
    more = {"Link": '</v2/team/env/tags/list?last=b&n=2>; rel="next"'}
    fake_registry.on("GET", "tags/list.n=1000$", Reply(200, more, b'{"tags": ["a", "b"]}'))
    fake_registry.on("GET", "tags/list.last=b", Reply(200, {}, b'{"tags": ["c"]}'))
    assert tags_of(repository) == ["a", "b", "c"]
    fake_registry.on("GET", "tags", *[Reply(200, more, b'{"tags": null}')] * 3)
    with pytest.raises(RegistryFault, match="no end"):
        tags_of(repository)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"tags": 5}', b'{"tags": [5]}', b'{"tags": ["../x"]}'])
def test_an_invalid_list_of_tags_is_an_error(fake_registry: FakeRegistry, repository: Repository, body: bytes) -> None:
    """An answer that is not a list of tags is a RegistryFault."""
    fake_registry.on("GET", "tags", Reply(200, {}, body))
    with pytest.raises(RegistryFault, match="not a list of tags"):
        tags_of(repository)


def test_a_changed_manifest_is_an_error(fake_registry: FakeRegistry, repository: Repository) -> None:
    """A registry that stores other bytes has not stored the manifest."""
    manifest = push_image(repository, "v2")
    fake_registry.on("PUT", "manifests", Reply(201, {"Docker-Content-Digest": str(Digest.of(b""))}))
    with pytest.raises(ContentMismatch, match="the registry stored"):
        repository.push_manifest(manifest, "v2")


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_status_of_success_stores_a_manifest(
    fake_registry: FakeRegistry, repository: Repository, status: int
) -> None:
    """Quay and others do not answer with 201. The client then asks for the manifest."""
    fake_registry.restatus = {"PUT": status}
    manifest = push_image(repository, "v2")
    assert fake_registry.manifests["team/env"]["v2"][1] == manifest.raw
    fake_registry.restatus = {"DELETE": status}
    repository.delete(manifest.descriptor.digest)
    assert "v2" not in fake_registry.manifests["team/env"]


def test_a_success_without_the_manifest_is_an_error(fake_registry: FakeRegistry, repository: Repository) -> None:
    """An image is only there if the registry can find it."""
    fake_registry.on("PUT", "manifests", Reply(202))
    with pytest.raises(RegistryFault, match="202 Accepted, but it has no such manifest"):
        push_image(repository, "v2")
