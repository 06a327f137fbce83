"""The registry client with a real registry: pushed data can be read, and nothing is sent twice."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from jupyter_condabuild.errors import (
    BadDigest,
    BadReference,
    ContentMismatch,
    RegistryNotFound,
    RegistryUnreachable,
    UsageError,
)
from jupyter_condabuild.oci import upload as upload_module
from jupyter_condabuild.oci.image import (
    DOCKER_MANIFEST,
    OCI_INDEX,
    Descriptor,
    Digest,
    Manifest,
    Reference,
    canonical_json,
)
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.logins.credentials import ANONYMOUS
from jupyter_condabuild.oci.registry import Registry, Repository, open_registry
from jupyter_condabuild.oci.tag_list import tags_of
from tests.parts.registry.faults import Relay
from tests.parts.registry.pushing import blob, connect, never, opener, push_image

MIB = 1024 * 1024


@pytest.fixture
def repository(registry: str) -> Iterator[Repository]:
    """An empty repository."""
    with connect(registry) as connected:
        yield connected.repository(f"client/{uuid.uuid4().hex}")


@pytest.fixture
def relay(registry: str) -> Iterator[Relay]:
    """A proxy to the registry. It counts bytes, and can cut connections."""
    with Relay(registry) as started:
        yield started


@pytest.mark.parametrize("size", [0, 1, 1000, 3 * MIB + 7])
def test_pushed_blobs_are_read_back(repository: Repository, size: int) -> None:
    """A blob of any size is read back unchanged. All chunks except the last have at least 1 MiB."""
    data = os.urandom(size)
    assert repository.push(blob(data), opener(data)) == "uploaded"
    assert repository.has(blob(data).digest)
    chunks = list(repository.read(blob(data)))
    assert b"".join(chunks) == data
    assert all(len(chunk) >= MIB for chunk in chunks[:-1])


def test_the_sum_of_progress_is_the_size(repository: Repository) -> None:
    """Progress counts each byte once."""
    data, moved = os.urandom(5 * MIB), list[int]()
    repository.push(blob(data), opener(data), progress=moved.append)
    assert sum(moved) == len(data)
    assert len(moved) >= 5


def test_a_second_push_sends_no_bytes_of_the_blob(repository: Repository, relay: Relay) -> None:
    """The client asks for an existing blob by its digest, and does not open the source."""
    data = os.urandom(MIB)
    with connect(relay.host) as through:
        assert through.repository(repository.name).push(blob(data), opener(data)) == "uploaded"
        assert relay.sent > len(data)
        before = relay.sent
        assert through.repository(repository.name).push(blob(data), never) == "present"
    assert relay.sent - before < 1000


def test_a_blob_of_another_repository_is_mounted(repository: Repository) -> None:
    """The first repository that has the blob is used, and its bytes are not transferred."""
    data, sources = os.urandom(1000), ("client/nobody", repository.name)
    repository.push(blob(data), opener(data))
    with connect(repository.host) as registry:
        other = registry.repository(f"{repository.name}/other")
        assert other.push(blob(data), never, mount_from=sources) == "mounted"
        assert b"".join(other.read(blob(data))) == data


def test_a_refused_mount_becomes_an_upload(repository: Repository) -> None:
    """If no source repository has the blob, its bytes are uploaded."""
    data = os.urandom(1000)
    assert repository.push(blob(data), opener(data), mount_from=("client/nobody", "client/none")) == "uploaded"
    assert not repository.mount(blob(b"unknown").digest, "client/nobody")


def test_a_large_blob_is_pushed_in_chunks(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob above the limit is pushed in chunks, and is complete in the registry."""
    monkeypatch.setattr(upload_module, "MONOLITHIC_MAX", MIB)
    monkeypatch.setattr(upload_module, "CHUNK", 2 * MIB)
    data, moved = os.urandom(5 * MIB + 3), list[int]()
    assert repository.push(blob(data), opener(data), progress=moved.append) == "uploaded"
    assert sum(moved) == len(data)
    assert b"".join(repository.read(blob(data))) == data


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("cut_at", [100_000, 3 * MIB, 7 * MIB])
def test_a_push_survives_a_cut_connection(
    repository: Repository, relay: Relay, monkeypatch: pytest.MonkeyPatch, large: bool, cut_at: int
) -> None:
    """If the connection breaks during a push, in one piece or in chunks, the next attempt completes the push."""
    monkeypatch.setattr(upload_module, "MONOLITHIC_MAX", MIB if large else 100 * MIB)
    monkeypatch.setattr(upload_module, "CHUNK", 2 * MIB)
    data, moved = os.urandom(8 * MIB), list[int]()
    relay.cut_sent_at = cut_at
    with connect(relay.host) as through:
        assert through.repository(repository.name).push(blob(data), opener(data), progress=moved.append) == "uploaded"
    assert relay.cut_sent_at is None
    assert sum(moved) == len(data)
    assert b"".join(repository.read(blob(data))) == data


def test_a_cut_read_is_resumed(repository: Repository, relay: Relay) -> None:
    """After a broken download, only the missing bytes are requested."""
    data = os.urandom(8 * MIB)
    repository.push(blob(data), opener(data))
    relay.cut_received_at = 5 * MIB
    with connect(relay.host) as through:
        assert b"".join(through.repository(repository.name).read(blob(data))) == data
    assert relay.cut_received_at is None
    assert relay.received < len(data) + 2 * MIB


def test_a_stream_without_seek_is_opened_again(repository: Repository, relay: Relay) -> None:
    """A blob from another registry is read again if its bytes must be sent again."""

    class Once(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *args: int) -> int:
            raise AssertionError("not seekable")

    data, opened = os.urandom(3 * MIB), list[Once]()
    relay.cut_sent_at = 2 * MIB

    def open_stream() -> BinaryIO:
        opened.append(Once(data))
        return opened[-1]

    with connect(relay.host) as through:
        through.repository(repository.name).push(blob(data), open_stream)
    assert len(opened) >= 2
    assert all(stream.closed for stream in opened)
    assert b"".join(repository.read(blob(data))) == data


def test_many_threads_push_with_one_client(repository: Repository) -> None:
    """Blobs can be pushed at the same time."""
    blobs = [os.urandom(300_000 + index) for index in range(24)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda data: repository.push(blob(data), opener(data)), blobs)) == {"uploaded"}
        assert list(pool.map(lambda data: b"".join(repository.read(blob(data))), blobs)) == blobs


@pytest.mark.parametrize("change", ["shorter", "other", "longer"])
def test_bytes_that_differ_from_the_descriptor_are_refused(repository: Repository, change: str) -> None:
    """A source file that has changed is refused, and the repository does not get it."""
    data = os.urandom(2 * MIB)
    wrong = {"shorter": data[:-1], "other": data[:-1] + bytes([data[-1] ^ 1]), "longer": b"x" + data}[change]
    with pytest.raises(ContentMismatch):
        repository.push(blob(data), opener(wrong))
    assert not repository.has(blob(data).digest)


def test_an_error_of_the_source_is_raised_unchanged(repository: Repository) -> None:
    """The caller gets the error of the disk itself."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        repository.push(blob(b"12345"), Broken)


def test_a_manifest_is_read_back_unchanged(repository: Repository) -> None:
    """The manifest is read by tag and by digest, with the same bytes."""
    manifest = push_image(repository, "v1", layers=(os.urandom(100),))
    assert repository.manifest("v1") == repository.manifest(str(manifest.descriptor.digest)) == manifest
    assert repository.head("v1") == repository.head(str(manifest.descriptor.digest)) == manifest.descriptor


def test_a_manifest_without_a_tag_is_found_by_digest(repository: Repository) -> None:
    """An image can be stored without a tag."""
    manifest = push_image(repository)
    assert repository.head(str(manifest.descriptor.digest)) == manifest.descriptor


def test_docker_manifests_and_indexes_are_kept_unchanged(repository: Repository) -> None:
    """Docker's manifest type and image indexes are stored and read unchanged."""
    made = push_image(repository)
    value = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": made.config.to_json(), "layers": []}
    docker = Manifest.parse(canonical_json(value))
    platform = {"architecture": "amd64", "os": "linux"}
    entry = Descriptor(docker.media_type, docker.descriptor.digest, docker.descriptor.size, platform=platform)
    raw = canonical_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry.to_json()]})
    repository.push_manifest(docker, "docker")
    repository.push_manifest(Index.parse(raw), "index")
    assert repository.manifest("docker") == docker
    found = repository.manifest("index")
    assert isinstance(found, Index)
    assert found.raw == raw
    assert found.select("amd64").digest == docker.descriptor.digest


def test_missing_tags_and_blobs_are_not_found(repository: Repository) -> None:
    """For a missing tag, `head` returns None and `manifest` raises an error.

    For a missing blob, `read` raises an error.
    """
    assert repository.head("missing") is None
    assert repository.head(str(Digest.of(b"missing"))) is None
    assert not repository.has(Digest.of(b"missing"))
    with pytest.raises(RegistryNotFound, match=rf"manifest missing of {repository.name} at .*MANIFEST_UNKNOWN"):
        repository.manifest("missing")
    with pytest.raises(RegistryNotFound, match="BLOB_UNKNOWN"):
        next(repository.read(blob(b"missing")))


def test_all_tags_are_listed(repository: Repository) -> None:
    """Each tag is listed once."""
    push_image(repository, "a", "b", "c")
    assert sorted(tags_of(repository)) == ["a", "b", "c"]


def test_a_deleted_image_is_gone(repository: Repository) -> None:
    """The deletion of a manifest deletes its tags. A second deletion raises an error."""
    manifest = push_image(repository, "v1")
    repository.delete(manifest.descriptor.digest)
    assert repository.head("v1") is None
    with pytest.raises(RegistryNotFound):
        repository.delete(manifest.descriptor.digest)


def test_pull_only_refuses_changes(registry: str, repository: Repository) -> None:
    """With `pull_only`, each request that would change the registry is refused before it is sent."""
    manifest = push_image(repository, "v1")
    with Registry(registry, credentials=ANONYMOUS, pull_only=True) as reading:
        same = reading.repository(repository.name)
        assert same.manifest("v1") == manifest
        for change in (
            lambda: same.push(blob(b"new"), never),
            lambda: same.push_manifest(manifest, "v2"),
            lambda: same.mount(Digest.of(b""), "client/other"),
            lambda: same.delete(manifest.descriptor.digest),
        ):
            with pytest.raises(UsageError, match="reading only"):
                change()


def test_a_registry_that_answers_passes_the_check(registry: str) -> None:
    """`check` raises nothing if the registry answers."""
    with connect(registry) as opened:
        opened.check()


@pytest.mark.parametrize("name", ["", "Upper", "a//b", "../up", "a/../b", "a b", "a?b", "a%2fb", "/a", "a/"])
def test_an_invalid_repository_name_is_refused(registry: str, name: str) -> None:
    """A text that is not the name of a repository never becomes part of a URL."""
    with connect(registry) as connected, pytest.raises(UsageError):
        connected.repository(name)


@pytest.mark.parametrize("target", ["", "../x", "a/b", "a?b=c", "sha256:12", "-x", "a" * 129])
def test_an_invalid_tag_or_digest_is_refused(repository: Repository, target: str) -> None:
    """A text that is neither a tag nor a digest never becomes part of a URL."""
    for ask in (repository.manifest, repository.head):
        with pytest.raises((BadReference, BadDigest)):
            ask(target)


@pytest.mark.parametrize("host", ["", "a b", "user:secret@host", "host/path", "host:99999", "[::1", "host?x"])
def test_an_invalid_host_is_refused(host: str) -> None:
    """The name of a registry is a host with an optional port."""
    with pytest.raises(UsageError):
        Registry(host)


def test_docker_hub_is_reached_by_the_host_of_its_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name in references is docker.io. The registry is at registry-1.docker.io, with TLS."""
    asked: list[tuple[object, object]] = []

    def resolve(host: object, port: object, *args: object, **more: object) -> list[object]:
        asked.append((host, port))
        raise OSError("no network in this test")

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with open_registry(Reference.parse("debian:bookworm-slim")) as hub, pytest.raises(RegistryUnreachable):
        hub.check()
    assert set(asked) == {("registry-1.docker.io", 443)}


def test_importing_the_client_does_not_load_the_http_library() -> None:
    """Commands that need no registry start faster."""
    code = "import sys, jupyter_condabuild.oci.registry; sys.exit('httpx' in sys.modules or 'docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


_IN_LITTLE_MEMORY = """
import hashlib, resource, sys
from pathlib import Path
from jupyter_condabuild.oci.logins.credentials import ANONYMOUS
from jupyter_condabuild.oci.image import Descriptor, Digest
from jupyter_condabuild.oci.registry import Registry
host, name, path, digest = sys.argv[1:]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
with Registry(host, credentials=ANONYMOUS) as registry:
    repository = registry.repository(name)
    repository.head("nothing")
    start = peak()
    blob = Descriptor("application/octet-stream", Digest(digest), Path(path).stat().st_size)
    assert repository.push(blob, lambda: open(path, "rb")) == "uploaded"
    assert sum(map(len, repository.read(blob))) == blob.size
    print(peak() - start)
"""


def test_a_large_blob_needs_little_memory(registry: str, tmp_path: Path) -> None:
    """Pushing and reading 300 MB takes less than 30 MB of memory."""
    path = tmp_path / "blob"
    with path.open("wb") as file:
        file.truncate(300_000_000)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    name = f"client/{uuid.uuid4().hex}"
    command = [sys.executable, "-c", _IN_LITTLE_MEMORY, registry, name, str(path), digest]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(result.stdout) < 30_000_000


def test_no_thread_is_left(registry: str) -> None:
    """The client uses only the threads of its callers."""
    before = threading.active_count()
    with connect(registry) as connected:
        connected.check()
        assert threading.active_count() == before
