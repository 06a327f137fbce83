"""Stacked updates: the container is the same as the canonical one, and only changes are sent.

In doubt, nothing is stacked.
"""

from __future__ import annotations

import shutil
import tarfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.engines.layers import stacking
from jupyter_condabuild.engines.result import BuildResult
from jupyter_condabuild.errors import NotVerified
from jupyter_condabuild.image.layers import HIDDEN
from jupyter_condabuild.image.opener import open_image
from jupyter_condabuild.jobs import plan as planning
from jupyter_condabuild.jobs import rebase
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.image import ImageConfig
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.requests.others import RebaseRequest
from tests.engines.stacking_lab import FIRST, PACKAGES, SECOND, THIRD, Lab
from tests.parts.builds import Workshop, small_channel
from tests.parts.channel.channel import Channel
from tests.parts.image_tree import SavedImage
from tests.parts.jobs import plan_request, request, silent, verified
from tests.parts.registry.pushing import change_image, connect, push_image
from tests.parts.small_image import image, programs, tar


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    return small_channel(tmp_path_factory.mktemp("channel"), PACKAGES)


@pytest.fixture
def lab(workshop: Workshop, channel: Channel, registry: str) -> Lab:
    return Lab(workshop, channel, f"{registry}/stacked/{uuid.uuid4().hex}:latest")


def _digests(result: BuildResult) -> list[str]:
    return [str(layer.descriptor.digest) for layer in result.layers]


def test_a_container_is_the_same_as_a_canonical_one(lab: Lab) -> None:
    """Each package, file and folder is the same.

    The lower layers stay, and the upper layers are the canonical blobs.
    """
    before, _ = lab.update(*FIRST)
    after, stacked = lab.update(*SECOND)
    canonical = lab.canonical(*SECOND)
    assert stacked.tree() == canonical.tree()
    assert stacked.tree()["share/kind/of"]
    assert _digests(after)[: len(before.layers)] == _digests(before)
    new = set(_digests(after)) - set(_digests(before))
    assert len(new) == 3  # lib, coming, and the whiteouts
    assert len(new & set(canonical.layers)) == 2


def test_only_changes_are_sent(lab: Lab) -> None:
    """The image has a label with the number of its stale bytes."""
    before, _ = lab.update(*FIRST)
    after, stacked = lab.update(*SECOND)
    whole = sum(layer.descriptor.size for layer in after.layers)
    assert after.event.bytes_pushed < 20_000 < whole
    gone = {"lib-1-0", "going-1-0"}
    sizes = {layer.title: layer.descriptor.size for layer in before.layers}
    stale = after.event.stale
    assert 0 < stale - sum(sizes[name] for name in gone) < 1000  # the whiteouts
    assert stacked.config["config"]["Labels"]["org.jupyter.condabuild.stale"] == str(stale)
    assert "3 new layers" in lab.said
    assert "stale" in lab.said


def test_a_stacked_image_can_be_updated(lab: Lab) -> None:
    """The third image shows no file of the first two."""
    lab.update(*FIRST)
    lab.update(*SECOND)
    after, stacked = lab.update(*THIRD)
    assert stacked.tree() == lab.canonical(*THIRD).tree()
    assert after.event.stale
    again, same = lab.update(*THIRD)
    assert (same.digest, again.event.bytes_pushed) == (stacked.digest, 0)


def test_another_machine_needs_only_the_registry(lab: Lab) -> None:
    """Layers of the current image are read from the registry."""
    lab.update(*FIRST)
    shutil.rmtree(lab.workshop.store)
    _, stacked = lab.update(*SECOND)
    assert stacked.tree() == lab.canonical(*SECOND).tree()
    assert stacked.manifest["annotations"][HIDDEN]


def test_a_lock_file_can_be_stacked(lab: Lab, tmp_path: Path) -> None:
    """The paths of packages are read from package caches or the channel."""
    lab.update(*FIRST)
    lockfile = tmp_path / "conda-lock.yml"
    lockfile.write_text(dump(lock(snapshot(lab.prefix(*SECOND)))))
    _, stacked = lab.update(prefix=lockfile)
    assert stacked.manifest["annotations"][HIDDEN]
    assert stacked.tree() == lab.canonical(prefix=lockfile).tree()


def test_a_build_without_changes_is_not_stacked(lab: Lab) -> None:
    """The image does not change."""
    _, first = lab.update(*FIRST)
    again, second = lab.update(*FIRST)
    assert (second.digest, again.event.bytes_pushed, again.event.stale) == (first.digest, 0, 0)
    assert HIDDEN not in second.manifest.get("annotations", {})


def test_files_without_a_package_are_updated(lab: Lab, tmp_path: Path) -> None:
    """Untracked files of the environment and the user's folder are updated. The user's folders stay the user's."""
    prefix, work = lab.prefix(*FIRST), tmp_path / "work"
    for name in ("share/mine/a", "share/mine/b"):
        (prefix / name).parent.mkdir(exist_ok=True)
        (prefix / name).write_text(name)
    for name in ("keep/a", "keep/b", "drop/c"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(name)
    lab.update(prefix=prefix, include=str(work))
    (prefix / "share/mine/a").unlink()
    (work / "keep/a").unlink()
    shutil.rmtree(work / "drop")
    _, stacked = lab.update(prefix=prefix, include=str(work))
    canonical = lab.canonical(prefix=prefix, include=str(work))
    assert stacked.manifest["annotations"][HIDDEN]
    assert stacked.tree("opt") == canonical.tree("opt")
    assert stacked.tree("work") == canonical.tree("work")
    owners = _owners(stacked, "work")
    assert {path: owners[path] for path in _owners(canonical, "work")} == _owners(canonical, "work")
    _, without = lab.update(prefix=prefix)
    assert without.tree("work") == {}
    assert _owners(without, "work")["work"] == _owners(lab.canonical(prefix=prefix), "work")["work"]


@pytest.mark.parametrize("after", [FIRST, SECOND], ids=["the file is restored", "the file is deleted again"])
def test_deleted_files_are_the_same_as_in_the_canonical_image(lab: Lab, after: tuple[str, ...]) -> None:
    """The overlay deletes files of packages in the layers below, but not in the layers above."""
    before, prefix = lab.prefix(*FIRST), lab.prefix(*after)
    for folder in (before, prefix) if after == SECOND else (before,):
        (folder / "share/lib/same").unlink()
    lab.update(prefix=before)
    _, made = lab.update(prefix=prefix)
    assert ("share/lib/same" in made.tree()) == (after == FIRST)
    assert made.tree() == lab.canonical(prefix=prefix).tree()


def _owners(saved: SavedImage, below: str) -> dict[str, tuple[int, tuple[int, int]]]:
    headers = [header for digest in saved.layers for header in saved.headers(digest) if ".wh." not in header.path]
    return {header.path: (header.mode, header.owner) for header in headers if header.path.startswith(below)}


def _exported(client: docker.DockerClient, reference: str, folder: Path) -> dict[str, tuple[Any, ...]]:
    """Returns the contents of each path in a container of an image, with the modes of folders."""
    client.images.pull(reference)
    container = client.containers.create(reference)
    path = folder / uuid.uuid4().hex
    try:
        with path.open("wb") as file:
            file.writelines(container.export())
    finally:
        container.remove()
        client.images.remove(reference)
    with tarfile.open(path) as members:
        return {
            member.name: (
                member.type,
                member.mode,
                (member.uid, member.gid),
                member.linkname,
                file.read() if (file := members.extractfile(member) if member.isreg() else None) else b"",
            )
            for member in members
        }


def test_the_engine_sees_the_same_files(lab: Lab, docker_client: docker.DockerClient, tmp_path: Path) -> None:
    """After two updates, a container of each image shows the same files."""
    lab.update(*FIRST)
    lab.update(*SECOND)
    lab.update(*THIRD)
    canonical = f"{lab.tag.rpartition(':')[0]}:canonical"
    lab.workshop.build(lab.prefix(*THIRD), reference=canonical, push=True)
    seen = _exported(docker_client, lab.tag, tmp_path)
    assert seen["opt/env/etc/common/lib"][-1] == b"3"
    assert seen == _exported(docker_client, canonical, tmp_path)


CASES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "too many stale bytes": (FIRST, ("big=2", "lib=1", "other", "going"), "would be stale"),
    "no layer stays": (("other",), ("coming",), ""),
    "a new package has a path of a package that stays": (
        ("big=1", "clash=1", "lib=1"),
        ("big=1", "clash=1", "lib=2"),
        "several",
    ),
    "a removed package hid a path of another package": (("big=1", "clash=1", "lib=1"), ("big=1", "lib=1"), "several"),
    "an added package has a path of another package": (("big=1", "lib=1"), ("big=1", "lib=1", "clash=1"), ""),
}


@pytest.mark.parametrize("case", CASES)
def test_in_doubt_the_canonical_image_is_built(lab: Lab, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or an image with the same files is built. Each package has its own layer here."""
    monkeypatch.setattr("jupyter_condabuild.planning.layer_plan.THRESHOLDS", (0,))
    before, after, why = CASES[case]
    lab.update(*before)
    result, made = lab.update(*after)
    canonical = lab.canonical(*after)
    assert made.tree() == canonical.tree()
    if why:
        assert made.digest == canonical.digest
        assert "canonical image is built" in lab.said
        assert why in lab.said
        assert result.event.stale == 0


def test_an_image_with_a_restored_layer_is_not_stacked(lab: Lab) -> None:
    """The result has the digest of the first image."""
    _, first = lab.update(*FIRST)
    lab.update(*SECOND)
    _, again = lab.update(*FIRST)
    assert again.digest == first.digest
    assert "earlier update replaced" in lab.said


def test_another_base_is_not_stacked(lab: Lab, tmp_path: Path) -> None:
    """Its layers are below all other layers."""
    lab.update(*FIRST)
    base = tmp_path / "other-base.tar"
    archive.write(image([programs(), tar({"etc/base": b"2\n"})]), "", base)
    _, made = lab.update(*SECOND, base=f"oci-archive:{base}")
    assert made.digest == lab.canonical(*SECOND, base=f"oci-archive:{base}").digest
    assert "another base" in lab.said


def test_an_image_with_too_many_layers_is_not_stacked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The canonical image is built instead."""
    before, _ = lab.update(*FIRST)
    base_layers = len(before.image.manifest.layers) - len(before.layers)
    monkeypatch.setattr(stacking, "MOST_LAYERS", base_layers + len(before.layers) + 2)
    _, made = lab.update(*SECOND)
    assert made.digest == lab.canonical(*SECOND).digest
    assert "layers" in lab.said


def test_an_image_of_another_tool_is_replaced(lab: Lab) -> None:
    """Any image that the tag has is replaced."""
    host, _, name = lab.tag.partition("/")
    with connect(host) as connected:
        push_image(connected.repository(name.rpartition(":")[0]), "latest", layers=(b"x",))
    _, made = lab.update(*FIRST)
    assert made.digest == lab.canonical(*FIRST).digest


def test_the_plan_says_whether_the_image_is_stacked(lab: Lab) -> None:
    """The plan contains this before the build."""
    lab.update(*FIRST)

    def plan(*specs: str) -> str:
        asked = {"store_dir": lab.workshop.store, "base": lab.workshop.base, "reference": lab.tag}
        found = planning.run(plan_request(prefix=lab.prefix(*specs), stack=True, **asked), silent)
        assert isinstance(found, planning.LayersPreview)
        assert found.stacking in found.text()
        assert found.summary()["stack"] == found.stacking
        return found.stacking

    assert plan(*SECOND).startswith("Stacked on the current image: 2 new package layers")
    assert plan("big=2", "lib=1").startswith("Not stacked on the current image: ")


def test_a_stacked_image_can_be_rebased(lab: Lab, tmp_path: Path, job: JobContext) -> None:
    """The rebased image has the label with the stale bytes, and can be updated again."""
    lab.update(*FIRST)
    before, _ = lab.update(*SECOND)
    base = tmp_path / "other-base.tar"
    archive.write(image([programs(), tar({"etc/base": b"2\n"})]), "", base)
    newer = request(RebaseRequest, reference=lab.tag, base=f"oci-archive:{base}", store_dir=lab.workshop.store)
    rebase.run(newer, silent)
    rebased = ImageConfig.parse(open_image(ImageLocation.parse(lab.tag), job).config)
    assert rebased.runtime["Labels"]["org.jupyter.condabuild.stale"] == str(before.event.stale)
    _, made = lab.update(*THIRD, base=f"oci-archive:{base}")
    assert len(made.manifest["annotations"][HIDDEN].split()) >= 4
    assert made.tree() == lab.canonical(*THIRD).tree()


def test_a_stacked_image_is_verified(lab: Lab, tmp_path: Path) -> None:
    """Its layers are compared with their packages, and the whiteouts must hide all stale files."""
    lab.update(*FIRST)
    lab.update(*SECOND)
    found = verified(lab.tag, tmp_path / "verifying")
    assert {"lib-2-0", "big-1-0", "other-1-0", "coming-1-0"} <= set(found.proved)
    assert not found.differs


def test_a_stacked_image_without_its_whiteouts_is_not_verified(lab: Lab, tmp_path: Path) -> None:
    """A container would show a file of an old version."""
    lab.update(*FIRST)
    after, _ = lab.update(*SECOND)
    manifest = after.image.manifest
    [whiteouts] = [layer for layer in after.layers if layer.title == "whiteouts of an update"]
    number = [layer.digest for layer in manifest.layers].index(whiteouts.descriptor.digest)

    def remove(value: dict[str, Any]) -> None:
        del value["rootfs"]["diff_ids"][number]
        value["history"] = [entry for entry in value["history"] if "whiteouts" not in entry["created_by"]]

    change_image(lab.tag, remove, [*manifest.layers[:number], *manifest.layers[number + 1 :]])
    with pytest.raises(NotVerified, match="share/lib/old/deep/x"):
        verified(lab.tag, tmp_path / "verifying")


def test_an_update_of_an_engine_goes_on_its_image(lab: Lab, docker_client: docker.DockerClient) -> None:
    """With --load alone, the engine gets the new layers above those that it has; a container has the same files."""
    name = f"localhost/stacked/{uuid.uuid4().hex}:v1"
    asked: dict[str, Any] = {"reference": name, "push": False, "load": True}
    _, first = lab.update(*FIRST, **asked)
    assert "this machine has not loaded an image under this name" in lab.said
    _, second = lab.update(*SECOND, **asked)
    assert "Stacked on the current image: 3 new layers" in lab.said
    before, after = (saved.config["rootfs"]["diff_ids"] for saved in (first, second))
    assert after[: len(before)] == before
    assert docker_client.images.get(name).attrs["RootFS"]["Layers"] == after
    assert second.tree() == lab.canonical(*SECOND).tree()
    docker_client.images.get(first.manifest["config"]["digest"]).tag(name)
    _, third = lab.update(*THIRD, **asked)
    assert "the engine has another image under this name" in lab.said
    for saved in (first, second, third):
        docker_client.images.remove(saved.manifest["config"]["digest"], force=True)
