"""One name has an image for each platform. Every machine that pulls the name gets its own image."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.display.tally import Tally
from jupyter_condabuild.errors import BaseUnavailable, EnvironmentChanged, NotCompatible, UsageError
from jupyter_condabuild.events import Finished, Log, Progress
from jupyter_condabuild.image.opener import members
from jupyter_condabuild.jobs import plan, snapshot
from jupyter_condabuild.oci.archive import Archive
from jupyter_condabuild.oci.image import LAYER_PACKAGES, Digest, Image, Manifest
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.referrers import content, referrers
from jupyter_condabuild.text import size_text
from jupyter_condabuild.trust.dsse import MEDIA_TYPE, Envelope
from jupyter_condabuild.trust.receipt import Receipt
from tests.parts import small_image
from tests.parts.builds import Workshop
from tests.parts.command_line import CommandLine
from tests.parts.jobs import plan_request, silent, verified
from tests.parts.registry.pushing import connect
from tests.parts.registry.reading import document
from tests.parts.small_image import two_platforms

BOTH = ("linux-64", "linux-aarch64")


@pytest.fixture
def base(tmp_path: Path) -> str:
    """A base for two processors."""
    return two_platforms(tmp_path / "two.tar")


@pytest.fixture
def workshop(tmp_path: Path, base: str) -> Workshop:
    """An empty store, and a base for two processors."""
    return Workshop(tmp_path, base)


@pytest.fixture
def name(registry: str) -> str:
    """A repository for one test."""
    return f"{registry}/index/{uuid.uuid4().hex}"


def config(reference: str, manifest: Manifest) -> dict[str, Any]:
    """Returns the configuration of an image in the registry."""
    host, _, rest = reference.partition("/")
    with connect(host) as registry:
        value: dict[str, Any] = json.loads(b"".join(registry.repository(rest.partition(":")[0]).read(manifest.config)))
        return value


def finished(workshop: Workshop) -> Finished:
    """Returns the last event of the last build."""
    [event] = [event for event in workshop.events if isinstance(event, Finished)]
    return event


def test_a_push_gives_one_name_an_image_for_each_platform(workshop: Workshop, mac: Path, name: str) -> None:
    """The index is as the image-spec has it. Each image is the one that a build for its platform alone makes."""
    workshop.build(mac, platforms=BOTH, reference=f"{name}:v1", push=True)
    index = document(f"{name}:v1")
    assert isinstance(index, Index)
    assert index.platforms == ("linux/amd64", "linux/arm64")
    done = finished(workshop)
    assert done.digest == str(index.descriptor.digest)
    assert done.images == {platform: str(entry.digest) for platform, entry in zip(BOTH, index.manifests, strict=True)}
    for platform, entry in zip(BOTH, index.manifests, strict=True):
        alone = workshop.build(mac, platforms=[platform], reference=f"{name}:{platform}", push=True)
        assert alone.event.digest == str(entry.digest)
        assert alone.event.images is None
        assert config(name, alone.image.manifest)["architecture"] == entry.platform["architecture"]
    value = json.loads(index.raw)
    assert value["annotations"]["org.opencontainers.image.base.name"] == "two.tar"
    assert all("platform" in one for one in value["manifests"])


def test_the_index_has_the_same_bytes_in_every_order(workshop: Workshop, mac: Path, name: str, tmp_path: Path) -> None:
    """The order of the platforms and the store of the machine do not matter."""
    workshop.build(mac, platforms=BOTH, reference=f"{name}:v1", push=True)
    first = finished(workshop)
    other = Workshop(tmp_path / "second", workshop.base)
    (tmp_path / "second").mkdir()
    other.build(mac, platforms=BOTH[::-1], reference=f"{name}/other:v1", push=True)
    assert finished(other).digest == first.digest
    workshop.build(mac, platforms=BOTH, archive=str(tmp_path / "index.tar"))
    assert finished(workshop).digest == first.digest


def test_the_images_share_the_layers_that_are_for_every_platform(workshop: Workshop, linux: Path, name: str) -> None:
    """The shared bytes are counted, sent once, and in the last lines of the display."""
    result = workshop.build(linux, platforms=BOTH, reference=f"{name}:v1", push=True)
    index = document(f"{name}:v1")
    assert isinstance(index, Index)
    images = [image for one in index.images if isinstance(image := document(f"{name}@{one.digest}"), Manifest)]
    blobs = [{layer.digest: layer.size for layer in image.layers} for image in images]
    shared = {digest: size for digest, size in blobs[0].items() if digest in blobs[1]}
    assert result.event.shared == sum(shared.values())
    dists = [layer.annotations.get(LAYER_PACKAGES, "") for layer in images[0].layers if layer.digest in shared]
    assert {"idna", "tqdm"} <= {dist.partition("-")[0] for text in dists for dist in text.split()}
    tally = [text for line in Tally().end(result.event, 80, "*") for text, _ in line]
    assert f"{size_text(result.event.shared)} in layers that the images share" in tally
    assert "linux-64, linux-aarch64" in tally
    assert result.event.bytes_pushed <= result.event.size


def test_a_lock_file_for_two_platforms_gives_the_same_layers_as_the_environment(
    workshop: Workshop, linux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The modules for the other platform are compiled here, too, so that the images share them. Nothing of it runs.

    Without a Python of that release, there is no bytecode, and a warning says so.
    """
    run = CommandLine(tmp_path)
    lockfile = tmp_path / "conda-lock.yml"
    done = run("lock", linux, "--platform", BOTH[0], "--platform", BOTH[1], "-o", lockfile)
    assert done.status == 0, done.err
    first = workshop.build(linux, platforms=BOTH, archive=str(tmp_path / "first.tar")).event
    second = workshop.build(lockfile, platforms=BOTH, archive=str(tmp_path / "second.tar")).event
    assert (second.shared, second.size) == (first.shared, first.size)
    assert "no-bytecode" not in workshop.warnings
    compiled = "tqdm/__pycache__/__init__.cpython"
    for name, processor in itertools.product(("first.tar", "second.tar"), ("amd64", "arm64")):
        with Archive(tmp_path / name) as saved:
            image = saved.image(processor)
            names = [member.name for layer in image.manifest.layers for member, _ in members(image, layer)]
            assert any(compiled in path for path in names)
    proof = verified(tmp_path / "second.tar", workshop.store, platform="linux-aarch64", base=workshop.base, all=True)
    assert proof.is_verified
    monkeypatch.setattr("jupyter_condabuild.planning.inputs.is_like_ours", lambda python: False)
    third = workshop.build(lockfile, platforms=["linux-aarch64"], archive=str(tmp_path / "third.tar")).event
    assert "nothing of another platform runs here" in workshop.warnings["no-bytecode"]
    assert third.size < first.size


def test_skopeo_gets_the_image_of_each_processor(workshop: Workshop, mac: Path, name: str) -> None:
    """skopeo resolves the index for either processor, from the registry and from an archive."""
    path = workshop.folder / "index.tar"
    workshop.build(mac, platforms=BOTH, reference=f"{name}:v1", push=True, archive=str(path))
    done = finished(workshop)
    for source in (f"docker://{name}:v1", f"oci-archive:{path}"):
        for processor, platform in (("amd64", "linux-64"), ("arm64", "linux-aarch64")):
            copied = workshop.folder / f"{processor}-{source[:3]}"
            options = ("--override-arch", processor, "copy", "--src-tls-verify=false")
            small_image.run("skopeo", *options, source, f"dir:{copied}")
            raw = (copied / "manifest.json").read_bytes()
            assert str(Manifest.parse(raw).descriptor.digest) == (done.images or {})[platform]


def test_an_archive_has_each_shared_blob_once_and_is_read_for_either_platform(
    workshop: Workshop, linux: Path, tmp_path: Path
) -> None:
    """The archive is an OCI layout whose index.json leads to the index."""
    path = tmp_path / "index.tar"
    result = workshop.build(linux, platforms=BOTH, archive=str(path))
    assert result.event.archive == str(path)
    assert path.stat().st_size < result.event.size + result.event.shared
    with Archive(path) as saved:
        assert [str(digest) for digest in saved.digests] == [result.event.digest]
        for processor, platform in (("amd64", "linux-64"), ("arm64", "linux-aarch64")):
            image: Image = saved.image(processor)
            assert str(image.manifest.descriptor.digest) == (result.event.images or {})[platform]
            for layer in image.manifest.layers:
                assert sum(map(len, image.read(layer))) == layer.size


def test_each_image_has_its_own_receipt(workshop: Workshop, mac: Path, name: str) -> None:
    """The receipt is a referrer of the image, and names its platform."""
    workshop.build(mac, platforms=BOTH, reference=f"{name}:v1", push=True)
    host, _, repository = name.partition("/")
    with connect(host) as registry:
        place = registry.repository(repository)
        for platform, digest in (finished(workshop).images or {}).items():
            found = [content(place, one, 1 << 20) for one in referrers(place, Digest.parse(digest), MEDIA_TYPE)]
            assert len(found) == 1
            assert Receipt.parse(Envelope.parse(found[0])).platform == platform


def test_a_second_build_makes_and_sends_nothing(workshop: Workshop, mac: Path, name: str, tmp_path: Path) -> None:
    """Neither on this machine nor on another one with an empty store. The base is an index in the registry."""
    small_image.run("skopeo", "copy", "--all", "--dest-tls-verify=false", workshop.base, f"docker://{name}/base:v1")
    build = {"platforms": BOTH, "reference": f"{name}:v1", "push": True, "base": f"{name}/base:v1"}
    workshop.build(mac, **build)
    first = finished(workshop)
    workshop.build(mac, **build)
    again = finished(workshop)
    assert (again.digest, again.bytes_pushed, again.images) == (first.digest, 0, first.images)
    assert Log("Nothing has changed since the last build.") in workshop.events
    other = Workshop(tmp_path / "second", workshop.base)
    (tmp_path / "second").mkdir()
    other.build(mac, **build)
    assert (finished(other).digest, finished(other).bytes_pushed) == (first.digest, 0)
    assert not other.layers("built")


def test_an_index_is_a_cache_for_each_of_its_platforms(
    workshop: Workshop, mac: Path, name: str, tmp_path: Path
) -> None:
    """A build in another repository makes no layer that one of the images has."""
    workshop.build(mac, platforms=BOTH, reference=f"{name}:v1", push=True)
    for number, platform in enumerate(BOTH):
        other = Workshop(tmp_path / platform, workshop.base)
        (tmp_path / platform).mkdir()
        caches = [f"{name}:v1"]
        other.build(mac, platforms=[platform], reference=f"{name}/{number}:v1", push=True, cache_from=caches)
        assert not other.layers("built")


def test_a_build_on_another_machine_adds_its_platform(workshop: Workshop, mac: Path, name: str, tmp_path: Path) -> None:
    """With --append-platform, the result is the index that one build for both platforms makes."""
    workshop.build(mac, platforms=["linux-64"], reference=f"{name}:v1", push=True, append_platform=True)
    alone = finished(workshop)
    assert isinstance(document(f"{name}:v1"), Manifest)
    assert (alone.images or {}).keys() == {"linux-64"}
    other = Workshop(tmp_path / "second", workshop.base)
    (tmp_path / "second").mkdir()
    other.build(mac, platforms=["linux-aarch64"], reference=f"{name}:v1", push=True, append_platform=True)
    assert (finished(other).images or {}).keys() == set(BOTH)
    workshop.build(mac, platforms=BOTH, reference=f"{name}:both", push=True)
    assert finished(workshop).digest == finished(other).digest == str(document(f"{name}:v1").descriptor.digest)


def test_a_build_without_append_says_which_platforms_lose_the_name(workshop: Workshop, mac: Path, name: str) -> None:
    """The plan says so, too. The images themselves stay in the registry."""
    workshop.build(mac, platforms=BOTH, reference=f"{name}:v1", push=True)
    index = document(f"{name}:v1")
    assert isinstance(index, Index)
    one = {"platforms": ["linux-64"], "reference": f"{name}:v1"}
    planned = plan.run(plan_request(prefix=mac, base=workshop.base, store_dir=workshop.store, **one), silent)
    warnings = planned.summary()["warnings"]
    assert "linux-aarch64" in next(one["message"] for one in warnings if one["code"] == "platforms-replaced")
    workshop.build(mac, **one, push=True)
    assert "linux-aarch64" in workshop.warnings["platforms-replaced"]
    assert document(f"{name}:v1").raw == document(f"{name}@{index.manifests[0].digest}").raw
    workshop.build(mac, platforms=BOTH, reference=f"{name}:v1", push=True)
    assert "platforms-replaced" not in workshop.warnings
    assert document(f"{name}:v1").raw == index.raw


def test_the_plan_shows_each_platform_and_what_they_share(workshop: Workshop, mac: Path, name: str) -> None:
    """Shared layers are counted once; after the build, nothing is left to send."""
    options = {"prefix": mac, "base": workshop.base, "store_dir": workshop.store, "platforms": BOTH}
    planned = plan.run(plan_request(**options, reference=f"{name}:v1"), silent)
    summary = planned.summary()
    assert list(summary["images"]) == list(BOTH)
    assert 0 < summary["shared"] < summary["bytes_to_push"]
    total = sum(image["bytes_to_push"] for image in summary["images"].values())
    assert summary["bytes_to_push"] == total - summary["shared"]
    assert f"The images share layers of about {size_text(summary['shared'])}." in planned.text()
    workshop.build(mac, platforms=BOTH, reference=f"{name}:v1", push=True)
    after = plan.run(plan_request(**options, reference=f"{name}:v1"), silent)
    assert after.summary()["bytes_to_push"] == 0
    assert "platforms-replaced" not in json.dumps(after.summary())


def test_the_layers_of_all_images_go_to_the_pool(workshop: Workshop, mac: Path, name: str, tmp_path: Path) -> None:
    """A labmate who builds for both platforms, too, makes no layer."""
    pool = f"{name}/pool"
    workshop.build(mac, platforms=BOTH, reference=f"{name}/mine:v1", push=True, layer_pool=pool)
    other = Workshop(tmp_path / "second", workshop.base)
    (tmp_path / "second").mkdir()
    other.build(mac, platforms=BOTH, reference=f"{name}/theirs:v1", push=True, layer_pool=pool)
    assert not other.layers("built")
    assert finished(other).digest == finished(workshop).digest


def test_an_environment_that_has_changed_is_refused(workshop: Workshop, mac: Path) -> None:
    """The identity that the user has seen is that of the snapshot for the first platform."""
    options = {"base": workshop.base, "store_dir": workshop.store}
    seen = snapshot.run(plan_request(prefix=mac, platform=BOTH[0], **options), silent)["identity"]
    (mac / "share").mkdir(exist_ok=True)
    build = {"platforms": BOTH, "archive": str(workshop.folder / "x.tar"), "identity": seen}
    assert (workshop.build(mac, **build).event.images or {}).keys() == set(BOTH)
    (mac / "share/new.txt").write_text("new")
    with pytest.raises(EnvironmentChanged):
        workshop.build(mac, **build)


def test_the_progress_of_all_images_is_one(workshop: Workshop, mac: Path) -> None:
    """The total never changes, and the part that is done never falls and reaches the total."""
    workshop.build(mac, platforms=BOTH, archive=str(workshop.folder / "index.tar"))
    told = [event for event in workshop.events if isinstance(event, Progress) and event.subject == "build"]
    assert len({event.total for event in told}) == 1
    assert [event.complete for event in told] == sorted(event.complete for event in told)
    assert told[-1].complete == told[-1].total


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"engine": "docker"}, "The docker engine builds an image for one platform at a time", "--engine layers"),
        ({"platforms": ["linux-64", "linux-mips"]}, "An image cannot be for 'linux-mips'", "linux-aarch64"),
        ({"platforms": ["linux-64", "linux-s390x"]}, "An image cannot be for 'linux-s390x'", "linux-ppc64le"),
        ({"archive": "docker-archive:x.tar"}, "A docker-archive has an image for one platform only", "-o FILE.tar"),
        ({"archive": "x.sif"}, "A SIF has an image for one platform only", "one SIF for each platform"),
        ({"append_platform": True}, "--append-platform is for images in a registry", "--push"),
        ({"append_platform": True, "engine": "docker", "platforms": []}, "cannot add one", "--engine layers"),
        (
            {"platforms": ["linux-aarch64", "linux-ppc64le"], "load": True, "reference": "x:1"},
            "none of the images is for it",
            "--load",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_built(
    workshop: Workshop, mac: Path, options: Mapping[str, Any], message: str, hint: str
) -> None:
    """The refusal names the platform or the option, and the next step."""
    request = {"platforms": list(BOTH), "archive": str(workshop.folder / "x.tar"), **options}
    with pytest.raises(UsageError, match=message) as caught:
        workshop.build(mac, **request)
    assert hint in caught.value.hint
    assert not workshop.layers("built")


def test_nothing_gets_the_name_if_one_platform_fails(workshop: Workshop, mac: Path, name: str, small_base: str) -> None:
    """The message names the platform that the base has no image for. The name keeps what it has: nothing."""
    with pytest.raises(BaseUnavailable, match="no image for arm64") as caught:
        workshop.build(mac, platforms=BOTH, reference=f"{name}:v1", push=True, base=small_base)
    assert "an image for this processor" in caught.value.hint
    with connect(name.partition("/")[0]) as registry:
        assert registry.repository(name.partition("/")[2]).head("v1") is None


def test_a_package_without_a_build_for_one_platform_is_named(workshop: Workshop, mac: Path, name: str) -> None:
    """The message names the platform and the package."""
    with pytest.raises(NotCompatible, match="linux-ppc64le") as caught:
        workshop.build(mac, platforms=["linux-64", "linux-ppc64le"], reference=f"{name}:v1", push=True)
    assert "python" in caught.value.message
