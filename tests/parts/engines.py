"""Pytest fixtures for the docker engine: an image with an installer, engines of one's own, and a place to build in."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import docker
import pytest

from jupyter_condabuild.errors import EngineUnavailable
from jupyter_condabuild.events import Finished, Log
from jupyter_condabuild.oci.daemon import Daemon
from tests.conftest import missing
from tests.parts.builds import Workshop
from tests.parts.channel import prefix
from tests.parts.image_tree import SavedImage, differences

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

    def build(self, source: Path, **request: Any) -> Any:
        """Builds with the docker engine unless another is named."""
        known = {
            "engine": "docker",
            "installer": "rattler",
            "installer_image": self.installer_image,
            "docker_host": self.docker_host,
        }
        return super().build(source, **{**known, **request})

    @property
    def log(self) -> str:
        """The log of the last build."""
        return "\n".join(event.text for event in self.events if isinstance(event, Log))

    @property
    def finished(self) -> Finished:
        """How the last build ended."""
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
    folder = tmp_path_factory.mktemp("installer")
    python = prefix.create(folder / "python", ["python", "certifi"], channel_url, folder / "pkgs")
    (site,) = python.glob("lib/python3.*/site-packages")
    for name in {str(file).split("/")[0] for file in distribution("py-rattler").files or ()}:
        shutil.copytree(distribution("py-rattler").locate_file(name), site / name)  # type: ignore[arg-type]
    certificates = f"/opt/python/{site.relative_to(python)}/certifi/cacert.pem"
    dockerfile = (
        f"FROM {base_reference}\nCOPY python /opt/python\nENV PATH=/opt/python/bin:$PATH SSL_CERT_FILE={certificates}\n"
    )
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        tar.add(python, "python")
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(dockerfile)
        tar.addfile(info, io.BytesIO(dockerfile.encode()))
    context.seek(0)
    name = f"{registry}/{PLACE}/installer:rattler"
    docker_client.images.build(fileobj=context, custom_context=True, tag=name, rm=True, forcerm=True)
    docker_client.images.push(name)
    yield name
    for found in docker_client.images.list(filters={"reference": f"*/{PLACE}/*"}):
        with suppress(docker.errors.APIError):  # in use still
            docker_client.images.remove(found.id, force=True)


@pytest.fixture
def docker_workshop(
    tmp_path: Path, docker_client: docker.DockerClient, base_reference: str, installer_image: str
) -> DockerWorkshop:
    """An empty store, Debian for a base, and the engine of the tests."""
    return DockerWorkshop(
        tmp_path,
        base_reference,
        installer_image=installer_image,
        docker_host=os.environ.get("DOCKER_HOST", ""),
    )


@dataclass
class OwnEngine:
    """A dockerd of one's own, to end, to fill, and to find empty."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def host(self) -> str:
        """Its address."""
        return f"unix://{self.folder}/docker.sock"

    def start(self) -> None:
        """Starts it anew, after it ended."""
        self.process = _dockerd(self.folder)
        until_it_answers(self.host).close()

    def kill(self) -> None:
        """Ends it without a word."""
        self.process.kill()
        self.process.wait()
        for pid in self.folder.glob("exec/**/*.pid"):
            _end(int(pid.read_text() or 0))
            pid.unlink()  # dockerd would wait for a containerd that is no more
        (self.folder / "docker.pid").unlink(missing_ok=True)


def _dockerd(folder: Path) -> subprocess.Popen[bytes]:
    command = ["dockerd", "--host", f"unix://{folder}/docker.sock", "--data-root", f"{folder}/data"]
    command += ["--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/docker.pid", "--bridge=none"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen([*command, "--iptables=false", "--ip6tables=false"], stdout=log, stderr=log)


def _end(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except (ProcessLookupError, PermissionError):
        return


@pytest.fixture
def own_engine(request: pytest.FixtureRequest) -> Iterator[OwnEngine]:
    """An empty engine; with the parameter "small", one whose disk has 700 MB."""
    if os.getuid() or not shutil.which("dockerd"):
        missing("Only root can start a dockerd of its own, and dockerd must be installed")
    with TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        size = getattr(request, "param", "")
        if size:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", folder / "data"], check=True)
        engine = OwnEngine(folder, _dockerd(folder))
        try:
            until_it_answers(engine.host).close()
            yield engine
        finally:
            engine.process.terminate()
            engine.process.wait(60)
            _unmount(name)


def _unmount(folder: str) -> None:
    """Frees a folder of what engines mounted in it, so that it can be removed."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(folder)), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=True)


@pytest.fixture
def podman_engine() -> Iterator[str]:
    """The address of a Podman service with a store of its own."""
    if not shutil.which("podman"):
        missing("podman is not installed")
    with TemporaryDirectory(dir="/var/tmp") as folder:
        store = ["--root", f"{folder}/store", "--runroot", f"{folder}/run", "--storage-driver", "overlay"]
        if shutil.which("runc"):
            # Debian's crun wants control groups that a small virtual machine may not have.
            store += ["--runtime", str(shutil.which("runc")), "--cgroup-manager", "cgroupfs"]
        address = f"unix://{folder}/podman.sock"
        command = ["podman", *store, "system", "service", "--time", "0", address]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                until_it_answers(address).close()
                yield address
            finally:
                process.terminate()
                process.wait(60)
                _unmount(folder)


def until_it_answers(address: str) -> Daemon:
    """Waits for an engine that is starting."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return Daemon.connect(address)
        except EngineUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
