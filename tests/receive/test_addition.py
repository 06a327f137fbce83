"""kernel install --add-ipykernel: an image without a kernel gets ipykernel on top, on this machine alone."""

from __future__ import annotations

import json
import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest
from jupyter_client.manager import KernelManager

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.packages import PipPackage
from jupyter_condabuild.errors import NotCompatible
from jupyter_condabuild.oci import archive
from jupyter_condabuild.receive import addition
from jupyter_condabuild.receive.inspection import Inspection, inspect
from jupyter_condabuild.requests.job_context import open_job
from jupyter_condabuild.requests.receive import InspectRequest
from tests.parts.builds import Package, Workshop, install, small_channel
from tests.parts.channel import channel as channels
from tests.parts.channel import prefix
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.jobs import request, silent
from tests.parts.small_image import image, tar
from tests.receive.image_kernels import Labmate, leftovers, until

SPEC = {"argv": ["program", "{connection_file}"], "display_name": "Python 3", "language": "python"}


def package(name: str, version: str, *depends: str) -> Package:
    return Metadata(name, version, noarch="generic", depends=depends), [File(f"share/{name}", version.encode())]


KERNEL = Metadata("ipykernel", "6.1", noarch="generic", depends=("lib", "needed >=1"))
PACKAGES: list[Package] = [
    package("python", "3.12.1"),
    package("lib", "1.0"),
    package("lib", "2.0"),
    package("needed", "0.5"),
    package("needed", "1.0"),
    package("strict", "1.0", "needed <1"),
    (KERNEL, [File("share/jupyter/kernels/python3/kernel.json", json.dumps(SPEC).encode())]),
]


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    return small_channel(tmp_path_factory.mktemp("addition") / "channel", PACKAGES)


@pytest.fixture(scope="module")
def environment(channel: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment without a kernel, with an old version of a package that ipykernel needs."""
    return install(tmp_path_factory.mktemp("installed") / "env", channel, "python", "lib==1.0")


@pytest.fixture
def name(registry: str) -> str:
    """An image for one test."""
    return f"{registry}/addition-{uuid.uuid4().hex}/env:v1"


def kernelspec(labmate: Labmate, name: str) -> dict[str, Any]:
    return dict(labmate.kernelspecs.get_kernel_spec(name).metadata["condabuild"])


def test_ipykernel_is_put_on_top_of_the_image(
    labmate: Labmate,
    workshop: Workshop,
    channel: Channel,
    environment: Path,
    name: str,
    docker_client: docker.DockerClient,
    tmp_path: Path,
) -> None:
    """The packages of the image stay. The engine has the image under its own name, and it is the same each time.

    The kernel follows the name that the user gave. If the engine loses the image, the error says how to get it back.
    """
    workshop.build(environment, reference=name, push=True)
    kernel = labmate.install(name, "--add-ipykernel")
    made = kernelspec(labmate, kernel)
    assert (made["reference"], made["added"]) == (name, ["ipykernel-6.1-0", "needed-1.0-0"])
    assert labmate.kernelspecs.get_kernel_spec(kernel).interrupt_mode == "signal"  # ipykernel is not what it starts
    found = docker_client.images.get(made["image"])
    [tag] = found.tags
    assert tag.startswith("localhost/condabuild-kernels/env:")
    original = docker_client.images.pull(name)
    assert found.attrs["RootFS"]["Layers"][:-1] == original.attrs["RootFS"]["Layers"]
    assert labmate.run("kernel", "list").out.endswith(", with ipykernel added\n")
    (other := labmate.run.folder / "other").mkdir()
    environ = {"CONDABUILD_STORE_DIR": str(other)}
    assert labmate.run("kernel", "install", "--yes", "--add-ipykernel", name, environ=environ).status == 0
    assert kernelspec(labmate, kernel)["image"] == made["image"]
    later = install(tmp_path / "later", channel, "python", "lib==1.0", "needed")
    workshop.build(later, reference=name, push=True)
    [row] = labmate.run("kernel", "list", "--json").json["kernels"]
    assert row["news"].startswith(f"{name} has moved: 1 package changed.")
    assert f"(jupyter condabuild kernel install --add-ipykernel {name})" in row["news"]
    docker_client.images.remove(tag, force=True)
    docker_client.images.remove(name, force=True)
    manager = KernelManager(**labmate.options(kernel))
    log = labmate.run.folder / "log"
    with log.open("wb") as stderr:
        manager.start_kernel(cwd=str(labmate.folder), env=labmate.environ(), stderr=stderr)
    assert until(lambda: manager.provisioner.process.poll()) == 1  # type: ignore[union-attr]
    manager.shutdown_kernel(now=True)
    said = log.read_text()
    assert (
        f"and ipykernel any more. Install the kernel again: jupyter condabuild kernel install --add-ipykernel {name}"
        in said
    )
    assert until(lambda: not any(leftovers(labmate, docker_client).values()))


def test_the_user_is_asked_in_a_terminal(labmate: Labmate, workshop: Workshop, environment: Path, name: str) -> None:
    """The question has the packages; without a terminal, the error names the option. No engine is needed."""
    workshop.build(environment, reference=name, push=True)
    done = labmate.run("kernel", "install", "--yes", name)
    assert (done.status, "Add --add-ipykernel" in done.err) == (1, True)
    words = ["kernel", "install", "--without-engine", "--yes", name]
    seen, status = labmate.run.in_a_terminal(words, "n\n")
    assert (status, "you do not want to add ipykernel" in seen) == (2, True)
    assert "the image lacks 2 packages" in " ".join(seen.split())
    assert "ipykernel 6.1, needed 1.0. Add them" in " ".join(seen.split())
    assert not list(labmate.run.folder.glob("store/unpacked/images/*"))
    seen, status = labmate.run.in_a_terminal(words, "y\n")
    assert status == 0, seen
    [row] = labmate.run("kernel", "list", "--json").json["kernels"]
    made = kernelspec(labmate, row["name"])
    assert (Path(made["image"]) / "root/opt/env/share/needed").read_text() == "1.0"
    assert (Path(made["image"]) / "root/opt/env/share/lib").read_text() == "1.0"


def described(labmate: Labmate, location: str) -> Inspection:
    asked = request(InspectRequest, reference=location, store_dir=str(labmate.run.store))
    with open_job(asked, silent) as job:
        return inspect(asked, job)


def test_what_cannot_be_added_is_said(
    labmate: Labmate, workshop: Workshop, channel: Channel, environment: Path, tmp_path: Path
) -> None:
    """Packages that do not fit, an image of others, one without Python, packages of pip, and a channel that is gone."""

    def refused(location: str) -> tuple[int, str]:
        done = labmate.run("kernel", "install", "--yes", "--add-ipykernel", location)
        return done.status, done.err

    copy = tmp_path / "copy"
    shutil.copytree(channel.folder, copy)
    images = {"strict": ("python", "strict"), "bare": ("lib",), "gone": ("python",)}
    for title, specs in images.items():
        source = Channel(copy) if title == "gone" else channel
        workshop.image(install(tmp_path / title, source, *specs), title)
    shutil.rmtree(copy)
    place = f"oci-archive:{workshop.folder}"
    status, said = refused(f"{place}/strict.tar")
    assert (status, "ipykernel does not fit needed 0.5." in said) == (1, True), said
    status, said = refused(f"{place}/bare.tar")
    assert (status, "the image has no Python" in said) == (1, True), said
    status, said = refused(f"{place}/gone.tar")
    assert (status, "The channels of the image cannot be read" in said) == (1, True), said
    archive.write(image([tar({"etc/a": b"1"})]), "", tmp_path / "strange.tar")
    status, said = refused(f"oci-archive:{tmp_path}/strange.tar")
    assert (status, "'jupyter condabuild' did not make it" in said) == (1, True), said
    workshop.image(environment, "usual")
    found = described(labmate, f"{place}/usual.tar")
    before: Lockfile | None = found.lockfile
    assert before
    pip = replace(before, pip=(PipPackage("needed", "1.0"),))
    with pytest.raises(NotCompatible, match="pip has installed in the image: needed"):
        addition.solved(replace(found, lockfile=pip))


def test_a_real_kernel_is_added_and_runs(
    labmate: Labmate,
    session_workshop: Workshop,
    kernel_prefix: Path,
    kernel_image: str,
    base_reference: str,
    test_cache: Path,
    tmp_path: Path,
) -> None:
    """The Python of the image is the same. ipykernel comes from the channel of the image, and is compiled."""
    made = channels.build(test_cache / "kernel", {"kernel"}, test_cache / "wheels")
    python = prefix.create(tmp_path / "env", ["python"], made.url, kernel_prefix.parents[1] / "pkgs")
    reference = f"{base_reference.partition('/')[0]}/addition-{uuid.uuid4().hex}/python:v1"
    session_workshop.build(python, reference=reference, push=True, base=base_reference, cache_from=[kernel_image])
    name = labmate.install(reference, "--add-ipykernel", "--network", "none")
    spec = labmate.kernelspecs.get_kernel_spec(name)
    assert (spec.interrupt_mode, spec.metadata["debugger"]) == ("message", True)
    with labmate.kernel(name) as cell:
        assert cell("import ipykernel, os; print(os.path.exists(ipykernel.__cached__), 6 * 7)") == "True 42"
