"""verify proves each image of a name that has an image for each platform."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_condabuild.errors import BadImage, NotVerified, UsageError
from jupyter_condabuild.events import Event, Finished
from jupyter_condabuild.jobs import verify
from jupyter_condabuild.oci.image import Manifest
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.requests.others import VerifyRequest
from tests.parts.builds import Workshop
from tests.parts.channel.two_platforms import BOTH, two_platform_lock
from tests.parts.jobs import request, verified
from tests.parts.registry.pushing import connect
from tests.parts.registry.reading import document
from tests.parts.small_image import two_platforms


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty store, and a base for two processors."""
    return Workshop(tmp_path, two_platforms(tmp_path / "base.tar", b"1\n"))


@pytest.fixture
def name(registry: str, workshop: Workshop, tmp_path: Path) -> str:
    """A repository whose tag `v1` has an image for each platform. `index.tar` in the folder has the same images."""
    name = f"{registry}/indexes/{uuid.uuid4().hex}"
    lockfile, archive = two_platform_lock(tmp_path), str(tmp_path / "index.tar")
    workshop.build(lockfile, platforms=BOTH, reference=f"{name}:v1", push=True, archive=archive)
    return name


def test_each_image_has_its_result(workshop: Workshop, name: str, tmp_path: Path) -> None:
    """Without a platform, it proves each image of the index. Nothing of another platform runs."""
    index = document(f"{name}:v1")
    assert isinstance(index, Index)
    images = {platform: str(image.digest) for platform, image in zip(BOTH, index.images, strict=True)}
    for place in (f"{name}:v1", tmp_path / "index.tar"):
        found = verified(place, workshop.store, platform="linux-aarch64", base=workshop.base)
        assert (found.digest, found.is_verified) == (images["linux-aarch64"], True)
        events: list[Event] = []
        options = {"store_dir": workshop.store, "base": workshop.base}
        found = verify.run(request(VerifyRequest, reference=place, **options), events.append)
        assert found.is_verified
        assert found.digest == str(index.descriptor.digest)
        summary = found.summary()
        assert {platform: one["digest"] for platform, one in summary["platforms"].items()} == images
        assert all(one["verified"] and one["proof"]["packages"] == 2 for one in summary["platforms"].values())
        assert (summary["verified"], summary["proof"]["packages"]) == (True, 4)
        finished = next(event for event in events if isinstance(event, Finished))
        assert (finished.digest, finished.images) == (found.digest, images)
        assert finished.proved == sum(len(one.proved) for one in found.platforms.values())
        assert "  verified: 2 images\nlinux-64:\n" in found.text()
    with pytest.raises(BadImage, match="linux/ppc64le, only for linux/amd64, linux/arm64") as caught:
        verified(f"{name}:v1", workshop.store, platform="linux-ppc64le")
    assert "--platform" in caught.value.hint
    with pytest.raises(UsageError, match="An image cannot be for 'osx-64'"):
        verified(f"{name}:v1", workshop.store, platform="osx-64")


def test_the_platform_of_a_false_image_is_named(workshop: Workshop, name: str) -> None:
    """All images are compared before. The error says which ones are right, too."""
    index = document(f"{name}:v1")
    assert isinstance(index, Index)
    amd, arm = index.images
    host, _, repository = name.partition("/")
    with connect(host) as registry:
        place = registry.repository(repository)
        manifest = place.manifest(str(amd.digest))
        assert isinstance(manifest, Manifest)
        layers = [*manifest.layers[:-1], *manifest.layers[-2:-1]]
        false = Manifest.make(manifest.config, layers, manifest.annotations)
        place.push_manifest(false, str(false.descriptor.digest))
        entry = replace(false.descriptor, platform=amd.platform)
        place.push_manifest(Index.make([entry, arm]), "v1")
    with pytest.raises(NotVerified, match=r"The image for linux-64: .*The image for linux-aarch64 is verified"):
        verified(f"{name}:v1", workshop.store, base=workshop.base)
