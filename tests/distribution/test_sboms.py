"""SBOMs of pushed images: each image gets them once, and a failure does not stop the push."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.oci.image import LAYER_PACKAGES, Manifest
from jupyter_condabuild.oci.referrers import EMPTY_CONFIG, content, referrers
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.sbom.documents import CYCLONEDX, MEDIA_TYPES, SPDX
from tests.parts.builds import Package, Workshop, install, small_channel
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.registry.faults import FakeRegistry, Reply, Seen, spec_error
from tests.parts.registry.pushing import connect

PACKAGES: list[Package] = [
    (Metadata("a", "1.0", noarch="generic", depends=("b",), license="MIT"), [File("share/a", b"a" * 9000)]),
    (
        Metadata("b", "1.0", noarch="generic", license="Ours", licenses={"LICENSE": b"Do what you want.\n"}),
        [File("share/b", b"b")],
    ),
]


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    return small_channel(tmp_path_factory.mktemp("sboms") / "channel", PACKAGES)


@pytest.fixture(scope="module")
def prefix(channel: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("installed") / "env", channel, "a")


def sboms(repository: Repository, tag: str) -> tuple[Manifest, dict[str, bytes]]:
    """Returns the manifest of a tag, and the SBOMs of its image by media type, each type once."""
    manifest = repository.manifest(tag)
    assert isinstance(manifest, Manifest)
    found = [one for one in referrers(repository, manifest.descriptor.digest) if one.artifact_type in MEDIA_TYPES]
    assert len({one.artifact_type for one in found}) == len(found)
    return manifest, {one.artifact_type: content(repository, one, 1 << 20) for one in found}


@pytest.mark.parametrize("kind", ["real registry", "referrers API", "no referrers API"])
def test_each_pushed_image_has_both_sboms(
    workshop: Workshop, prefix: Path, registry: str, fake_registry: FakeRegistry, kind: str
) -> None:
    """The SBOMs contain its packages, with licence and layer."""
    fake_registry.has_referrers = kind == "referrers API"
    host = registry if kind == "real registry" else fake_registry.host
    name = f"sboms/{uuid.uuid4().hex}"
    workshop.build(prefix, reference=f"{host}/{name}:v1", push=True)
    assert not [code for code in workshop.warnings if "attached" in code]
    with connect(host) as connected:
        manifest, found = sboms(connected.repository(name), "v1")
    assert set(found) == set(MEDIA_TYPES)
    components: dict[str, Any] = {one["name"]: one for one in json.loads(found[CYCLONEDX])["components"]}
    assert set(components) == {"a", "b"}
    assert components["a"]["licenses"] == [{"license": {"id": "MIT"}}]
    [layer] = [layer for layer in manifest.layers if "b-1.0-0" in layer.annotations.get(LAYER_PACKAGES, "").split()]
    assert {"name": "aquasecurity:trivy:LayerDigest", "value": str(layer.digest)} in components["b"]["properties"]
    assert b"Do what you want." in found[SPDX]
    assert str(prefix).encode() not in found[SPDX] + found[CYCLONEDX]


def test_the_same_image_always_has_the_same_sboms(
    workshop: Workshop, prefix: Path, fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    """The build starts from an environment with its package cache, or from a lock file with only archives."""
    other = Workshop(tmp_path / "other", workshop.base)
    lockfile = tmp_path / "conda-lock.yml"
    lockfile.write_text(dump(lock(snapshot(prefix))))
    workshop.build(prefix, reference=f"{fake_registry.host}/one/env:v1", push=True)
    other.build(lockfile, reference=f"{fake_registry.host}/other/env:v1", push=True)
    with connect(fake_registry.host) as connected:
        first, second = (sboms(connected.repository(f"{name}/env"), "v1") for name in ("one", "other"))
    assert first[1].keys() == set(MEDIA_TYPES)
    assert first == second


def test_an_image_with_sboms_gets_no_others(workshop: Workshop, prefix: Path, fake_registry: FakeRegistry) -> None:
    """Another tag of the image gets none. A build without changes sends no request for them."""
    name = f"{fake_registry.host}/team/env"
    workshop.build(prefix, reference=f"{name}:v1", push=True)
    tags = set(fake_registry.manifests["team/env"])
    fake_registry.seen.clear()
    workshop.build(prefix, reference=f"{name}:v2", push=True)
    assert set(fake_registry.manifests["team/env"]) - tags == {"v2"}
    fake_registry.seen.clear()
    workshop.build(prefix, reference=f"{name}:v2", push=True)
    assert fake_registry.times("GET", "referrers") == 0


def test_again_adds_sboms_to_an_image_of_an_earlier_version(
    workshop: Workshop, prefix: Path, fake_registry: FakeRegistry
) -> None:
    """``--again`` also repairs an image that has lost a layer."""
    name = f"{fake_registry.host}/team/env"
    workshop.build(prefix, reference=f"{name}:v1", push=True)
    for target in [target for target in fake_registry.manifests["team/env"] if target.startswith("sha256-")]:
        del fake_registry.manifests["team/env"][target]
    workshop.build(prefix, reference=f"{name}:v1", push=True, again=True)
    with connect(fake_registry.host) as connected:
        assert sboms(connected.repository("team/env"), "v1")[1].keys() == set(MEDIA_TYPES)


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "manifests/sha256"), ("GET", "manifests/sha256-"), ("POST", "uploads")]
)
def test_a_registry_that_refuses_an_sbom_gives_a_warning(
    workshop: Workshop, prefix: Path, fake_registry: FakeRegistry, method: str, path: str
) -> None:
    """The image is pushed."""
    workshop.build(prefix, reference=f"{fake_registry.host}/team/env:v1", push=True)
    for digest in [target for target in fake_registry.manifests["team/env"] if target.startswith("sha256")]:
        del fake_registry.manifests["team/env"][digest]
    for digest, data in list(fake_registry.blobs["team/env"].items()):
        if b"CycloneDX" in data or b"SPDX-2.3" in data:
            del fake_registry.blobs["team/env"][digest]
    fake_registry.on(method, path, *[spec_error(403, "DENIED", "no artifacts here")] * 20)
    workshop.build(prefix, reference=f"{fake_registry.host}/team/env:v2", push=True)
    assert "no artifacts here" in workshop.warnings["sbom-not-attached"]
    assert "v2" in fake_registry.manifests["team/env"]


@pytest.mark.parametrize("has_api", [True, False])
def test_a_small_change_costs_few_requests(
    workshop: Workshop, prefix: Path, fake_registry: FakeRegistry, tmp_path: Path, has_api: bool
) -> None:
    """A new blob costs two requests: the registry is not asked for it. What the repository lacks is remembered."""
    fake_registry.has_referrers = has_api
    notes = tmp_path / "notes"
    notes.write_text("one")
    name = f"{fake_registry.host}/team/env:v1"
    workshop.build(prefix, reference=name, push=True, include=str(notes))
    assert fake_registry.times("HEAD", "blobs/") == 1, "only the empty configuration is asked for"
    notes.write_text("two")
    fake_registry.seen.clear()
    workshop.build(prefix, reference=name, push=True, include=str(notes))
    layer_and_configuration, statements, tag, listed = 2 * 2, 3 * (2 + 1), 3, 1 if has_api else 1 + 3
    assert len(fake_registry.seen) == layer_and_configuration + statements + tag + listed
    assert fake_registry.times("HEAD", "blobs/") == 0
    assert fake_registry.times("GET", "referrers/") == has_api
    with connect(fake_registry.host) as connected:
        assert sboms(connected.repository("team/env"), "v1")[1].keys() == set(MEDIA_TYPES)


def test_an_empty_configuration_that_the_registry_lost_is_sent_again(
    workshop: Workshop, prefix: Path, fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    """The registry refuses the artifacts, although the memory says that it has their configuration."""
    name = f"{fake_registry.host}/team/env:v1"
    workshop.build(prefix, reference=name, push=True)
    empty = str(EMPTY_CONFIG.digest)
    del fake_registry.blobs["team/env"][empty]
    notes = tmp_path / "notes"
    notes.write_text("one")

    def incomplete(seen: Seen) -> Reply | None:
        is_artifact = seen.method == "PUT" and b'"subject"' in seen.body
        lost = is_artifact and empty not in fake_registry.blobs["team/env"]
        return spec_error(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry") if lost else None

    fake_registry.guard = incomplete
    workshop.build(prefix, reference=name, push=True, include=str(notes))
    assert not [code for code in workshop.warnings if "attached" in code]
    with connect(fake_registry.host) as connected:
        assert sboms(connected.repository("team/env"), "v1")[1].keys() == set(MEDIA_TYPES)
    assert empty in fake_registry.blobs["team/env"]
