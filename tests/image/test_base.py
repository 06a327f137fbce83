"""The base image is found in each kind of location, for the right processor, without a transfer of its layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_condabuild.errors import BaseUnavailable
from jupyter_condabuild.image.base import Base, resolve
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.image import DOCKER_LAYER_GZIP, OCI_INDEX, OCI_LAYER_GZIP, Digest, Image, canonical_json
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.job_context import JobContext
from tests.parts.registry.faults import FakeRegistry, spec_error
from tests.parts.small_image import image, tar

Find = Callable[..., Base]


@pytest.fixture
def find(job: JobContext) -> Find:
    """Resolves a name."""
    return lambda name, architecture="amd64": resolve(ImageLocation.parse(name), architecture, job)


def small(architecture: str = "amd64") -> Image:
    return image([tar({"etc/base": architecture.encode()})], architecture)


def put(registry: FakeRegistry, *images: Image, tag: str = "v1") -> str:
    """Stores images, as an index if there are several, and returns their name."""
    for one in images:
        for part in (one.manifest.config, *one.manifest.layers):
            registry.put("lab/base", b"".join(one.read(part)))
        registry.put_manifest("lab/base", tag, one.manifest.media_type, one.manifest.raw)
    if len(images) > 1:
        entries = []
        for one, architecture in zip(images, ("amd64", "arm64"), strict=True):
            platform = {"os": "linux", "architecture": architecture}
            entries.append({**one.manifest.descriptor.to_json(), "platform": platform})
        raw = canonical_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
        registry.put_manifest("lab/base", tag, OCI_INDEX, raw)
    return f"{registry.host}/lab/base:{tag}"


def test_only_manifest_and_configuration_are_read_from_a_registry(fake_registry: FakeRegistry, find: Find) -> None:
    """Layers are mounted or transferred only when they are needed."""
    name = put(fake_registry, small())
    found = find(name)
    assert (found.name, found.digest) == (name, small().manifest.descriptor.digest)
    assert found.config.architecture == "amd64"
    layer = str(small().manifest.layers[0].digest)
    assert not [seen.path for seen in fake_registry.seen if layer in seen.path]


def test_the_second_time_only_the_tag_is_requested(fake_registry: FakeRegistry, find: Find) -> None:
    """The tag can mean another image now."""
    name = put(fake_registry, small())
    find(name)
    fake_registry.seen.clear()
    find(name)
    assert [seen.method for seen in fake_registry.seen] == ["HEAD"]
    put(fake_registry, image([tar({"etc/base": b"newer"})]))
    newer = find(name)
    assert newer.digest != small().manifest.descriptor.digest


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_image_for_the_processor_is_chosen(fake_registry: FakeRegistry, find: Find, architecture: str) -> None:
    """The image is taken from an image index."""
    name = put(fake_registry, small("amd64"), small("arm64"))
    found = find(name, architecture)
    assert found.digest == small(architecture).manifest.descriptor.digest


@pytest.mark.parametrize("images", [1, 2])
def test_an_image_for_another_processor_is_refused(fake_registry: FakeRegistry, find: Find, images: int) -> None:
    """The image would not run here. The message names its processor."""
    name = put(fake_registry, *(small("amd64"), small("arm64"))[:images])
    with pytest.raises(BaseUnavailable, match="ppc64le" if images == 1 else "no variant for linux/ppc64le"):
        find(name, "ppc64le")


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_an_archive_can_be_a_base(find: Find, tmp_path: Path, kind: str) -> None:
    """Both formats are accepted. The layers get the media types of OCI."""
    archive.write(small(), "lab.org/base:1", tmp_path / "base.tar", kind)  # type: ignore[arg-type]
    found = find(f"{kind}:{tmp_path / 'base.tar'}")
    assert found.name == "base.tar"
    assert {layer.media_type for layer in found.layers} <= {OCI_LAYER_GZIP, "application/vnd.oci.image.layer.v1.tar"}
    assert found.config.diff_ids == (Digest.of(tar({"etc/base": b"amd64"})),)
    assert DOCKER_LAYER_GZIP not in str(found.layers)


@pytest.mark.parametrize(
    "name", ["oci-archive:/nowhere.tar", "127.0.0.1:9/lab/base:v1", "docker-archive:/nowhere", "oci:/nowhere"]
)
def test_a_base_that_is_not_available_is_named(find: Find, name: str) -> None:
    """The hint says what else can be a base."""
    with pytest.raises(BaseUnavailable) as raised:
        find(name)
    assert name.partition(":")[2].rpartition("/")[2] in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("label", ["org.jupyter.condabuild.base.layers", "org.jupyter.condabuild.engine"])
def test_an_image_with_an_environment_is_no_base(find: Find, tmp_path: Path, label: str) -> None:
    """Two environments would be mixed, whichever engine made the image. The hint names the image's base."""
    labels = {label: "1", "org.opencontainers.image.base.name": "debian:bookworm-slim"}
    made = image([tar({"opt/env/conda-meta/history": b""})], Labels=labels)
    archive.write(made, "lab.org/env:1", tmp_path / "env.tar")
    with pytest.raises(BaseUnavailable, match="already contains an environment") as raised:
        find(f"oci-archive:{tmp_path / 'env.tar'}")
    assert "debian:bookworm-slim" in (raised.value.hint or "")


def test_the_message_of_a_registry_is_quoted(fake_registry: FakeRegistry, find: Find) -> None:
    """The error contains the registry's own message."""
    fake_registry.guard = lambda seen: spec_error(403, "DENIED", "not for you")
    with pytest.raises(BaseUnavailable, match="is not available"):
        find(f"{fake_registry.host}/lab/base:v1")
