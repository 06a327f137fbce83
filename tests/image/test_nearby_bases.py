"""A base whose registry does not answer is found in the registry of the lab, in an engine, or nowhere."""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Iterator

import docker
import pytest

from jupyter_condabuild.errors import BaseUnavailable
from jupyter_condabuild.image.nearby_bases import nearby
from jupyter_condabuild.jobs import build
from jupyter_condabuild.oci.image import Reference
from tests.parts.jobs import build_request, silent
from tests.parts.server.images import put_base

NOWHERE = "127.0.0.1:9"
"""A registry that does not answer."""


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"nearby-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def in_engine(docker_client: docker.DockerClient, name: str) -> Iterator[str]:
    """The name of an image of the engine."""
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    docker_client.api.import_image_from_data(empty.getvalue(), repository=name, tag="1")
    yield f"{name}:1"
    docker_client.images.remove(f"{name}:1")


@pytest.mark.parametrize("place", ["library/{}", "{}", "team/{}"])
def test_a_base_is_found_in_the_registry_of_the_images(registry: str, name: str, place: str) -> None:
    """It has the path of Docker Hub, no path, or the path of the lab's own images."""
    put_base(f"{registry}/{place.format(name)}:1")
    base = Reference.parse(f"docker.io/library/{name}:1")
    assert nearby(base, f"{registry}/team", docker_host="unix:///nowhere.sock") == (
        f"{registry}/{place.format(name)}:1",
    )


def test_a_base_is_found_in_an_engine_by_the_name_that_the_engine_shows(in_engine: str) -> None:
    """The name of Docker Hub is left out, as the engine does."""
    base = Reference.parse(f"docker.io/library/{in_engine}")
    assert nearby(base, "") == (f"docker-daemon:{in_engine}",)
    assert nearby(base, f"{NOWHERE}/team") == (f"docker-daemon:{in_engine}",)


def test_a_base_that_is_nowhere_is_not_found(name: str, registry: str) -> None:
    """Neither a registry without it, nor one that is not allowed, nor an engine that does not run is an error."""
    base = Reference.parse(f"{name}:1")
    put_base(f"{registry}/{name}:1")
    for where, allowed in ((NOWHERE, ()), (registry, ("lab.org",)), ("", ())):
        assert nearby(base, where, allowed=allowed, docker_host="unix:///nowhere.sock") == ()
    assert nearby(Reference.parse(f"{name}:2"), registry, docker_host="unix:///nowhere.sock") == ()


@pytest.mark.parametrize("found", [True, False])
def test_a_build_without_its_base_says_where_one_is_or_what_to_do(
    registry: str, name: str, rattler_prefix: object, tmp_path: object, found: bool
) -> None:
    """Nothing is built on another base by itself: the user names it."""
    if found:
        put_base(f"{registry}/team/{name}:1")
    request = build_request(
        prefix=rattler_prefix,
        reference=f"{registry}/team/{name}-built:1",
        push=True,
        base=f"{NOWHERE}/elsewhere/{name}:1",
        store_dir=f"{tmp_path}/store",
        docker_host="unix:///nowhere.sock",
    )
    with pytest.raises(BaseUnavailable) as refused:
        build.run(request, silent)
    advice = f"--base {registry}/team/{name}:1" if found else f"skopeo copy docker://{NOWHERE}/elsewhere/{name}:1"
    assert advice in refused.value.hint
