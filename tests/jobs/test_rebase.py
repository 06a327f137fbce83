"""A rebase gives the same image as a build on the newer base, and makes and moves none of our layers."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.errors import BadImage, BaseUnavailable, RegistryNotFound, UsageError
from jupyter_condabuild.events import Event, Finished, Layer, Log
from jupyter_condabuild.jobs import rebase
from jupyter_condabuild.oci.image import Manifest
from jupyter_condabuild.oci.referrers import content, referrers
from jupyter_condabuild.requests.others import RebaseRequest
from jupyter_condabuild.sbom.documents import MEDIA_TYPES
from jupyter_condabuild.trust import dsse
from jupyter_condabuild.trust.receipt import Receipt
from tests.parts.builds import Package, Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.debian.mirror import SmallMirror, deb, members
from tests.parts.jobs import request, verified
from tests.parts.registry.faults import Relay
from tests.parts.registry.pushing import change_image, connect, push_image

PACKAGES: list[Package] = [
    (Metadata("a", "1.0", noarch="generic", depends=("b",)), [File("share/same", b"a"), File("share/a", b"a" * 9000)]),
    (Metadata("b", "1.0", noarch="generic"), [File("share/same", b"b")]),
]


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A prefix with a path of two packages, a changed file, and variables."""
    made = install(tmp_path / "env", small_channel(tmp_path / "channel", PACKAGES), "a")
    (made / "share/mine").write_text("mine\n")
    (made / "conda-meta/state").write_text('{"version": 1, "env_vars": {"MODE": "test", "OTHER": "x"}}')
    return made


@pytest.fixture
def name(registry: str) -> str:
    """A repository for one test."""
    return f"{registry}/rebase/{uuid.uuid4().hex}"


@pytest.fixture
def relay(registry: str) -> Iterator[Relay]:
    with Relay(registry) as started:
        yield started


def manifest_of(reference: str) -> tuple[Manifest, dict[str, Any]]:
    """Returns the manifest and the configuration of an image in a registry."""
    host, _, rest = reference.partition("/")
    repository, _, tag = rest.partition(":")
    with connect(host) as registry:
        found = registry.repository(repository)
        manifest = found.manifest(tag)
        assert isinstance(manifest, Manifest)
        return manifest, json.loads(b"".join(found.read(manifest.config)))


def rebased(
    workshop: Workshop, reference: str, base: str, target: str = "", **given: Any
) -> tuple[Finished, list[Event]]:
    events: list[Event] = []
    asked = request(RebaseRequest, reference=reference, base=base, target=target, store_dir=workshop.store, **given)
    return rebase.run(asked, events.append), events


@pytest.mark.parametrize("variables", [False, True])
def test_the_result_is_the_image_built_on_the_new_base(
    workshop: Workshop, prefix: Path, name: str, newer_base: str, variables: bool
) -> None:
    """Manifest and configuration have the same bytes."""
    workshop.build(prefix, reference=f"{name}:old", push=True, variables=variables)
    finished, _ = rebased(workshop, f"{name}:old", newer_base, f"{name}:new")
    built = workshop.build(prefix, reference=f"{name}:built", push=True, base=newer_base, variables=variables)
    assert finished.digest == str(built.image.manifest.descriptor.digest)
    assert manifest_of(f"{name}:new") == manifest_of(f"{name}:built")


def test_packages_of_debian_are_added_to_the_new_base(
    workshop: Workshop, prefix: Path, name: str, small_mirror: SmallMirror
) -> None:
    """With the versions that the mirror has by then. The receipt and the SBOMs name them, with their hashes."""
    base, newer = "debian-packages:bookworm", deb("libgl1", members({"lib/libGL.so.1": b"newer"}))
    mirrors = {"debian_mirrors": [small_mirror.url]}
    small_mirror.add("libgl1", deb("libgl1", members({"lib/libGL.so.1": b"old"})))
    small_mirror.publish()
    workshop.build(prefix, reference=f"{name}/old:v1", push=True, base=base, apt=["libgl1"], **mirrors)
    small_mirror.add("libgl1", newer)
    small_mirror.publish()
    rebased(workshop, f"{name}/old:v1", base, f"{name}/new:v1", **mirrors)
    workshop.build(prefix, reference=f"{name}/built:v1", push=True, base=base, apt=["libgl1"], **mirrors)
    assert manifest_of(f"{name}/new:v1") == manifest_of(f"{name}/built:v1")
    assert manifest_of(f"{name}/new:v1")[0].layers[1] != manifest_of(f"{name}/old:v1")[0].layers[1]
    digest, sha256 = manifest_of(f"{name}/new:v1")[0].descriptor.digest, hashlib.sha256(newer).hexdigest()
    with connect(name.partition("/")[0]) as registry:
        for where in ("new", "built"):
            place = registry.repository(f"{name.partition('/')[2]}/{where}")
            texts = {one.artifact_type: content(place, one, 1 << 20) for one in referrers(place, digest)}
            receipt = Receipt.parse(dsse.Envelope.parse(texts.pop(dsse.MEDIA_TYPE)))
            assert receipt.packages[-1] == ("pkg:deb/debian/libgl1@1.0-1", sha256)
            for text in texts.values():
                assert b"pkg:deb/debian/libgl1@1.0-1" in text
                assert sha256.encode() in text


def test_its_sboms_are_the_same_as_after_a_build_on_the_new_base(
    workshop: Workshop, prefix: Path, name: str, newer_base: str
) -> None:
    """The data comes from the image's own SBOMs, so no package is needed."""
    workshop.build(prefix, reference=f"{name}:old", push=True)
    empty = Workshop(workshop.folder / "empty", workshop.base)
    rebased(empty, f"{name}:old", newer_base, f"{name}/rebased:v1")
    workshop.build(prefix, reference=f"{name}/built:v1", push=True, base=newer_base)
    with connect(name.partition("/")[0]) as registry:
        one, other = (registry.repository(f"{name.partition('/')[2]}/{where}") for where in ("rebased", "built"))
        digest = manifest_of(f"{name}/built:v1")[0].descriptor.digest
        found = [
            {referrer.artifact_type: content(place, referrer, 1 << 20) for referrer in referrers(place, digest)}
            for place in (one, other)
        ]
    for kind in MEDIA_TYPES:
        assert found[0][kind] == found[1][kind]


def test_none_of_our_layers_is_made_or_moved(
    workshop: Workshop, prefix: Path, name: str, newer_base: str, relay: Relay
) -> None:
    """The store of this machine can be empty. Only the base's layers and two small documents are sent."""
    built = workshop.build(prefix, reference=f"{name}:old", push=True)
    empty = Workshop(workshop.folder / "empty", workshop.base)
    through = name.replace(name.partition("/")[0], relay.host)
    finished, events = rebased(empty, f"{through}:old", newer_base, f"{through}:new")
    ours = {layer.descriptor.digest for layer in built.layers}
    new_base = sum(layer.size for layer in manifest_of(f"{name}:new")[0].layers if layer.digest not in ours)
    config = manifest_of(f"{name}:new")[0].config.size
    assert finished.bytes_pushed <= new_base + config
    assert relay.received < 40_000
    assert not [event for event in events if isinstance(event, Layer) and event.state == "built"]
    assert (finished.layers, finished.layers_reused) == (len(built.layers), len(built.layers))


def test_labels_environment_and_history_are_right(workshop: Workshop, prefix: Path, name: str, newer_base: str) -> None:
    """The values of the new base and ours are there. No value of the old base is left."""
    workshop.build(prefix, reference=f"{name}:old", push=True, variables=True)
    rebased(workshop, f"{name}:old", newer_base, f"{name}:new")
    manifest, config = manifest_of(f"{name}:new")
    _, old = manifest_of(f"{name}:old")
    env = dict(item.split("=", 1) for item in config["config"]["Env"])
    assert (env["BASE"], env["MODE"], env["PATH"]) == ("newer", "test", "/opt/env/bin:/usr/local/bin")
    labels = config["config"]["Labels"]
    assert labels["of"] == "newer"
    assert labels["org.opencontainers.image.base.name"] == "newer.tar"
    assert (
        labels["org.opencontainers.image.base.digest"]
        != old["config"]["Labels"]["org.opencontainers.image.base.digest"]
    )
    assert labels["org.jupyter.condabuild.base.layers"] == "3"
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"]) == len(manifest.layers)
    assert config["history"][3:] == old["history"][2:]
    assert config["org.jupyter.condabuild.lockfile"] == old["org.jupyter.condabuild.lockfile"]


def test_a_rebase_back_to_the_old_base_gives_the_old_image(
    workshop: Workshop, prefix: Path, name: str, newer_base: str
) -> None:
    """Nothing is lost in a rebase."""
    built = workshop.build(prefix, reference=f"{name}:old", push=True)
    rebased(workshop, f"{name}:old", newer_base, f"{name}:new")
    finished, _ = rebased(workshop, f"{name}:new", workshop.base, f"{name}:back")
    assert finished.digest == str(built.image.manifest.descriptor.digest)


def test_without_a_target_the_old_image_is_replaced(
    workshop: Workshop, prefix: Path, name: str, newer_base: str
) -> None:
    """Its layers are known at the destination. The next build starts from it."""
    workshop.build(prefix, reference=f"{name}:v1", push=True)
    finished, _ = rebased(workshop, f"{name}:v1", newer_base)
    assert str(manifest_of(f"{name}:v1")[0].descriptor.digest) == finished.digest
    again = workshop.build(prefix, reference=f"{name}:v1", push=True, base=newer_base)
    assert (again.event.digest, again.event.bytes_pushed) == (finished.digest, 0)


def test_layers_are_mounted_into_another_repository(
    workshop: Workshop, prefix: Path, name: str, newer_base: str
) -> None:
    """The other repository is in the same registry. So is the layer that the new base and the old base share."""
    workshop.build(prefix, reference=f"{name}:v1", push=True)
    finished, events = rebased(workshop, f"{name}:v1", newer_base, f"{name}/copy:v1")
    mounted = [event for event in events if isinstance(event, Layer) and event.state == "mounted"]
    assert len(mounted) == finished.layers + 1


def test_the_rebased_image_runs(
    workshop: Workshop, rattler_prefix: Path, name: str, newer_base: str, base_reference: str, docker_client: Any
) -> None:
    """Its environment works."""
    workshop.build(rattler_prefix, reference=f"{name}:v1", push=True)
    rebased(workshop, f"{name}:v1", base_reference)
    with_tag = f"{name}:v1"
    docker_client.images.pull(name, tag="v1")
    try:
        command = ["python", "-c", "import requests, sys; print(sys.prefix)"]
        out = docker_client.containers.run(with_tag, command, network_mode="none", remove=True)
    finally:
        docker_client.images.remove(with_tag, force=True)
    assert out == b"/opt/env\n"


def test_an_image_of_another_tool_is_refused(workshop: Workshop, name: str, newer_base: str) -> None:
    """The number of its base's layers is unknown."""
    with connect(name.partition("/")[0]) as registry:
        push_image(registry.repository(name.partition("/")[2]), "v1", layers=(b"x",))
    with pytest.raises(BadImage, match="was not made by"):
        rebased(workshop, f"{name}:v1", newer_base)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "an additional line of history": lambda config: config["history"].append(config["history"][-1]),
    "a missing line of history": lambda config: config["history"].pop(),
    "an additional diff_id": lambda config: config["rootfs"]["diff_ids"].append(config["rootfs"]["diff_ids"][-1]),
    "a missing diff_id": lambda config: config["rootfs"]["diff_ids"].pop(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_image_with_a_wrong_number_of_layers_is_refused(
    workshop: Workshop, prefix: Path, name: str, newer_base: str, change: str
) -> None:
    """Each command that reads the layers of an image checks this. A registry can give any document under a name."""
    workshop.build(prefix, reference=f"{name}:v1", push=True)
    change_image(f"{name}:v1", CHANGES[change])
    with pytest.raises(BadImage, match="different numbers of layers"):
        rebased(workshop, f"{name}:v1", newer_base, f"{name}:v2")
    with pytest.raises(BadImage, match="different numbers of layers"):
        verified(f"{name}:v1", workshop.store)
    (prefix / "share/mine").write_text("changed\n")
    workshop.build(prefix, reference=f"{name}:v1", push=True, stack=True)
    logged = [event.text for event in workshop.events if isinstance(event, Log)]
    assert any("Not stacked" in text and "different numbers of layers" in text for text in logged)
    assert not verified(f"{name}:v1", workshop.store).differs


def test_a_base_that_is_an_environment_is_refused(workshop: Workshop, prefix: Path, name: str) -> None:
    """Two environments would be in the same folder. This is so for a build and for a rebase."""
    workshop.build(prefix, reference=f"{name}:v1", push=True)
    with pytest.raises(BaseUnavailable, match="already contains an environment"):
        rebased(workshop, f"{name}:v1", f"{name}:v1", f"{name}:v2")
    with pytest.raises(BaseUnavailable, match="already contains an environment"):
        workshop.build(prefix, reference=f"{name}:v2", push=True, base=f"{name}:v1")
    with pytest.raises(RegistryNotFound):
        manifest_of(f"{name}:v2")


def test_a_digest_cannot_be_the_target(workshop: Workshop, prefix: Path, name: str, newer_base: str) -> None:
    """The result would be pushed under a tag that the user has not named."""
    built = workshop.build(prefix, reference=f"{name}:v1", push=True)
    with pytest.raises(UsageError, match="has no tag"):
        rebased(workshop, f"{name}@{built.event.digest}", newer_base)
    finished, _ = rebased(workshop, f"{name}@{built.event.digest}", newer_base, f"{name}:v2")
    assert str(manifest_of(f"{name}:v2")[0].descriptor.digest) == finished.digest
