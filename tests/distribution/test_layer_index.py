"""The index of layers in registries: layers are found by key in existing manifests, and no fault ends a build."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from jupyter_condabuild.distribution.layer_index import LayerIndex, annotate, look_up
from jupyter_condabuild.errors import RegistryFault
from jupyter_condabuild.oci.image import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, Manifest
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.registry import Registry
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.trust.vouchers import Vouchers
from tests.parts.registry.faults import FakeRegistry, spec_error
from tests.parts.registry.pushing import blob, connect

TAR = Digest.of(b"tar")
Known = Callable[..., LayerIndex]


@pytest.fixture
def connected(fake_registry: FakeRegistry) -> Iterator[Registry]:
    with connect(fake_registry.host) as registry:
        yield registry


def image(*layers: Descriptor, **annotations: str) -> Manifest:
    return Manifest.make(Descriptor(OCI_CONFIG, Digest.of(b"{}"), 2), layers, annotations)


def put(registry: FakeRegistry, repository: str, tag: str, manifest: Manifest) -> None:
    registry.put_manifest(repository, tag, manifest.media_type, manifest.raw)


@pytest.fixture
def known(connected: Registry, job: JobContext) -> Known:
    """Looks up layers in repositories and tags of the registry, for a push to team/env:v1."""

    def look(*targets: tuple[str, str]) -> LayerIndex:
        found = [(connected.repository(name), target) for name, target in targets]
        return look_up(found, connected.repository("team/env"), "v1", Vouchers(job), "arm64")

    return look


def test_layers_are_found_by_their_key(fake_registry: FakeRegistry, known: Known) -> None:
    """The result has the values for a manifest, and the repository of the layer."""
    layer = annotate(blob(b"layer"), "key", TAR, ["numpy-1-0"])
    put(fake_registry, "cache/env", "main", image(blob(b"base"), layer))
    found = known(("cache/env", "main"))
    [claim] = found.of("key")
    assert found.claims.keys() == {"key"}
    assert (claim.descriptor, claim.diff_id, claim.repository.name) == (layer, TAR, "cache/env")
    assert found.present == frozenset()


def test_the_candidates_for_a_key_are_in_order(fake_registry: FakeRegistry, known: Known) -> None:
    """The destination comes first, because its layers need no mount."""
    for name, data in (("team/env", b"own"), ("cache/env", b"other")):
        put(fake_registry, name, "v1", image(annotate(blob(data), "key", TAR, [])))
    found = known(("team/env", "v1"), ("cache/env", "v1"))
    assert [claim.descriptor.digest for claim in found.of("key")] == [Digest.of(b"own"), Digest.of(b"other")]
    assert [place.name for place in found.repositories_with(Digest.of(b"other"))] == ["cache/env"]


def test_all_blobs_in_manifests_of_the_destination_are_known(fake_registry: FakeRegistry, known: Known) -> None:
    """Its own manifests name them. The image of the tag is the current image."""
    put(fake_registry, "team/env", "v1", image(blob(b"base"), blob(b"layer")))
    put(fake_registry, "team/env", "v0", image(blob(b"older")))
    found = known(("team/env", "v1"), ("team/env", "v0"))
    assert found.present == {Digest.of(data) for data in (b"base", b"layer", b"older", b"{}")}
    assert found.current == image(blob(b"base"), blob(b"layer"))


ODD: dict[str, tuple[str, Any]] = {
    "an index": (OCI_INDEX, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}),
    "an artifact": (OCI_MANIFEST, {"schemaVersion": 2, "mediaType": "application/vnd.oci.artifact.manifest.v1+json"}),
    "no JSON": (OCI_MANIFEST, None),
    "both": (OCI_MANIFEST, {"manifests": [], "layers": [], "config": {}}),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("where", ["team/env", "cache/env"])
def test_an_image_of_another_tool_is_ignored(fake_registry: FakeRegistry, known: Known, name: str, where: str) -> None:
    """Such an image is also ignored under the destination's tag, which will be replaced."""
    media_type, value = ODD[name]
    raw = b"<html>" if value is None else json.dumps(value).encode()
    fake_registry.put_manifest(where, "v1", media_type, raw)
    assert replace(known((where, "v1"), ("team/env", "absent")), named=None) == LayerIndex()


def test_each_image_of_an_index_is_read(fake_registry: FakeRegistry, known: Known) -> None:
    """The current image is the one for the platform of the build. An image that the registry lacks is left out."""
    entries = []
    for processor in ("amd64", "arm64", "s390x"):
        made = image(annotate(blob(processor.encode()), processor, TAR, []))
        platform = {"os": "linux", "architecture": processor}
        entries.append(replace(made.descriptor, platform=platform))
        if processor != "s390x":
            put(fake_registry, "team/env", str(made.descriptor.digest), made)
    other = replace(blob(b"note"), media_type=OCI_MANIFEST, platform={"os": "unknown", "architecture": "unknown"})
    index = Index.make(entries, Index.make([other]))
    fake_registry.put_manifest("team/env", "v1", OCI_INDEX, index.raw)
    found = known(("team/env", "v1"), ("team/env", str(index.descriptor.digest)))
    assert found.claims.keys() == {"amd64", "arm64"}
    assert [len(found.of(key)) for key in ("amd64", "arm64")] == [1, 1]
    assert found.present == {Digest.of(data) for data in (b"amd64", b"arm64", b"{}")}
    assert found.current == image(annotate(blob(b"arm64"), "arm64", TAR, []))
    assert found.named == index
    assert not fake_registry.times("GET", str(other.digest))


@pytest.mark.parametrize("diff_id", ["", "sha256:short", "md5:" + "0" * 32])
def test_a_layer_without_a_valid_diff_id_is_not_used(fake_registry: FakeRegistry, known: Known, diff_id: str) -> None:
    """The configuration of the new image needs the diff_id."""
    layer = annotate(blob(b"layer"), "key", TAR, [])
    annotations = {**layer.annotations, "org.jupyter.condabuild.layer.diff_id": diff_id}
    broken = Descriptor(layer.media_type, layer.digest, layer.size, annotations)
    put(fake_registry, "cache/env", "v1", image(broken))
    assert known(("cache/env", "v1")).claims == {}


def test_a_cache_that_fails_is_ignored_and_a_destination_that_fails_ends_the_build(
    fake_registry: FakeRegistry, known: Known
) -> None:
    """If the destination cannot be read, a push would probably fail."""
    fake_registry.guard = lambda seen: spec_error(500, "UNKNOWN", "on fire")
    assert known(("cache/env", "v1")).claims == {}
    with pytest.raises(RegistryFault, match="on fire"):
        known(("team/env", "v1"))
