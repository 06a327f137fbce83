"""A push transfers only missing blobs, in parallel. The manifest comes last, and an error ends the push."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_condabuild.distribution.blob_places import BlobPlaces
from jupyter_condabuild.distribution.layer_index import LayerIndex
from jupyter_condabuild.distribution.push import Config, Push
from jupyter_condabuild.errors import Cancelled, ContentMismatch, RegistryDenied
from jupyter_condabuild.events import Event, Layer, Progress
from jupyter_condabuild.oci.image import OCI_CONFIG, Descriptor, Digest, Manifest
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registry import Registry, Repository
from jupyter_condabuild.progress import JobProgress, sending
from tests.parts.registry.faults import FakeRegistry, Reply, spec_error
from tests.parts.registry.pushing import blob, connect
from tests.parts.small_image import Memory

MIB = 1 << 20
QUIET = JobProgress(lambda event: None)


@pytest.fixture
def connected(fake_registry: FakeRegistry) -> Iterator[Registry]:
    with connect(fake_registry.host) as registry:
        yield registry


@pytest.fixture
def repository(connected: Registry) -> Repository:
    return connected.repository("team/env")


def memory(*blobs: bytes) -> Memory:
    return Memory({Digest.of(data): data for data in blobs})


@pytest.fixture
def places(tmp_path: Path, fake_registry: FakeRegistry) -> BlobPlaces:
    return BlobPlaces(Store(tmp_path / "remembering"), fake_registry.host)


def send(connected: Registry, name: str, places: BlobPlaces, *blobs: bytes) -> Push:
    """Pushes blobs to a repository."""
    repository = connected.repository(name)
    with Push(repository, LayerIndex(), lambda event: None, QUIET, places=places) as push:
        for data in blobs:
            push.add(blob(data), memory(data))
        push.wait()
    return push


def image(*layers: bytes) -> Manifest:
    return Manifest.make(Descriptor(OCI_CONFIG, Digest.of(b"{}"), 2), [blob(layer) for layer in layers])


def test_each_blob_is_sent_once(fake_registry: FakeRegistry, repository: Repository) -> None:
    """A blob that is added several times is sent once. A blob that the repository has is not sent."""
    fake_registry.put("team/env", b"there")
    events: list[Event] = []
    progress = JobProgress(events.append)
    progress.plan({sending(str(Digest.of(data))): len(data) for data in (b"one", b"two", b"there", b"known")})
    with Push(repository, LayerIndex(present=frozenset([Digest.of(b"known")])), events.append, progress) as push:
        for data in (b"one", b"one", b"two", b"there", b"known"):
            push.add(blob(data), memory(data))
        push.wait()
    progress.finish()
    assert push.bytes_pushed == 6
    assert fake_registry.times("PUT") == 2
    states = {event.size: event.state for event in events if isinstance(event, Layer)}
    assert states == {3: "pushed", 5: "reused-remote"}
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert last.complete == last.total == 16


def test_the_manifest_comes_last(fake_registry: FakeRegistry, repository: Repository) -> None:
    """The manifest is pushed after the confirmation of every blob."""
    manifest = image(b"a", b"b", b"c")
    with Push(repository, LayerIndex(), lambda event: None, QUIET) as push:
        for data in (b"a", b"b", b"c"):
            push.add(blob(data), memory(data))
        push.add(manifest.config, Config(b"{}"))
        push.finish(manifest, "latest")
    puts = [seen.path for seen in fake_registry.seen if seen.method == "PUT"]
    assert len({path.rpartition("digest=")[2] for path in puts[:-1]}) == 4  # a blob may be sent again
    assert puts[-1].endswith("/manifests/latest")


def test_a_blob_of_the_same_registry_is_mounted(fake_registry: FakeRegistry, connected: Registry) -> None:
    """Its bytes are not transferred."""
    fake_registry.put("base/image", b"layer")
    events: list[Event] = []
    fake_registry.on("POST", "mount=", Reply(201))
    with Push(connected.repository("team/env"), LayerIndex(), events.append, QUIET) as push:
        push.add(blob(b"layer"), connected.repository("base/image"))
        push.wait()
    assert push.bytes_pushed == 0
    assert fake_registry.times("GET") == 0
    assert [event.state for event in events if isinstance(event, Layer)] == ["mounted"]


def test_a_blob_of_another_registry_is_transferred(fake_registry: FakeRegistry, elsewhere: FakeRegistry) -> None:
    """The blob is read and sent in chunks, without a copy on disk."""
    data = bytes(range(256)) * 20_000
    elsewhere.put("base/image", data)
    with (
        connect(fake_registry.host) as here,
        connect(elsewhere.host) as there,
        Push(here.repository("team/env"), LayerIndex(), lambda event: None, QUIET) as push,
    ):
        push.add(blob(data), there.repository("base/image"))
        push.wait()
    assert list(fake_registry.blobs["team/env"].values()) == [data]


def test_a_refused_blob_ends_the_push(fake_registry: FakeRegistry, repository: Repository) -> None:
    """Nothing is published. The registry's error is raised, also when the next layer is added."""
    fake_registry.on("POST", "uploads", spec_error(403, "DENIED", "quota exceeded"))
    with Push(repository, LayerIndex(), lambda event: None, QUIET) as push:
        push.add(blob(b"one"), memory(b"one"))
        with pytest.raises(RegistryDenied, match="quota exceeded"):
            push.wait()
        with pytest.raises(RegistryDenied, match="quota exceeded"):
            push.add(blob(b"two"), memory(b"two"))
    assert fake_registry.times("PUT", "manifests") == 0


class Stalling:
    """A slow blob: it waits after its first half until the test continues."""

    def __init__(self) -> None:
        self.begun, self.proceed = threading.Event(), threading.Event()

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        yield bytes(descriptor.size // 2)
        self.begun.set()
        assert self.proceed.wait(30)
        yield bytes(descriptor.size // 2)


def test_an_interrupted_push_ends_at_once(fake_registry: FakeRegistry, repository: Repository) -> None:
    """The push does not wait for running uploads, and cancels them."""
    source = Stalling()
    push = Push(repository, LayerIndex(), lambda event: None, QUIET)
    push.add(blob(bytes(4 * MIB)), source)
    assert source.begun.wait(30)
    push.__exit__(KeyboardInterrupt)
    (upload,) = push._uploads
    assert not upload.done()
    source.proceed.set()
    assert isinstance(upload.exception(30), Cancelled)
    assert fake_registry.blobs == {}


def test_a_blob_with_damage_in_the_store_is_removed(
    fake_registry: FakeRegistry, repository: Repository, tmp_path: Path
) -> None:
    """The registry refuses the blob. The store removes it, so that it is built again, and the message says so."""
    with Store(tmp_path) as store:
        store.put(blob(b"good bytes"), [b"good bytes"])
        store.path(blob(b"good bytes").digest).write_bytes(b"evil bytes")
        with Push(repository, LayerIndex(), lambda event: None, QUIET) as push:
            push.add(blob(b"good bytes"), store)
            with pytest.raises(ContentMismatch, match="damaged") as raised:
                push.wait()
        assert "Try again" in raised.value.hint
        assert not store.has(blob(b"good bytes"))
    assert fake_registry.blobs == {}


def test_a_refused_blob_without_damage_is_kept(
    fake_registry: FakeRegistry, repository: Repository, tmp_path: Path
) -> None:
    """The error is the registry's, and the store keeps the blob."""
    fake_registry.on("PUT", "uploads", spec_error(403, "DENIED", "no"))
    with Store(tmp_path) as store:
        store.put(blob(b"good bytes"), [b"good bytes"])
        with Push(repository, LayerIndex(), lambda event: None, QUIET) as push:
            push.add(blob(b"good bytes"), store)
            with pytest.raises(RegistryDenied):
                push.wait()
        assert store.has(blob(b"good bytes"))


def test_a_real_registry_accepts_the_push(registry: str, tmp_path: Path) -> None:
    """The image is in the registry under its tag."""
    layers = [uuid.uuid4().bytes * 100 for _ in range(6)]
    manifest = image(*layers)
    with connect(registry) as connected, Store(tmp_path) as store:
        repository = connected.repository(f"push/{uuid.uuid4().hex}")
        with Push(repository, LayerIndex(), lambda event: None, QUIET) as push:
            for data in layers:
                store.put(blob(data), [data])
                push.add(blob(data), store)
            push.add(manifest.config, Config(b"{}"))
            push.finish(manifest, "v1")
        assert repository.manifest("v1") == manifest
        assert push.bytes_pushed == sum(map(len, layers)) + 2


def test_a_blob_is_mounted_from_the_repository_that_got_it(connected: Registry, places: BlobPlaces) -> None:
    """No manifest and no request names that repository: the store remembers it. Another registry's memory is apart."""
    send(connected, "team/first", places, b"layer")
    second = send(connected, "team/second", places, b"layer", b"new")
    assert second.uploaded == {Digest.of(b"new")}
    assert places.of(Digest.of(b"layer")) == ("team/second", "team/first")
    assert BlobPlaces(places._store, "other.example").of(Digest.of(b"layer")) == ()


def test_a_wrong_memory_costs_one_request_and_is_forgotten(
    fake_registry: FakeRegistry, connected: Registry, places: BlobPlaces
) -> None:
    """The blob is sent, and the repository that lost it is never asked again."""
    places.learn("team/gone", [Digest.of(b"layer")], [])
    assert send(connected, "team/second", places, b"layer").uploaded == {Digest.of(b"layer")}
    mounts = [seen for seen in fake_registry.seen if "mount=" in seen.path]
    assert len(mounts) == 1
    assert places.of(Digest.of(b"layer")) == ("team/second",)


def test_a_damaged_memory_is_no_memory(connected: Registry, places: BlobPlaces) -> None:
    """The push sends the blob and writes the memory again."""
    for damaged in (b"{", b"[]", b'{"sha256:1": 5}'):
        places._store.keep_places(connected.host, damaged)
        fresh = BlobPlaces(places._store, connected.host)
        send(connected, "team/env", fresh, b"layer")
        assert fresh.of(Digest.of(b"layer")) == ("team/env",)
