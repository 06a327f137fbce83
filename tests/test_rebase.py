"""rebase: a new base under an image, and nothing else moves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from jupyter_condabuild.build.rebase import RebaseRequest, rebase
from jupyter_condabuild.errors import BadImage, BaseUnavailable
from jupyter_condabuild.events import Event, Finished, Layer
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.image import ImageConfig, Manifest, Reference
from jupyter_condabuild.oci.registry import open_registry
from tests.builds import Workshop
from tests.small_image import image, programs, tar


@dataclass(frozen=True)
class Pushed:
    """An image as a registry has it."""

    manifest: Manifest
    config: ImageConfig

    @classmethod
    def read(cls, reference: str) -> Pushed:
        name = Reference.parse(reference)
        with open_registry(name) as opened:
            repository = opened.repository(name.repository)
            manifest = repository.manifest(name.target)
            assert isinstance(manifest, Manifest)
            return cls(manifest, ImageConfig.parse(b"".join(repository.read(manifest.config))))


@pytest.fixture
def newer_base(tmp_path: Path) -> str:
    """A base with one layer more, another variable and another label."""
    path = tmp_path / "newer.tar"
    layers = [programs(), tar({"etc/base": b"2\n"}), tar({"etc/more": b"more\n"})]
    archive.write(image(layers, Env=["PATH=/usr/bin", "BASE=new"], Labels={"of": "newer"}, Cmd=["/x"]), "", path)
    return f"oci-archive:{path}"


def request(workshop: Workshop, reference: str, base: str, target: str = "") -> RebaseRequest:
    """A rebase with the workshop's store."""
    return RebaseRequest(reference, base, target, str(workshop.store))


def test_a_rebased_image_is_the_one_that_a_build_on_the_new_base_makes(
    workshop: Workshop, registry: str, rattler_prefix: Path, newer_base: str
) -> None:
    """Same digest; no layer of ours is built or sent, and of the base only what the registry lacks."""
    name = f"{registry}/rebase/env"
    workshop.build(rattler_prefix, reference=f"{name}:old", push=True)
    old = Pushed.read(f"{name}:old")
    events: list[Event] = []
    result = rebase(request(workshop, f"{name}:old", newer_base, f"{name}:new"), events.append)
    new = Pushed.read(f"{name}:new")
    ours = old.manifest.layers[2:]
    assert new.manifest.layers[3:] == ours
    sent = sum(event.size for event in events if isinstance(event, Layer) and event.state == "pushed")
    assert sent == result.bytes_pushed
    assert sent < 100_000 + new.manifest.config.size
    assert isinstance(events[-1], Finished)
    assert str(new.manifest.descriptor.digest) == result.digest
    workshop.build(rattler_prefix, reference=f"{name}:direct", push=True, base=newer_base)
    direct = Pushed.read(f"{name}:direct")
    assert new.config == direct.config
    assert [layer.digest for layer in new.manifest.layers] == [layer.digest for layer in direct.manifest.layers]


def test_what_the_base_brings_is_the_new_ones(
    workshop: Workshop, registry: str, rattler_prefix: Path, newer_base: str
) -> None:
    """Variables and labels of the old base go with it, ours stay; the tag moves when no other is named."""
    name = f"{registry}/rebase/labels:1"
    workshop.build(rattler_prefix, reference=name, push=True)
    rebase(request(workshop, name, newer_base), lambda event: None)
    runtime = Pushed.read(name).config.runtime
    assert "BASE=new" in runtime["Env"]
    assert "CONDA_PREFIX=/opt/env" in runtime["Env"]
    assert runtime["Labels"]["of"] == "newer"
    assert runtime["Labels"]["org.opencontainers.image.base.name"] == "newer.tar"
    assert runtime["Entrypoint"] == ["/opt/condabuild/entrypoint"]
    history = Pushed.read(name).config.value["history"]
    assert sum(not entry.get("empty_layer") for entry in history) == len(Pushed.read(name).config.diff_ids)


def test_rebase_there_and_back_is_where_it_was(
    workshop: Workshop, registry: str, rattler_prefix: Path, newer_base: str
) -> None:
    """Nothing is lost on the way: back on the first base the digest is the first one."""
    name = f"{registry}/rebase/back"
    first = workshop.build(rattler_prefix, reference=f"{name}:1", push=True).event.digest
    rebase(request(workshop, f"{name}:1", newer_base, f"{name}:2"), lambda event: None)
    back = rebase(request(workshop, f"{name}:2", workshop.base, f"{name}:3"), lambda event: None)
    assert Pushed.read(f"{name}:3").config == Pushed.read(f"{name}:1").config
    assert back.digest == first


def test_an_image_that_is_not_ours_is_refused(workshop: Workshop, registry: str, base_reference: str) -> None:
    """Nobody knows which of its layers are the base's."""
    with pytest.raises(BadImage, match="not made by"):
        rebase(request(workshop, base_reference, workshop.base, f"{registry}/rebase/x:1"), lambda event: None)


def test_a_base_for_another_processor_is_refused(
    workshop: Workshop, registry: str, rattler_prefix: Path, tmp_path: Path
) -> None:
    """The image stays as it was."""
    name = f"{registry}/rebase/processor:1"
    digest = workshop.build(rattler_prefix, reference=name, push=True).event.digest
    with pytest.raises(BaseUnavailable):
        rebase(request(workshop, name, f"oci-archive:{tmp_path / 'no-such.tar'}"), lambda event: None)
    assert str(Pushed.read(name).manifest.descriptor.digest) == digest
