"""Images that we built run with the exported files: as the server of a hub's user, and as the environment of a job."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import docker
import httpx
import pytest

from jupyter_condabuild.jobs import export
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.requests.others import ExportRequest
from tests.conftest import missing
from tests.hub.real_hub import free_ports, running_hub
from tests.hub.test_hub_exports import files, written
from tests.parts.builds import Workshop
from tests.parts.channel import wheels
from tests.parts.jobs import silent
from tests.parts.jupyter_process import Home, Server, until
from tests.receive.image_kernels import Labmate

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
"""The kind of a network namespace, from <sched.h>. Python has `setns` from 3.12."""

SPAWNER = """
from dockerspawner import DockerSpawner

load_subconfig("{folder}/jupyterhub_image.py")

class HostNetwork(DockerSpawner):
    '''Starts servers in the network of the engine. The engine of the tests has no bridge.'''

    async def get_ip_and_port(self):
        return "127.0.0.1", self.port

c.JupyterHub.spawner_class = HostNetwork
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.extra_host_config = {{"network_mode": "host"}}
c.DockerSpawner.port = {port}
c.DockerSpawner.remove = True
"""


def in_network_of_engine(work: Callable[[], T]) -> T:
    """Runs a function in the network namespace of the engine, with the processes that it starts."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        missing("The engine is on another machine")
    with socket.socket(socket.AF_UNIX) as engine:
        engine.connect(host.removeprefix("unix://"))
        pid, _, _ = struct.unpack("3i", engine.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    network = f"/proc/{pid}/ns/net"
    if os.geteuid() or Path(network).samefile("/proc/self/ns/net"):
        return work()
    with (
        open(network, "rb") as opened,
        ThreadPoolExecutor(1, "inside", ctypes.CDLL(None).setns, (opened.fileno(), CLONE_NEWNET)) as inside,
    ):
        return inside.submit(work).result()


@pytest.fixture
def environment(kernel_prefix: Path, test_cache: Path, tmp_path: Path) -> Path:
    """An environment with ipykernel, jupyter_server and jupyterhub."""
    folder = tmp_path / "env"
    subprocess.run(["cp", "-al", kernel_prefix, folder], check=True)
    found = wheels.download(("jupyterhub", "jupyter_server"), test_cache / "wheels")
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "-q", "--no-compile"]
    subprocess.run([*pip, "--no-index", "--find-links", found[0].parent, "jupyterhub", "jupyter_server"], check=True)
    return folder


def test_a_hub_starts_an_image_that_we_built(
    environment: Path,
    tmp_path: Path,
    registry: str,
    base_reference: str,
    kernel_image: str,
    docker_client: docker.DockerClient,
) -> None:
    """The exported configuration starts the image by its digest as the server of a user, who may use it with a token.

    The server runs with the packages of the environment, and its user's files are in a volume.
    """
    name = f"{registry}/hub-image/{uuid.uuid4().hex}:v1"
    # The layers of `kernel_image` are in the registry and in the engine, so only that of jupyterhub is made and pulled.
    Workshop(tmp_path, base_reference).build(environment, reference=name, push=True, cache_from=(kernel_image,))
    request = ExportRequest(kind="jupyterhub", prefix=environment, reference=Reference.parse(name))
    made = export.run(request, silent)
    (tmp_path / "jupyterhub_image.py").write_text(made.files["jupyterhub_image.py"])
    (line,) = [line for line in made.files["jupyterhub_image.py"].splitlines() if line.startswith("image = ")]
    image = line.split('"')[1]
    assert image.startswith(f"{name.rpartition(':')[0]}@sha256:")
    docker_client.images.pull(image)
    user = f"user{uuid.uuid4().hex[:12]}"

    def use() -> None:
        (port,) = free_ports(1)
        more = SPAWNER.format(folder=tmp_path, port=port)
        with running_hub(tmp_path / "hub", {}, more) as hub:
            hub.start(user)
            with hub.client(user) as client:
                specs = client.get("api/kernelspecs").raise_for_status().json()
                assert specs["kernelspecs"]["python3"]["spec"]["argv"][0].startswith("/opt/env/")
                made = client.put("api/contents/mine.txt", json={"type": "file", "format": "text", "content": "mine"})
                assert made.status_code == 201
            hub.stop(user)

    try:
        in_network_of_engine(use)
        (volume,) = docker_client.volumes.list(filters={"name": user})
        # The hub has stopped the server. Its container may still be there.
        for container in docker_client.containers.list(all=True, filters={"volume": volume.name}):
            container.remove(force=True)
        volume.remove()
    finally:
        docker_client.images.remove(image, force=True)


def test_jupyter_scheduler_runs_a_notebook_in_the_image(
    tmp_path: Path, packages: Path, labmate: Labmate, kernel_image: str
) -> None:
    """A job whose environment is the image runs with the image's Python, whatever kernel the notebook names."""
    labmate.install(kernel_image)
    module = written(tmp_path / "module", files("jupyter-scheduler", kernel_image))
    home = Home(Path(labmate.run.environ["HOME"]))
    cell = {"cell_type": "code", "id": "a", "source": "import sys; print(sys.prefix)", "outputs": []}
    notebook = {
        "cells": [{**cell, "metadata": {}, "execution_count": None}],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (home.path / "job.ipynb").write_text(json.dumps(notebook))
    options = (
        "--SchedulerApp.environment_manager_class=image_jobs.ImageEnvironmentManager",
        "--BaseScheduler.execution_manager_class=image_jobs.ImageExecutionManager",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{module}{os.pathsep}{packages}")
        server = Server(home, *options, extension="jupyter_scheduler")
    with server, server.client as client:
        offered = client.get("scheduler/runtime_environments").raise_for_status().json()
        assert offered[0]["name"] == "env"
        job = {"name": "job", "input_uri": "job.ipynb", "runtime_environment_name": "env", "output_formats": ["ipynb"]}
        id = client.post("scheduler/jobs", json=job).raise_for_status().json()["job_id"]
        found = until(lambda: _ended(client, id))
        assert found["status"] == "COMPLETED", (found, server.log)
    (output,) = (home.path / ".local/share/jupyter/scheduler_staging_area" / id).glob("job-*.ipynb")
    assert json.loads(output.read_text())["cells"][0]["outputs"][0]["text"] == ["/opt/env\n"]


def _ended(client: httpx.Client, id: str) -> dict[str, Any] | None:
    """Returns a job of jupyter-scheduler that has ended."""
    found: dict[str, Any] = client.get(f"scheduler/jobs/{id}").raise_for_status().json()
    return found if found["status"] in ("COMPLETED", "FAILED") else None
