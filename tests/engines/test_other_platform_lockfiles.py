"""A lock file of macOS alone becomes an image for Linux, without the environment."""

from __future__ import annotations

import random
import sys
import uuid
from pathlib import Path

import docker
import pytest

from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.engines.layers.forecast import Part
from jupyter_condabuild.errors import LockfileError, NotCompatible
from jupyter_condabuild.events import Log
from jupyter_condabuild.image.platforms import host_architecture
from jupyter_condabuild.jobs import export, lock, plan
from jupyter_condabuild.jobs.plan import LayersPreview
from jupyter_condabuild.requests.others import ExportRequest, LockRequest
from tests.parts.builds import Workshop
from tests.parts.channel.bytecode import SITE_PACKAGES as SITE
from tests.parts.channel.wheel_index import WheelIndex
from tests.parts.engines import DockerWorkshop
from tests.parts.jobs import plan_request, silent
from tests.parts.small_prefix import SmallPrefix

TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"


def locked(prefix: Path, file: Path, format: str = "conda-lock", *platforms: str) -> Path:
    """Writes the lock file of an environment."""
    request = LockRequest.parse({"prefix": str(prefix), "format": format, "platform": platforms, "pip_hashes": True})
    file.write_text(lock.run(request, silent).lockfile_text(request))
    return file


def with_pip(prefix: Path, index: WheelIndex, *names: str) -> None:
    """Installs packages of the index into the environment."""
    (prefix / "pip.conf").write_text(f"[global]\nindex-url = {index.url}\n")
    small = SmallPrefix(prefix.parent / "other")
    for name in names:
        for path, data in small.distribution(name, installer="pip").items():
            place = prefix / path.replace(path.split("/site-packages")[0], SITE.split("/site-packages")[0])
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


@pytest.mark.parametrize("format", ["conda-lock", "pixi"])
def test_the_image_is_that_of_the_linux_lock_file(mac: Path, workshop: Workshop, tmp_path: Path, format: str) -> None:
    """Who solves on the way to the image and who writes the lock file for Linux first get the same layers."""
    source = locked(mac, tmp_path / "mac.lock", format)
    image = workshop.image(source, platform="linux-64")
    lines = [event.text for event in workshop.events if isinstance(event, Log)]
    assert any(line.startswith("osx-arm64 to linux-64: of 5 packages, ") for line in lines)
    linux = locked(mac, tmp_path / "linux.lock", format, "linux-64")
    expected = workshop.image(linux, "linux")
    assert image.layers == expected.layers
    assert image.config["architecture"] == "amd64"


def test_without_a_platform_and_without_the_base_the_lock_file_is_refused(
    mac: Path, workshop: Workshop, tmp_path: Path
) -> None:
    """No channel is read; the hint names the option."""
    with pytest.raises(LockfileError, match="is for osx-arm64") as caught:
        workshop.image(locked(mac, tmp_path / "mac.lock"), base="localhost:1/base:v1")
    assert "--platform linux-64" in caught.value.hint


def test_without_a_platform_the_image_has_the_one_of_the_base(mac: Path, workshop: Workshop, tmp_path: Path) -> None:
    """The same is true for the environment."""
    image = workshop.image(locked(mac, tmp_path / "mac.lock"))
    assert image.config["architecture"] == host_architecture()


def test_the_plan_has_the_table(mac: Path, workshop: Workshop, tmp_path: Path) -> None:
    """As text and as data."""
    source = locked(mac, tmp_path / "mac.lock")
    request = plan_request(lockfile=source, base=workshop.base, store_dir=workshop.store, platform="linux-64")
    preview = plan.run(request, silent)
    assert preview.summary()["substitution"]["counts"]["left-out"] == 1
    assert preview.text().startswith("osx-arm64 to linux-64: ")


def test_a_dockerfile_is_for_linux(mac: Path, tmp_path: Path) -> None:
    """Its lock file has the packages of Linux."""
    source = locked(mac, tmp_path / "mac.lock")
    request = ExportRequest.parse({"kind": "dockerfile", "lockfile": str(source), "platform": "linux-64"})
    (text,) = (text for name, text in export.run(request, silent).files.items() if name.endswith("conda-lock.yml"))
    assert load(text).platform == "linux-64"
    assert "libcxx" not in text


def test_wheels_of_the_platform_are_in_the_image(
    mac: Path, workshop: Workshop, index: WheelIndex, tmp_path: Path
) -> None:
    """A package of pip with wheels for each system, and one for all."""
    index.wheel("fast", tag="cp311-abi3-macosx_11_0_arm64")
    index.wheel("fast", tag=f"{TAG}-{TAG}-manylinux2014_x86_64")
    index.wheel("pure")
    with_pip(mac, index, "fast", "pure")
    image = workshop.image(locked(mac, tmp_path / "mac.lock"), platform="linux-64")
    assert b"manylinux2014_x86_64" in image.read(f"opt/env/{SITE}/fast.py")
    assert f"{SITE}/pure.py" in image.tree()


def test_the_plan_counts_wheels_and_carried_files(mac: Path, workshop: Workshop, index: WheelIndex) -> None:
    """Before a build about, as the index tells the sizes of wheels; after it exactly. No wheel is fetched for it."""
    index.wheel("big", files={"big.bin": random.Random(1).randbytes(300_000)})
    with_pip(mac, index, "big")
    (mac / "share").mkdir(exist_ok=True)
    (mac / "share/own.bin").write_bytes(random.Random(2).randbytes(200_000))
    planned = plan_request(
        prefix=mac, base=workshop.base, store_dir=workshop.store, platform="linux-64", bytecode=False
    )

    def files() -> Part:
        preview = plan.run(planned, silent)
        assert isinstance(preview, LayersPreview)
        (part,) = (part for part in preview.forecast.parts if part.kind == "files")
        return part

    before = files()
    assert before.state == "built"
    assert not [request for request in index.host.seen if request.endswith(".whl")]
    image = workshop.image(mac, platform="linux-64", bytecode=False)
    made = image.manifest["layers"][-1]["size"]
    assert abs(before.size - made) < 0.15 * made
    after = files()
    assert (after.size, after.state) == (made, "kept")


def test_a_package_without_a_wheel_is_refused_by_the_layers_engine(
    mac: Path, workshop: Workshop, index: WheelIndex, tmp_path: Path
) -> None:
    """The message names it, and both ways on."""
    index.sdist("odd")
    with_pip(mac, index, "odd")
    source = locked(mac, tmp_path / "mac.lock")
    with pytest.raises(NotCompatible, match="no wheel with a hash for linux-64 of odd") as caught:
        workshop.image(source, platform="linux-64")
    assert "--engine docker" in caught.value.hint
    workshop.image(source, platform="linux-64", leave_out=["odd"])


def test_an_image_of_the_docker_engine_runs_in_a_container(
    mac: Path,
    docker_workshop: DockerWorkshop,
    docker_client: docker.DockerClient,
    base_reference: str,
    tmp_path: Path,
) -> None:
    """The engine installs the lock file for Linux, and the packages are imported there."""
    name = f"localhost/mac-lock:{uuid.uuid4().hex}"
    source = locked(mac, tmp_path / "mac.lock")
    docker_workshop.build(source, reference=name, load=True, base=base_reference, platform="linux-64")
    try:
        command = ["python", "-c", "import platform, idna, tqdm; print(platform.system(), idna.__name__)"]
        found = docker_client.containers.run(name, command, network_mode="none", remove=True).decode()
    finally:
        docker_client.images.remove(name, force=True)
    assert found == "Linux idna\n"
