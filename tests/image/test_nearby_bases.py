"""A base whose registry does not answer is found in the registry of the lab, in an engine, or nowhere."""

from __future__ import annotations

import io
import os
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from jupyter_condabuild.errors import BaseUnavailable
from jupyter_condabuild.image.nearby_bases import nearby
from jupyter_condabuild.jobs import build
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.image import Reference
from tests.parts.debian.mirror import SmallMirror
from tests.parts.jobs import build_request, silent
from tests.parts.server.images import put_base
from tests.parts.small_image import image as small_image

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


def test_archives_of_the_same_name_in_the_folder_are_found(name: str, tmp_path: Path) -> None:
    """Also in its folders, but not below them; not hidden ones, not links, and not what is no archive of that image."""
    base = Reference.parse(f"lab.org/{name}:1")
    for path in ("a.tar", "in/b.tar", "in/in/c.tar", ".d.tar", ".in/e.tar"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        archive.write(small_image([]), str(base), tmp_path / path)
    archive.write(small_image([]), f"lab.org/{name}:2", tmp_path / "f.tar")
    archive.write(small_image([]), str(base), tmp_path / "g.tar", "docker-archive")
    (tmp_path / "h.tar").symlink_to("a.tar")
    (tmp_path / "i.tar").write_bytes(b"no tar")
    (tmp_path / "j.tar").mkdir()
    os.mkfifo(tmp_path / "k.tar")
    assert nearby(base, "", docker_host="unix:///nowhere.sock", folder=tmp_path) == (
        "oci-archive:a.tar",
        "docker-archive:g.tar",
        "oci-archive:in/b.tar",
    )


@pytest.mark.parametrize(
    ("base", "suite"),
    [("debian:bookworm-slim", "bookworm"), ("debian:13-slim", "trixie"), ("ubuntu:24.04", "bookworm")],
)
def test_a_base_of_packages_is_the_last_offer(tmp_path: Path, base: str, suite: str) -> None:
    """It is of the release of Debian that was asked for, and offered only if the mirror has it."""
    mirror = SmallMirror(tmp_path / "mirror", suite)
    for url, expected in ((mirror.url, (f"debian-packages:{suite}",)), (f"{mirror.url}/no", ()), ("ftp://x", ())):
        found = nearby(Reference.parse(base), "", docker_host="unix:///nowhere.sock", mirrors=[url])
        assert found == expected


@pytest.mark.parametrize("found", [True, False])
def test_a_build_without_its_base_says_where_one_is_or_what_to_do(
    registry: str, name: str, rattler_prefix: Path, tmp_path: Path, found: bool
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
        debian_mirrors=[SmallMirror(tmp_path / "mirror").url],
    )
    with pytest.raises(BaseUnavailable) as refused:
        build.run(request, silent)
    advice = f"--base {registry}/team/{name}:1" if found else f"skopeo copy docker://{NOWHERE}/elsewhere/{name}:1"
    assert advice in refused.value.hint
    assert "--base debian-packages:bookworm" in refused.value.hint
