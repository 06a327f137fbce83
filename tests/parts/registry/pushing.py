"""Small blobs and images, and a client that pushes them without a login and without real waits."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from jupyter_condabuild.oci.image import (
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    Descriptor,
    Digest,
    Manifest,
    Reference,
    canonical_json,
)
from jupyter_condabuild.oci.logins.credentials import ANONYMOUS, Credentials
from jupyter_condabuild.oci.registry import Registry, Repository
from tests.parts.registry.faults import Clock, FakeRegistry

DATA = os.urandom(1000 * 1024)


def blob(data: bytes) -> Descriptor:
    """Returns the descriptor of a layer with these bytes."""
    return Descriptor(OCI_LAYER_GZIP, Digest.of(data), len(data))


def opener(data: bytes) -> Callable[[], BinaryIO]:
    """Returns a function that opens the bytes for `push`."""
    return lambda: io.BytesIO(data)


def never() -> BinaryIO:
    """Fails if `push` calls it."""
    raise AssertionError("the bytes are not needed")


def connect(host: str, login: Credentials = ANONYMOUS, clock: Clock | None = None) -> Registry:
    """Connects to the registry with this login, and not with the login of the user who runs the tests."""
    return Registry(host, credentials=login, patience=(clock or Clock()).patience)


def push_image(repository: Repository, *tags: str, layers: tuple[bytes, ...] = ()) -> Manifest:
    """Pushes an image with these layers, and returns its manifest."""
    config = canonical_json({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
    parts = [Descriptor(OCI_CONFIG, Digest.of(config), len(config)), *map(blob, layers)]
    for descriptor, data in zip(parts, (config, *layers), strict=True):
        repository.push(descriptor, opener(data))
    manifest = Manifest.make(parts[0], parts[1:])
    for tag in tags or ("",):
        repository.push_manifest(manifest, tag)
    return manifest


def change_image(
    reference: str, change: Callable[[dict[str, Any]], object], layers: Sequence[Descriptor] | None = None
) -> None:
    """Puts another image under a tag: with a changed configuration, and with other layers if some are given."""
    name = Reference.parse(reference)
    with connect(name.registry) as registry:
        repository = registry.repository(name.repository)
        manifest = repository.manifest(name.target)
        assert isinstance(manifest, Manifest)
        value = json.loads(b"".join(repository.read(manifest.config)))
        change(value)
        raw = canonical_json(value)
        config = Descriptor(manifest.config.media_type, Digest.of(raw), len(raw))
        repository.push(config, opener(raw))
        repository.push_manifest(Manifest.make(config, layers or manifest.layers, manifest.annotations), name.target)


class RecordedPush:
    """A push of DATA to the fake registry, and the requests that it made."""

    def __init__(self, registry: FakeRegistry) -> None:
        self.registry = registry
        self.clock = Clock()
        self.moved: list[int] = []

    def __call__(self) -> str:
        with connect(self.registry.host, clock=self.clock) as registry:
            return registry.repository("team/env").push(blob(DATA), opener(DATA), progress=self.moved.append)

    @property
    def did(self) -> str:
        """The methods of the received requests, as in "HEAD POST PUT"."""
        return " ".join(seen.method for seen in self.registry.seen)

    @property
    def sent(self) -> int:
        """The number of received bytes in bodies."""
        return sum(len(seen.body) for seen in self.registry.seen)

    @property
    def is_stored(self) -> bool:
        """Whether the registry has the blob, no upload is open, and the progress was right."""
        stored = self.registry.blobs.get("team/env", {}).get(str(Digest.of(DATA))) == DATA
        return stored and not self.registry.uploads and sum(self.moved) == len(DATA)
