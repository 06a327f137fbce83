"""A large layer is sent while it is written. After any fault it is sent as a whole when it is complete."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_condabuild.distribution import streams
from jupyter_condabuild.distribution.blob_places import BlobPlaces
from jupyter_condabuild.distribution.layer_index import LayerIndex
from jupyter_condabuild.distribution.push import Push
from jupyter_condabuild.engines.layers import engine
from jupyter_condabuild.events import Event, Progress
from jupyter_condabuild.oci.image import LAYER_KEY, OCI_LAYER_GZIP, Descriptor, Digest, Manifest
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.progress import JobProgress, sending
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.registry.faults import FakeRegistry, Reply, spec_error
from tests.parts.registry.pushing import connect

MIB = 1 << 20
DATA = os.urandom(6 * MIB)
LAYER = Descriptor(OCI_LAYER_GZIP, Digest.of(DATA), len(DATA), {LAYER_KEY: "key"})


class Layer:
    """A layer that the test writes, and its push."""

    def __init__(self, push: Push, store: Store, progress: JobProgress) -> None:
        self.push, self._store, self._progress = push, store, progress
        self._path = store.tmp / uuid.uuid4().hex
        self._path.touch()

    def write(self, size: int, *, wait: bool = True) -> None:
        """Writes the layer up to this number of bytes, and waits until they are sent."""
        with self._path.open("ab") as file:
            file.write(DATA[file.tell() : size])
        sent, reached = threading.Event(), self._progress.reached

        def noted(item: str, complete: int, total: int) -> None:
            reached(item, complete, total)
            if complete >= size:
                sent.set()

        self._progress.reached = noted  # type: ignore[method-assign]
        self.push.growing("key", str(self._path), len(DATA))
        assert not wait or sent.wait(20)

    def finish(self) -> None:
        """Writes the rest, and adds the layer to the push."""
        with self._path.open("ab") as file:
            file.write(DATA[file.tell() :])
        self._store.adopt(str(self._path), LAYER.digest)
        self.push.add(LAYER, self._store)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def layer(fake_registry: FakeRegistry, tmp_path: Path, events: list[Event]) -> Iterator[Layer]:
    with Store(tmp_path) as store, connect(fake_registry.host) as connected:
        progress = JobProgress(events.append)
        progress.plan({sending("key"): len(DATA)})
        places = BlobPlaces(store, fake_registry.host)
        with Push(connected.repository("team/env"), LayerIndex(), events.append, progress, places=places) as push:
            yield Layer(push, store, progress)
            progress.finish()


def is_there(registry: FakeRegistry) -> bool:
    """Whether the registry has the layer, and no upload is open."""
    return registry.blobs.get("team/env") == {str(LAYER.digest): DATA} and not registry.uploads


def test_a_layer_is_sent_while_it_is_written(fake_registry: FakeRegistry, layer: Layer, events: list[Event]) -> None:
    """Its first bytes are sent before it is complete, and each byte is sent once."""
    layer.write(2 * MIB)
    layer.write(5 * MIB)
    layer.finish()
    layer.push.wait()
    assert is_there(fake_registry)
    assert sum(len(seen.body) for seen in fake_registry.seen) == len(DATA)
    assert [seen.method for seen in fake_registry.seen if "uploads" in seen.path] == ["POST", "PATCH", "PUT"]
    assert layer.push.bytes_pushed == len(DATA)
    done = [event.complete for event in events if isinstance(event, Progress)]
    assert done == sorted(done)


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("PATCH", Reply(drop=True, take=1000)),
        ("PATCH", spec_error(416, "BLOB_UPLOAD_INVALID", "no chunks")),
        ("PATCH", Reply(413)),
        ("PATCH", Reply(202, {"Range": "0-1000"}, kept=True)),
        ("PUT", spec_error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")),
        ("PUT", spec_error(400, "DIGEST_INVALID", "other bytes")),
        ("POST", spec_error(403, "DENIED", "no")),
    ],
)
def test_after_a_fault_the_layer_is_sent_as_a_whole(
    fake_registry: FakeRegistry, layer: Layer, method: str, fault: Reply
) -> None:
    """The build does not notice the fault, and the bytes count once."""
    fake_registry.on(method, "uploads", fault)
    layer.write(2 * MIB, wait=method == "PUT")
    layer.finish()
    layer.push.wait()
    assert is_there(fake_registry)
    assert fake_registry.times("DELETE") == (method != "POST")
    assert layer.push.bytes_pushed == len(DATA)


def test_a_layer_that_the_registry_has_is_not_sent_to_its_end(fake_registry: FakeRegistry, layer: Layer) -> None:
    """The upload is cancelled."""
    layer.write(2 * MIB)
    fake_registry.put("team/env", DATA)
    layer.finish()
    layer.push.wait()
    assert layer.push.bytes_pushed == 0
    layer.push.__exit__(None)
    assert is_there(fake_registry)
    assert fake_registry.times("PUT", "uploads") == 0


def test_an_abandoned_layer_is_cancelled(fake_registry: FakeRegistry, layer: Layer) -> None:
    """Its packages were damaged, for example: it is written again, and sent then."""
    layer.write(2 * MIB)
    layer.push.abandon("key")
    layer.finish()
    layer.push.wait()
    layer.push.__exit__(None)
    assert is_there(fake_registry)


def test_a_build_sends_a_large_package_while_it_writes_it(
    workshop: Workshop, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real registry the layer has its bytes. The next build sends nothing."""
    monkeypatch.setattr(engine, "STREAMED_FROM", MIB)
    finished: list[bool] = []
    session = streams.Streams.session

    def noted(self: streams.Streams, key: str) -> object:
        found = session(self, key)
        finished.append(found is not None)
        return found

    monkeypatch.setattr(streams.Streams, "session", noted)
    files = [File(f"share/{number}", os.urandom(8 * MIB)) for number in range(2)]
    channel = small_channel(tmp_path / "channel", [(Metadata("large", "1.0", noarch="generic"), files)])
    prefix = install(tmp_path / "env", channel, "large")
    name = f"{registry}/streams/{uuid.uuid4().hex}:v1"
    workshop.build(prefix, reference=name, push=True)
    assert True in finished
    with connect(registry) as connected:
        repository = connected.repository(name.partition("/")[2].partition(":")[0])
        manifest = repository.manifest("v1")
        assert isinstance(manifest, Manifest)
        for blob in manifest.layers:
            assert sum(map(len, repository.read(blob))) == blob.size
