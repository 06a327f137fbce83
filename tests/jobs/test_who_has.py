"""who-has: the images of a registry that contain a package. Only their SBOMs are read."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.errors import RegistryNotFound, UsageError
from jupyter_condabuild.jobs import who_has
from jupyter_condabuild.oci.image import Manifest, canonical_json
from jupyter_condabuild.oci.referrers import Artifact, attach
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.requests.others import WhoHasRequest
from jupyter_condabuild.sbom.documents import CYCLONEDX, SPDX
from tests.parts.builds import Package, Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.command_line import CommandLine
from tests.parts.jobs import request, silent
from tests.parts.registry.faults import FakeRegistry
from tests.parts.registry.pushing import connect, push_image

PACKAGES: list[Package] = [
    (Metadata("a", "1.0", noarch="generic"), [File("share/a", b"a")]),
    (Metadata("a", "2.0", noarch="generic"), [File("share/a", b"aa")]),
]


def bom(*purls: str) -> bytes:
    """Returns a small SBOM in CycloneDX."""
    return canonical_json({"bomFormat": "CycloneDX", "components": [{"purl": purl} for purl in purls]})


@pytest.fixture(params=["referrers API", "no referrers API"])
def repository(request: pytest.FixtureRequest, fake_registry: FakeRegistry) -> Iterator[Repository]:
    fake_registry.has_referrers = request.param == "referrers API"
    with connect(fake_registry.host) as connected:
        yield connected.repository("team/env")


def pushed(repository: Repository, tag: str, *contents: bytes, media_type: str = CYCLONEDX) -> Manifest:
    """Pushes an image with these SBOMs."""
    image = push_image(repository, tag, layers=(tag.encode(),))
    for content in contents:
        attach(repository, image.descriptor, Artifact(media_type, content, media_type))
    return image


def answer(spec: str, tmp_path: Path, *repositories: str) -> who_has.Answer:
    asked: dict[str, Any] = {"package": spec, "repositories": list(repositories), "store_dir": tmp_path / "store"}
    return who_has.run(request(WhoHasRequest, **asked), silent)


def test_built_images_are_found(workshop: Workshop, registry: str, tmp_path: Path) -> None:
    """Images in a real registry are found by version. The command prints text or JSON."""
    channel = small_channel(tmp_path / "channel", PACKAGES)
    name = f"{registry}/who/{uuid.uuid4().hex}"
    for version in ("1.0", "2.0"):
        prefix = install(tmp_path / version / "env", channel, f"a=={version}")
        workshop.build(prefix, reference=f"{name}:{version}", push=True)
    run = CommandLine(tmp_path)
    done = run("who-has", "a<2", "--in", name)
    assert (done.status, done.out.splitlines()) == (0, [f"{name}:1.0  a 1.0-0", "1 of 2 images hold a<2."])
    done = run("who-has", "a", "--in", f"{name}:1.0", f"{name}:2.0", "--json")
    assert [holding["version"] for holding in done.json["holdings"]] == ["1.0", "2.0"]


def test_images_without_an_sbom_are_named(repository: Repository, fake_registry: FakeRegistry, tmp_path: Path) -> None:
    """Nothing is said about the content of such images. No layer of any image is read."""
    layers = pushed(repository, "v1", bom("pkg:conda/numpy@1.26.4?build=py_0")).layers
    for tag in ("old", "older"):
        pushed(repository, tag)
    pushed(repository, "broken", b"no SBOM")
    place = f"{fake_registry.host}/team/env"
    fake_registry.seen.clear()
    found = answer("numpy<2", tmp_path, place)
    assert found.text().splitlines() == [
        f"{place}:v1  numpy 1.26.4-py_0",
        "1 of 1 image holds numpy<2.",
        f"3 images have no SBOM and were not read: {place}:broken, {place}:old, {place}:older.",
    ]
    assert not [seen for seen in fake_registry.seen if any(str(layer.digest) in seen.path for layer in layers)]


def test_an_image_with_several_tags_is_read_once(
    repository: Repository, fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    """All tags of the image are named."""
    image = pushed(repository, "v1", bom("pkg:pypi/torch@2.5.0%2Bcpu"))
    repository.push_manifest(image, "latest")
    found = answer("torch<2.6", tmp_path, f"{fake_registry.host}/team/env")
    assert found.text().splitlines()[0] == f"{fake_registry.host}/team/env:latest (also v1)  torch 2.5.0+cpu (pip)"
    assert len(found.holdings) == found.images == 1


def test_all_sboms_of_an_image_are_used(repository: Repository, fake_registry: FakeRegistry, tmp_path: Path) -> None:
    """Any user who can push can attach an incomplete SBOM. An SBOM in SPDX is enough."""
    pushed(repository, "v1", bom("pkg:conda/other@1"), bom("pkg:conda/numpy@1.0"))
    reference = {"referenceType": "purl", "referenceLocator": "pkg:conda/numpy@1.1"}
    spdx = canonical_json({"spdxVersion": "SPDX-2.3", "packages": [{"externalRefs": [reference]}]})
    pushed(repository, "v2", spdx, media_type=SPDX)
    found = answer("numpy", tmp_path, f"{fake_registry.host}/team/env")
    assert [holding.version for holding in found.holdings] == ["1.0", "1.1"]


def test_names_are_cleaned_for_the_terminal(
    repository: Repository, fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    """Any user can write the text of an SBOM."""
    pushed(repository, "v1", bom("pkg:conda/numpy@1%1B%5D0;owned%07"))
    found = answer("numpy", tmp_path, f"{fake_registry.host}/team/env")
    assert found.holdings
    assert "\x1b" not in found.text()
    assert json.dumps(found.summary())


def test_a_repository_without_images_is_named(
    repository: Repository, fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    """A typing error must not look like a good result."""
    pushed(repository, "v1", bom())
    for place in ("team/evn", "team/env:v2"):
        with pytest.raises(RegistryNotFound):
            answer("numpy", tmp_path, f"{fake_registry.host}/{place}")


@pytest.mark.parametrize("asked", [{"package": "a"}, {"repositories": ["a/b"]}])
def test_both_arguments_are_required(asked: dict[str, Any]) -> None:
    """The message names the missing argument."""
    with pytest.raises(UsageError, match="names no"):
        request(WhoHasRequest, **asked)
