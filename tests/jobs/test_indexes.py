"""The commands that read or change an image know names that have an image for each platform."""

from __future__ import annotations

import json
import os
import shlex
import uuid
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_condabuild.distribution.run_commands import share_commands
from jupyter_condabuild.errors import BadImage, BaseUnavailable, NotCompatible, UsageError
from jupyter_condabuild.events import Event, Finished, Log, Progress
from jupyter_condabuild.jobs import diff, licenses, nightly_base, rebase, replacement
from jupyter_condabuild.oci.image import Descriptor, Manifest
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.referrers import referrers
from jupyter_condabuild.receive import inspection
from jupyter_condabuild.requests.build import BaseRequest
from jupyter_condabuild.requests.others import DiffRequest, LicensesRequest, RebaseRequest
from jupyter_condabuild.requests.receive import InspectRequest
from jupyter_condabuild.trust.dsse import MEDIA_TYPE
from tests.parts import small_image
from tests.parts.builds import Package, Workshop, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.channel.two_platforms import BOTH, PACKAGES, two_platform_lock
from tests.parts.command_line import CommandLine
from tests.parts.jobs import build_request, request, silent, verified
from tests.parts.registry.pushing import connect
from tests.parts.registry.reading import document
from tests.parts.small_image import two_platforms


@pytest.fixture
def lockfile(tmp_path: Path) -> Path:
    """A lock file for two platforms, with one package for all platforms and one for each."""
    return two_platform_lock(tmp_path)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty store, and a base for two processors."""
    return Workshop(tmp_path, two_platforms(tmp_path / "base.tar", b"1\n"))


@pytest.fixture
def newer(tmp_path: Path) -> str:
    """Another base for two processors."""
    return two_platforms(tmp_path / "newer.tar", b"2\n")


@pytest.fixture
def name(registry: str) -> str:
    """A repository for one test."""
    return f"{registry}/indexes/{uuid.uuid4().hex}"


def rebased(workshop: Workshop, **options: Any) -> tuple[Finished, list[Event]]:
    """Rebases an image with the store of the workshop."""
    events: list[Event] = []
    return rebase.run(request(RebaseRequest, store_dir=workshop.store, **options), events.append), events


def night(workshop: Workshop, reference: str, lockfile: Path, day: str, **options: Any) -> nightly_base.BaseResult:
    """Makes the base of a day."""
    given = {"base": workshop.base, "store_dir": workshop.store, "platforms": BOTH, "trusted_repositories": ["*"]}
    asked = request(BaseRequest, reference=reference, lockfile=lockfile, **{**given, **options})
    return nightly_base.refresh(asked, day, silent)


def test_a_rebase_gives_the_index_that_a_build_on_the_new_base_gives(
    workshop: Workshop, lockfile: Path, name: str, newer: str
) -> None:
    """Each image is on the base for its platform, and has a receipt. One progress and one result end the job."""
    workshop.build(lockfile, platforms=BOTH, reference=f"{name}:old", push=True)
    done, events = rebased(workshop, reference=f"{name}:old", base=newer, target=f"{name}:new")
    workshop.build(lockfile, platforms=BOTH, reference=f"{name}:built", push=True, base=newer)
    index = document(f"{name}:new")
    assert isinstance(index, Index)
    assert index.raw == document(f"{name}:built").raw
    assert (done.digest, (done.images or {}).keys()) == (str(index.descriptor.digest), set(BOTH))
    assert done.shared > 0
    assert [event for event in events if isinstance(event, Finished)] == [done]
    progress = [event for event in events if isinstance(event, Progress) and event.subject == "build"]
    assert len({event.total for event in progress}) == 1
    assert progress[-1].complete == progress[-1].total
    host, _, repository = name.partition("/")
    with connect(host) as registry:
        for image in index.images:
            assert referrers(registry.repository(repository), image.digest, MEDIA_TYPE)


def test_a_rebase_keeps_an_image_that_another_machine_adds_meanwhile(
    workshop: Workshop, lockfile: Path, name: str, newer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tag is read again before it is written."""
    workshop.build(lockfile, platforms=BOTH, reference=f"{name}:both", push=True)
    workshop.build(lockfile, platforms=["linux-64"], reference=f"{name}:v1", push=True)
    both = document(f"{name}:both")
    assert isinstance(both, Index)
    amd, arm = both.images
    host, _, repository = name.partition("/")
    with connect(host) as registry:
        registry.repository(repository).push_manifest(Index.make([amd]), "v1")
    make = rebase._rebase

    def meanwhile(*given: Any, **options: Any) -> Any:
        with connect(host) as registry:
            registry.repository(repository).push_manifest(Index.make([amd, arm]), "v1")
        return make(*given, **options)

    monkeypatch.setattr(rebase, "_rebase", meanwhile)
    done, _ = rebased(workshop, reference=f"{name}:v1", base=newer)
    after = document(f"{name}:v1")
    assert isinstance(after, Index)
    assert after.images[1] == arm
    assert after.images[0] != amd
    assert (done.images or {}).keys() == set(BOTH)


def test_a_base_without_one_of_the_platforms_changes_nothing(
    workshop: Workshop, lockfile: Path, name: str, small_base: str
) -> None:
    """The refusal names the platform."""
    workshop.build(lockfile, platforms=BOTH, reference=f"{name}:v1", push=True)
    before = document(f"{name}:v1").raw
    with pytest.raises(BaseUnavailable, match="arm64"):
        rebased(workshop, reference=f"{name}:v1", base=small_base)
    assert document(f"{name}:v1").raw == before


def test_each_image_of_an_index_gets_another_version(
    workshop: Workshop, lockfile: Path, name: str, tmp_path: Path
) -> None:
    """rebase --replace makes the layers of the package for each platform. An image that has the version stays."""
    workshop.build(lockfile, platforms=BOTH, reference=f"{name}:v1", push=True)
    arm: Package = (Metadata("native", "2.0", platform="linux-aarch64"), [File("lib/native", b"new")])
    amd: Package = (Metadata("native", "2.0"), [File("lib/native", b"new")])

    def replaced(target: str = "v1") -> Finished:
        asked = {"reference": f"{name}:v1", "target": f"{name}:{target}", "store_dir": workshop.store}
        return replacement.run(request(RebaseRequest, replace=["native=2.0"], **asked), silent)

    before = document(f"{name}:v1")
    small_channel(tmp_path / "channel", [*PACKAGES, amd])
    with pytest.raises(NotCompatible):
        replaced()
    assert document(f"{name}:v1").raw == before.raw
    small_channel(tmp_path / "channel", [*PACKAGES, amd, arm])
    done = replaced()
    index = document(f"{name}:v1")
    assert isinstance(index, Index)
    assert (done.digest, index.platforms) == (str(index.descriptor.digest), ("linux/amd64", "linux/arm64"))
    assert done.images == {platform: str(one.digest) for platform, one in zip(BOTH, index.images, strict=True)}
    for platform in BOTH:
        found = verified(f"{name}:v1", workshop.store, platform=platform, base=workshop.base)
        assert found.is_verified
        asked = request(LicensesRequest, source=f"{name}:v1", platform=platform, store_dir=workshop.store)
        assert [one.version for one in licenses.run(asked, silent).packages] == ["2.0", "1.0"]
    with pytest.raises(UsageError, match=r"has native=2\.0 already"):
        replaced("other")
    host, _, repository = name.partition("/")
    with connect(host) as registry:
        assert registry.repository(repository).head("other") is None


def test_the_nightly_base_is_for_all_platforms(workshop: Workshop, lockfile: Path, name: str, newer: str) -> None:
    """The second night only rebases the base, and the image of the users with all of its platforms."""
    first = night(workshop, f"{name}:v1", lockfile, "20260101")
    assert not first.rebased
    assert document(f"{name}:base-20260101").raw == document(f"{name}:latest-base").raw
    workshop.build(lockfile, platforms=BOTH, reference=f"{name}:v1", push=True)
    before = document(f"{name}:v1")
    second = night(workshop, f"{name}:v1", lockfile, "20260102", base=newer)
    assert (second.rebased, second.moved) == (True, f"{name}:v1")
    for tag in ("v1", "latest-base", "base-20260102"):
        index = document(f"{name}:{tag}")
        assert isinstance(index, Index)
        assert index.platforms == ("linux/amd64", "linux/arm64")
    assert document(f"{name}:v1").raw != before.raw
    with pytest.raises(UsageError, match="--without") as caught:
        night(workshop, f"{name}:v1", lockfile, "20260103", without=["native"])
    assert "--platform" in caught.value.hint


def test_an_old_base_goes_with_its_images(workshop: Workshop, lockfile: Path, name: str, newer: str) -> None:
    """An image that a kept name has stays, also if a removed index has it, too."""
    night(workshop, f"{name}:v1", lockfile, "20260101")
    old = document(f"{name}:base-20260101")
    assert isinstance(old, Index)
    amd, arm = old.images
    host, _, repository = name.partition("/")
    with connect(host) as registry:
        place = registry.repository(repository)
        place.push_manifest(place.manifest(str(arm.digest)), "mine")
        second = night(workshop, f"{name}:v1", lockfile, "20260102", base=newer, keep=1)
        assert second.removed == ("base-20260101",)
        assert place.head("base-20260101") is None
        assert place.head(str(amd.digest)) is None
        assert place.head("mine") == place.head(str(arm.digest)) is not None


@pytest.fixture
def archived(workshop: Workshop, lockfile: Path, tmp_path: Path) -> Path:
    """An archive with an index."""
    workshop.build(lockfile, platforms=BOTH, archive=str(tmp_path / "index.tar"))
    return tmp_path / "index.tar"


def test_inspect_lists_the_platforms(workshop: Workshop, lockfile: Path, name: str, archived: Path) -> None:
    """The description is that of the image for the platform; the digests of all images are there."""
    workshop.build(lockfile, platforms=BOTH, reference=f"{name}:v1", push=True)
    index = document(f"{name}:v1")
    assert isinstance(index, Index)
    images = dict(zip(BOTH, (str(image.digest) for image in index.images), strict=True))
    for place in (f"{name}:v1", archived):
        for platform, shown in (("", "linux/amd64"), ("linux-aarch64", "linux/arm64")):
            asked = request(InspectRequest, reference=place, store_dir=workshop.store, platform=platform)
            found = inspection.run(asked, silent)
            summary = found.summary()
            assert (summary["platform"], summary["images"]) == (shown, images)
            assert summary["digest"] == images[platform or "linux-64"]
            assert "The name has images for linux-64, linux-aarch64." in found.text()
    asked = request(InspectRequest, reference=f"{name}@{images['linux-64']}", store_dir=workshop.store)
    assert inspection.run(asked, silent).summary()["images"] == {}


def test_diff_and_licenses_read_the_image_for_the_platform(workshop: Workshop, lockfile: Path, name: str) -> None:
    """An image of the index is what the lock file has for its platform. The index is known by its digest, too."""
    workshop.build(lockfile, platforms=BOTH, reference=f"{name}:v1", push=True)
    digest = str(document(f"{name}:v1").descriptor.digest)
    for platform in BOTH:
        for image in (f"{name}:v1", digest):
            options = {"store_dir": workshop.store, "platform": platform}
            found = diff.run(request(DiffRequest, before=lockfile, after=image, **options), silent)
            assert found.platforms == (platform, platform)
            assert (found.changes, found.same) == ((), 2)
        listed = licenses.run(request(LicensesRequest, source=f"{name}:v1", **options), silent)
        assert [package.name for package in listed.packages] == ["native", "shared"]
    index = document(f"{name}:v1")
    assert isinstance(index, Index)
    one, other = (f"{name}@{image.digest}" for image in index.images)
    across = diff.run(request(DiffRequest, before=one, after=other, store_dir=workshop.store), silent)
    assert across.platforms == BOTH
    with pytest.raises(BadImage, match="is an image for linux/amd64, not for linux/arm64"):
        licenses.run(request(LicensesRequest, source=one, platform="linux-aarch64", store_dir=workshop.store), silent)


def test_an_engine_pulls_the_image_of_its_machine(
    workshop: Workshop, lockfile: Path, name: str, docker_client: docker.DockerClient
) -> None:
    """Docker itself chooses, by default and by --platform. --load gives the engine the image for this machine."""
    workshop.build(lockfile, platforms=BOTH, reference=f"{name}:v1", push=True)
    index = document(f"{name}:v1")
    assert isinstance(index, Index)
    configs = [image.config.digest for one in index.images if isinstance(image := at(name, one), Manifest)]
    loaded = f"localhost/{uuid.uuid4().hex}:v1"
    try:
        for platform, processor, config in ((None, "amd64", configs[0]), ("linux/arm64", "arm64", configs[1])):
            pulled = docker_client.images.pull(name, "v1", platform=platform)
            assert (pulled.attrs["Architecture"], pulled.id) == (processor, str(config))
        workshop.build(lockfile, platforms=BOTH, reference=loaded, load=True)
        assert docker_client.images.get(loaded).id == str(configs[0])
        docker_client.images.remove(loaded, force=True)
        wanted = {"reference": loaded, "archive": str(workshop.folder / "index.tar"), "platforms": BOTH}
        done = workshop.build(lockfile, **wanted).event
        command = share_commands(build_request(lockfile=lockfile, **wanted), done)[0].text.splitlines()[0]
        small_image.run(*shlex.split(command.replace("copy ", f"copy --dest-daemon-host {os.environ['DOCKER_HOST']} ")))
        assert docker_client.images.get(loaded).id == str(configs[0])
    finally:
        for one in (f"{name}:v1", loaded):
            docker_client.images.remove(one, force=True)


def at(name: str, image: Descriptor) -> Manifest | Index:
    """Returns an image of an index in a repository."""
    return document(f"{name}@{image.digest}")


def test_an_update_is_stacked_on_the_image_of_its_platform(workshop: Workshop, lockfile: Path, name: str) -> None:
    """With --stack, each image keeps the layers that the index has for its platform."""
    workshop.build(lockfile, platforms=BOTH, reference=f"{name}:v1", push=True)
    before = document(f"{name}:v1")
    text = lockfile.read_text()
    other = json.loads(text)
    other["package"] = [one for one in other["package"] if one["name"] == "shared"]
    smaller = workshop.folder / "smaller.yml"
    smaller.write_text(json.dumps(other))
    workshop.build(smaller, platforms=BOTH, reference=f"{name}:v2", push=True)
    workshop.build(lockfile, platforms=BOTH, reference=f"{name}:v2", push=True, stack=True)
    stacked = document(f"{name}:v2")
    assert isinstance(before, Index)
    assert isinstance(stacked, Index)
    assert stacked.platforms == before.platforms
    logs = [event.text for event in workshop.events if isinstance(event, Log)]
    assert len([text for text in logs if text.startswith("Stacked on the current image")]) == 2


def test_the_command_line_takes_several_platforms(
    workshop: Workshop, lockfile: Path, name: str, tmp_path: Path
) -> None:
    """The options may be repeated. The JSON has the images and the shared bytes; texts say the same."""
    run = CommandLine(tmp_path)
    base, both = ("--base", workshop.base), ("--platform", BOTH[0], "--platform", BOTH[1])
    one = run("build", "--lockfile", lockfile, *both[:2], *base, "-t", f"{name}:v1", "--push", "--append-platform")
    assert one.status == 0, one.err
    planned = run("plan", "--lockfile", lockfile, *both, *base, "-t", f"{name}:v1", "--json")
    assert planned.status == 0, planned.err
    assert list(planned.json["images"]) == list(BOTH)
    two = run(
        "build", "--lockfile", lockfile, *both[2:], *base, "-t", f"{name}:v1", "--push", "--append-platform", "--json"
    )
    assert two.status == 0, two.err
    assert list(two.json["images"]) == list(BOTH)
    built = run("build", "--lockfile", lockfile, *both, *base, "-t", f"{name}:v2", "--push")
    assert built.status == 0, built.err
    assert "linux-64, linux-aarch64" in built.err
    assert "in layers that the images share" in built.err
    assert document(f"{name}:v1").raw == document(f"{name}:v2").raw
    seen = run("inspect", "--platform", "linux-aarch64", f"{name}:v1", "--json")
    assert (seen.json["platform"], seen.json["images"]) == ("linux/arm64", two.json["images"])
