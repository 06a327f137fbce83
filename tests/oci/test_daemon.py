"""Docker and Podman load, name and export images. Their failures give clear errors."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

import docker
import pytest

from jupyter_condabuild.errors import ContentMismatch, DiskFull, EngineFault, EngineUnavailable, StoreError
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.image import Digest, Image
from tests.conftest import missing
from tests.parts.small_image import HELLO, Failing, blobs, from_source, image, programs, tar

PLACE = f"condabuild-tests-{os.getpid()}"
"""Other runs of these tests can use the same engine."""

NAME = f"registry.lab.org/{PLACE}/small:v1"


@pytest.fixture
def engine(docker_client: docker.DockerClient) -> Iterator[Daemon]:
    """A connection to Docker. The images of these tests are removed at the end."""
    with Daemon.connect() as engine:
        forget(docker_client)
        yield engine
        forget(docker_client)


def forget(client: docker.DockerClient) -> None:
    for found in client.images.list(filters={"reference": f"*/{PLACE}/*"}):
        client.images.remove(found.id, force=True)


@pytest.fixture
def podman() -> Iterator[Daemon]:
    """A connection to a Podman service with its own store."""
    if not shutil.which("podman"):
        missing("podman is not installed")
    with tempfile.TemporaryDirectory() as folder:
        store = ["--root", f"{folder}/store", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
        address = f"unix://{folder}/podman.sock"
        command = ["podman", *store, "system", "service", "--time", "0", address]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                with until_it_answers(address) as engine:
                    yield engine
            finally:
                process.terminate()


def until_it_answers(address: str) -> Daemon:
    deadline = time.monotonic() + 30
    while True:
        try:
            return Daemon.connect(address)
        except EngineUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def unique(**runtime: Any) -> Image:
    """Returns an image that no engine has."""
    return image([programs(), tar({"unique": os.urandom(30_000)})], **runtime)


def content(image: Image) -> list[Digest]:
    return [Digest.of(b"".join(image.read(layer))) for layer in image.manifest.layers]


def diff_ids(image: Image) -> list[str]:
    return list(json.loads(image.config)["rootfs"]["diff_ids"])


# Real engines


def test_docker_has_the_loaded_image(engine: Daemon, docker_client: docker.DockerClient) -> None:
    """A loaded image has the digest of its configuration as its id, the given name, and its layers."""
    made = unique(Cmd=["/hello"], Labels={"a": "b"})
    told: list[tuple[int, int]] = []
    loaded = engine.load(made, NAME, lambda complete, total: told.append((complete, total)))
    found = docker_client.images.get(NAME)
    assert loaded == found.id == str(made.manifest.config.digest)
    assert found.labels == {"a": "b"}
    assert found.attrs["RootFS"]["Layers"] == diff_ids(made)
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 30_000


def test_an_image_that_docker_has_is_not_sent_again(engine: Daemon, docker_client: docker.DockerClient) -> None:
    """A second load of the same image under another name sends nothing, and adds the name."""
    made = unique()
    engine.load(made, NAME)
    other = NAME.replace(":v1", ":v2")
    unread = Image(made.manifest, made.config, {})
    assert engine.load(unread, other) == docker_client.images.get(other).id


def test_a_container_is_removed_after_its_run(engine: Daemon, docker_client: docker.DockerClient) -> None:
    """A run returns the exit status and the output. The container is removed, even after a time-out."""
    engine.load(unique(), NAME)
    assert engine.run(NAME, ["/hello"]) == (7, HELLO.decode())
    with pytest.raises(EngineFault, match=r"more than 0\.5 seconds"):
        engine.run(NAME, ["/wait"], limit=0.5)
    with pytest.raises(EngineFault, match="/missing"):
        engine.run(NAME, ["/missing"])
    assert docker_client.containers.list(all=True, filters={"ancestor": NAME}) == []


def test_an_image_exported_from_docker_is_unchanged(engine: Daemon, tmp_path: Path) -> None:
    """An image that only the engine has is read from an unlinked temporary file, which uses no space afterwards."""
    made = unique(User="65534")
    engine.load(made, NAME)
    with engine.export(NAME, tmp_path) as saved:
        again = saved.image("amd64")
        assert os.listdir(tmp_path) == []
        assert again.config == made.config
        assert content(again) == [Digest.parse(text) for text in diff_ids(made)]
    with pytest.raises(EngineFault, match="no-such-image"):
        engine.export(f"registry.lab.org/{PLACE}/no-such-image:v1", tmp_path)
    with pytest.raises(StoreError, match="nowhere"):
        engine.export(NAME, tmp_path / "nowhere")


def test_docker_refuses_a_damaged_layer(engine: Daemon, docker_client: docker.DockerClient) -> None:
    """Docker refuses a layer that does not match the configuration, and the name stays with the old image."""
    before = engine.load(unique(), NAME)
    made = unique()
    damaged = json.loads(made.config)
    damaged["rootfs"]["diff_ids"][1] = str(Digest("5" * 64))
    raw = json.dumps(damaged).encode()
    manifest = json.loads(made.manifest.raw)
    manifest["config"] |= {"digest": str(Digest.of(raw)), "size": len(raw)}
    wrong = Image(type(made.manifest).parse(json.dumps(manifest).encode()), raw, made.sources)
    with pytest.raises(EngineFault, match="could not load the image"):
        engine.load(wrong, NAME)
    assert docker_client.images.get(NAME).id == before


def test_an_error_of_the_source_is_not_reported_as_an_engine_error(engine: Daemon) -> None:
    """If a layer is found to be damaged during the upload, its error is raised, and the engine stays unchanged."""
    made = unique()

    for error in (ContentMismatch("damaged"), OSError("a disk that fails"), KeyError("a bug")):
        with pytest.raises(type(error)):
            engine.load(from_source(made, Failing(blobs(made), error)), NAME)
        assert engine.image_id(NAME) is None
    assert engine.load(made, NAME) == str(made.manifest.config.digest)


def test_docker_pulls_from_the_registry(engine: Daemon, registry: str, tmp_path: Path) -> None:
    """A pull distinguishes a pulled image, an image that the registry lacks, and a registry that does not answer."""
    made = unique()
    reference = f"{registry}/{PLACE}/pulled:v1"
    archive.write(made, reference, tmp_path / "image.tar")
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]
    subprocess.run([*copy, f"oci-archive:{tmp_path / 'image.tar'}", f"docker://{reference}"], check=True)
    assert engine.pull(reference) is True
    assert engine.image_id(reference) == str(made.manifest.config.digest)
    assert engine.image_id(f"{registry}/{PLACE}/pulled@{made.manifest.descriptor.digest}") is not None
    assert engine.pull(f"{registry}/{PLACE}/pulled@{made.manifest.descriptor.digest}") is True
    assert engine.pull(f"{registry}/{PLACE}/pulled:v2") is False
    assert engine.pull(f"{registry}/{PLACE}/other") is False
    with pytest.raises(EngineFault, match=r"refused|reset"):  # reset by the relay of scripts/enclosed.py
        engine.pull(f"127.0.0.1:1/{PLACE}/small:v1")


def test_podman_loads_and_exports_images(podman: Daemon, tmp_path: Path) -> None:
    """Podman's service loads, names and exports an image as Docker does."""
    made = unique(Cmd=["/hello"])
    assert podman.name.startswith("Podman ")
    assert podman.load(made, NAME) == podman.image_id(NAME) == str(made.manifest.config.digest)
    with podman.export(NAME, tmp_path) as saved:
        assert content(saved.image("amd64")) == [Digest.parse(text) for text in diff_ids(made)]
    assert podman.image_id(f"registry.lab.org/{PLACE}/other") is None


# Failures of an engine

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """A fake engine. It answers as a test says, and otherwise correctly."""

    protocol_version = "HTTP/1.1"
    server: FakeEngine

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass

    def json(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def do_GET(self) -> None:
        if self.path.endswith("/version"):
            self.json(200, {"ApiVersion": "1.41", "Version": "0.0"})
        elif (found := self.path.rsplit("/images/", 1)[-1].removesuffix("/json")) in self.server.has:
            self.json(200, {"Id": found})
        else:
            self.server.other(self)

    def do_POST(self) -> None:
        self.server.heard += self.path.encode()
        if self.path.split("?")[0].endswith("/images/load"):
            self.server.load(self)
        else:
            self.json(201, {})


class FakeEngine(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    has: tuple[str, ...] = ()
    heard = b""

    def load(self, request: Handler) -> None:
        for chunk in request.chunks():
            self.heard += chunk
        request.json(200, {"stream": "Loaded"})

    def other(self, request: Handler) -> None:
        request.json(404, {"message": "No such image"})


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(str(tmp_path / "fake.sock"), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def connected(fake: FakeEngine) -> Iterator[Daemon]:
    with Daemon.connect(f"unix://{fake.server_address!s}") as engine:
        yield engine


def large() -> Image:
    """Returns an image that is larger than the buffers of sockets."""
    return image([os.urandom(8 << 20)])


def test_the_error_names_an_engine_that_stops_during_a_load(fake: FakeEngine) -> None:
    """If the engine closes the connection during or after the upload, the error says that the engine stopped."""

    def dies_early(request: Handler) -> None:
        next(request.chunks())
        request.connection.shutdown(socket.SHUT_RDWR)
        request.close_connection = True

    def dies_late(request: Handler) -> None:
        for _ in request.chunks():
            pass
        request.connection.shutdown(socket.SHUT_RDWR)
        request.close_connection = True

    def dies_while_answering(request: Handler) -> None:
        for _ in request.chunks():
            pass
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b'10\r\n{"stream": "Lo')
        request.connection.shutdown(socket.SHUT_RDWR)
        request.close_connection = True

    for dies in (dies_early, dies_late, dies_while_answering):
        fake.load = dies  # type: ignore[method-assign]
        with connected(fake) as engine, pytest.raises(EngineUnavailable, match="stopped answering while loading"):
            engine.load(large(), NAME)


def test_the_error_names_a_full_disk_of_the_engine(fake: FakeEngine) -> None:
    """An engine without disk space gives DiskFull, by its status or in the middle of its answer.

    The hint names the engine.
    """
    said = "write /var/lib/docker/tmp/layer.tar: no space left on device"

    def by_status(request: Handler) -> None:
        next(request.chunks())
        request.json(500, {"message": said})
        request.close_connection = True

    def in_the_answer(request: Handler) -> None:
        for _ in request.chunks():
            pass
        request.json(200, {"errorDetail": {"message": said}, "error": said})

    for fails in (by_status, in_the_answer):
        fake.load = fails  # type: ignore[method-assign]
        with connected(fake) as engine, pytest.raises(DiskFull, match=r"layer\.tar") as caught:
            engine.load(large(), NAME)
        assert "docker system prune" in caught.value.hint


def test_an_image_with_another_id_is_an_error(fake: FakeEngine) -> None:
    """If the engine reports success but has no image with our id, the load fails, and no name is set."""
    with connected(fake) as engine, pytest.raises(EngineFault, match="has no image with the id"):
        engine.load(large(), NAME)
    assert PLACE.encode() not in fake.heard
    assert b"manifest.json" in fake.heard


def test_an_engine_may_use_the_digest_of_the_manifest_as_the_id(fake: FakeEngine) -> None:
    """With the containerd store, the id of an image is the digest of its manifest. The load accepts this id."""
    made = large()
    fake.has = (str(made.manifest.descriptor.digest),)
    with connected(fake) as engine:
        assert engine.load(made, NAME) == str(made.manifest.descriptor.digest)


def test_an_invalid_answer_of_an_engine_is_a_named_error(fake: FakeEngine, tmp_path: Path) -> None:
    """Answers that are not JSON or not HTTP do not raise exceptions of docker-py or requests."""

    def no_json(request: Handler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "3")
        request.end_headers()
        request.wfile.write(b"<p>")

    def no_http(request: Handler) -> None:
        request.wfile.write(b"hello\r\n\r\n")
        request.close_connection = True

    def no_object(request: Handler) -> None:
        request.json(200, [])

    def no_message(request: Handler) -> None:
        request.json(500, ["failed"])

    for nonsense in (no_json, no_http, no_object, no_message):
        fake.other = nonsense  # type: ignore[method-assign]
        with connected(fake) as engine:
            with pytest.raises((EngineFault, EngineUnavailable)):
                engine.image_id(NAME)
            with pytest.raises((EngineFault, EngineUnavailable)):
                engine.load(large(), NAME)
