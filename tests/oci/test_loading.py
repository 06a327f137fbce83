"""A load sends to Docker the layers that it needs, and to other engines all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import docker
import pytest

from jupyter_condabuild.oci.engine import daemon as daemon_module
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.image import Image
from tests.parts.small_image import HELLO, image, programs, tar

LARGE, SMALL = 2_000_000, 30_000
"""Sizes of layers, in bytes."""


class Loads:
    """An engine, and the numbers of bytes that it was sent."""

    def __init__(self, engine: Daemon, repository: str) -> None:
        self.engine = engine
        self.repository = repository

    def load(self, image: Image, tag: str = "v1") -> int:
        """Loads an image under a tag. Returns the number of bytes that were sent."""
        told = [(0, 0)]
        self.engine.load(image, f"{self.repository}:{tag}", lambda *progress: told.append(progress))
        return told[-1][1]


@pytest.fixture
def loads(docker_client: docker.DockerClient) -> Iterator[Loads]:
    """A connection to Docker, and a repository whose images are removed at the end."""
    repository = f"registry.lab.org/condabuild-tests/loading-{uuid4().hex}"
    with Daemon.connect() as engine:
        yield Loads(engine, repository)
    for found in docker_client.images.list(repository):
        docker_client.images.remove(found.id, force=True)


def layer(size: int) -> bytes:
    """Returns a layer that no engine has."""
    return tar({"unique": os.urandom(size)})


def test_docker_gets_the_layers_above_those_that_it_has(loads: Loads) -> None:
    """After a change of the uppermost layer, that layer alone is sent, and the image works."""
    low, high = layer(LARGE), layer(SMALL)
    assert loads.load(image([programs(), low, high])) > LARGE
    changed = image([programs(), low, layer(SMALL)], Cmd=["/hello"])
    assert SMALL < loads.load(changed, "v2") < 2 * SMALL + 20_000
    assert loads.engine.run(f"{loads.repository}:v2", ["/hello"]) == (7, HELLO.decode())
    assert loads.load(image([programs(), layer(SMALL), low]), "v3") > LARGE


def test_a_layer_that_is_needed_twice_is_sent(loads: Loads) -> None:
    """A layer that also lies above those of the engine is not left out."""
    same = layer(SMALL)
    loads.load(image([programs(), same]))
    twice = image([programs(), same, layer(10), same])
    loads.load(twice, "v2")
    assert loads.engine.image_id(f"{loads.repository}:v2") == str(twice.manifest.config.digest)


def test_an_image_that_disappears_during_the_load_costs_a_second_load(
    loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the engine lacks a layer that was left out, all layers are sent."""
    made = image([programs(), layer(LARGE), layer(SMALL)])
    monkeypatch.setattr(daemon_module, "layers_there", lambda *_: 2)
    assert loads.load(made) > LARGE
    assert loads.engine.image_id(f"{loads.repository}:v1") == str(made.manifest.config.digest)


def test_the_store_of_containerd_gets_every_layer(loads: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such an engine reads all files of an archive."""
    low = layer(LARGE)
    loads.load(image([programs(), low]))
    client = loads.engine.client
    monkeypatch.setattr(client, "info", lambda: {"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]})
    assert loads.load(image([programs(), low, layer(SMALL)]), "v2") > LARGE
