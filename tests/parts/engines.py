"""Pytest fixtures for the docker engine: an image with an installer, and a place to build in."""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_condabuild.events import Finished, Log, Report
from tests.parts.builds import Workshop
from tests.parts.channel import prefix
from tests.parts.image_tree import SavedImage, differences
from tests.parts.jobs import silent
from tests.parts.shared import shared

PLACE = f"condabuild-engine-tests-{os.getpid()}"
"""Other runs of these tests may use the same engine."""


MAY_DIFFER = re.compile(
    r".*\.pyc|(?:.*/)?__pycache__"  # bytecode: the layers engine compiles, py-rattler does not
    r"|conda-meta/[^/]*\.json"  # records: each installer writes other fields into them
    r"|conda-meta/history"  # what conda and micromamba note with the time
)
"""The paths below /opt/env at which the engines' images may differ."""


def unexpected(one: SavedImage, other: SavedImage) -> dict[str, tuple[str, str]]:
    """The differences of two images that nothing excuses."""
    found = differences(one.tree(), other.tree())
    return {path: pair for path, pair in found.items() if not MAY_DIFFER.fullmatch(path)}


@dataclass
class DockerWorkshop(Workshop):
    """A place to build in with a docker engine; the installer is py-rattler, in an image that was made here."""

    installer_image: str = ""
    docker_host: str = ""

    def build(self, source: Path, report: Report = silent, **request: Any) -> Any:
        """Builds with the docker engine unless another is named."""
        known = {
            "engine": "docker",
            "installer": "rattler",
            "installer_image": self.installer_image,
            "docker_host": self.docker_host,
        }
        return super().build(source, report, **{**known, **request})

    @property
    def log(self) -> str:
        """The log of the last build."""
        return "\n".join(event.text for event in self.events if isinstance(event, Log))

    @property
    def finished(self) -> Finished:
        """Returns the last event of the last build."""
        (found,) = [event for event in self.events if isinstance(event, Finished)]
        return found

    def name(self, registry: str = "registry.lab.org", what: str = "env") -> str:
        """An image name that no other run uses."""
        return f"{registry}/{PLACE}/{what}:v1"


def steps(log: str, state: str = "CACHED") -> list[str]:
    """The Dockerfile's steps that reached a state, such as ``[environment 4/5] COPY …``."""
    titles: dict[str, str] = {}
    found = []
    for line in log.splitlines():
        number, _, text = line.partition(" ")
        if text.startswith("["):
            titles.setdefault(number, text.removesuffix(" CACHED"))
        if text.endswith(state) and titles.get(number, "[internal]").split()[0] != "[internal]":
            found.append(titles[number])
    return found


@pytest.fixture(scope="session")
def installer_image(
    docker_client: docker.DockerClient,
    base_reference: str,
    registry: str,
    channel_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """An image with Python and py-rattler, in the registry: what docker.io has, where docker.io cannot be reached."""

    def make(folder: Path) -> str:
        python = prefix.create(folder / "python", ["python", "certifi"], channel_url, folder / "pkgs")
        (site,) = python.glob("lib/python3.*/site-packages")
        for name in {str(file).split("/")[0] for file in distribution("py-rattler").files or ()}:
            shutil.copytree(distribution("py-rattler").locate_file(name), site / name)  # type: ignore[arg-type]
        certificates = f"/opt/python/{site.relative_to(python)}/certifi/cacert.pem"
        dockerfile = f"FROM {base_reference}\nCOPY python /opt/python\n"
        dockerfile += f"ENV PATH=/opt/python/bin:$PATH SSL_CERT_FILE={certificates}\n"
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as tar:
            tar.add(python, "python")
            info = tarfile.TarInfo("Dockerfile")
            info.size = len(dockerfile)
            tar.addfile(info, io.BytesIO(dockerfile.encode()))
        context.seek(0)
        image = f"{registry}/condabuild-installer-{os.getpid()}/installer:rattler"
        docker_client.images.build(fileobj=context, custom_context=True, tag=image, rm=True, forcerm=True)
        docker_client.images.push(image)
        return image

    def remove(image: str) -> None:
        with suppress(docker.errors.APIError):  # in use still
            docker_client.images.remove(image, force=True)

    with shared(tmp_path_factory, f"installer-{registry.rpartition(':')[2]}", make, remove) as image:
        yield image
    for found in docker_client.images.list(filters={"reference": f"*/{PLACE}/*"}):
        remove(found.id)


@pytest.fixture
def docker_workshop(
    tmp_path: Path, docker_client: docker.DockerClient, base_reference: str, installer_image: str
) -> DockerWorkshop:
    """An empty store, Debian for a base, and the engine of the tests."""
    host = os.environ.get("DOCKER_HOST", "")
    return DockerWorkshop(tmp_path, base_reference, installer_image=installer_image, docker_host=host)
