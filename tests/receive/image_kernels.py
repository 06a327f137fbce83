"""Kernels of an image: an image with ipykernel, and a Jupyter client that runs its kernels, as JupyterLab does."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import httpx
import psutil
import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from jupyter_condabuild.oci.image import OCI_MANIFEST
from jupyter_condabuild.receive.container_kernel import LABEL_KERNEL
from tests.parts.builds import Workshop
from tests.parts.channel import channel as channels
from tests.parts.channel import prefix
from tests.parts.command_line import CommandLine

SECONDS = 120
"""The longest time that a kernel has for an answer."""


@dataclass
class Labmate:
    """A user with a home folder of their own, a folder of notebooks, and a folder for temporary files.

    `kernels` are the ids of all kernels that the user has had.
    """

    run: CommandLine
    folder: Path
    temporary: Path
    kernels: list[str] = field(default_factory=list)

    def install(self, image: str, *options: str) -> str:
        """Installs the kernel of an image, and returns the name of the kernelspec."""
        done = self.run("kernel", "install", "--yes", *options, image, "--json")
        assert done.status == 0, done.err
        (found,) = done.json["kernels"]
        return str(found["name"])

    @property
    def kernelspecs(self) -> KernelSpecManager:
        """The kernelspecs that the command has installed."""
        return KernelSpecManager(kernel_dirs=[str(Path(self.run.environ["HOME"], ".local/share/jupyter/kernels"))])

    def options(self, name: str) -> dict[str, Any]:
        """Returns the options of a kernel manager. The connection file has the name that a Jupyter server gives it."""
        file = self.run.folder / f"kernel-{uuid.uuid4()}.json"
        self.kernels.append(file.stem)
        return {"kernel_name": name, "kernel_spec_manager": self.kernelspecs, "connection_file": str(file)}

    def environ(self, **more: str) -> dict[str, str]:
        """Returns the variables of the Jupyter server."""
        return {**self.run.environ, **more}

    @contextmanager
    def kernel(self, name: str, *, folder: Path | None = None, **more: str) -> Iterator[Session]:
        """Runs a kernel. `more` are variables of the Jupyter server."""
        manager = KernelManager(**self.options(name))
        log = self.run.folder / f"{uuid.uuid4()}.log"
        with log.open("wb") as stderr:
            manager.start_kernel(cwd=str(folder or self.folder), env=self.environ(**more), stderr=stderr)
            client = manager.client()
            try:
                client.start_channels()
                client.wait_for_ready(SECONDS)
                yield Session(manager, client, log)
            except RuntimeError as error:
                raise AssertionError(log.read_text()) from error
            finally:
                client.stop_channels()
                manager.shutdown_kernel(now=True)


@dataclass
class Session:
    """A running kernel, and the log that it writes for the server."""

    manager: KernelManager
    client: BlockingKernelClient
    log: Path

    def __call__(self, code: str, *, answer: str = "") -> str:
        """Executes a cell, and returns what it prints, or its error. `answer` is typed when the cell asks."""
        out = []

        def hook(message: dict[str, Any]) -> None:
            content = message["content"]
            out.append(content.get("text") or "\n".join(content.get("traceback", ())))

        def asked(_: dict[str, Any]) -> None:
            self.client.input(answer)

        self.client.execute_interactive(
            code, output_hook=hook, stdin_hook=asked, allow_stdin=bool(answer), timeout=SECONDS
        )
        return "".join(out).strip()

    @property
    def process(self) -> int:
        """The number of the process that the client has started."""
        return int(self.manager.provisioner.pid)  # type: ignore[union-attr]


def containers(client: docker.DockerClient, kernels: Collection[str]) -> list[dict[str, Any]]:
    """Returns the containers of kernels with these ids. Other tests use the engine at the same time."""
    found = client.api.containers(all=True, filters={"label": LABEL_KERNEL})
    return [one for one in found if one["Labels"][LABEL_KERNEL] in kernels]


def leftovers(labmate: Labmate, client: docker.DockerClient) -> dict[str, list[str]]:
    """Returns everything that the kernels of a user have left: containers, processes and folders."""
    mine = (str(labmate.run.folder), str(labmate.temporary))
    processes = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return {
        "containers": [one["Names"][0] for one in containers(client, labmate.kernels)],
        "processes": [line for line in processes if any(path in line for path in mine)],
        "folders": [str(one) for one in labmate.temporary.iterdir()],
    }


def until(condition: Any) -> Any:
    """Waits until a condition holds, and returns its value."""
    end = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def make_environment(folder: Path) -> Path:
    """Makes an environment with ipykernel, as the fixture `kernel_prefix` does, and returns its prefix."""
    default = Path.home() / ".cache" / "jupyter-condabuild-tests"
    cache = Path(os.environ.get("JUPYTER_CONDABUILD_TEST_CACHE") or default)
    channel = channels.build(cache / "kernel", {"kernel"}, cache / "wheels")
    return prefix.create(folder / "envs" / "analysis", channels.SETS["kernel"].specs, channel.url, folder / "pkgs")


@contextmanager
def image_of(environment: Path, base: str, folder: Path, client: docker.DockerClient) -> Iterator[str]:
    """An image of an environment, in the registry of the base image and in the engine."""
    name = f"{base.partition('/')[0]}/image-kernels-{uuid.uuid4().hex}/env:v1"
    Workshop(folder, base).build(environment, reference=name, push=True, load=True)
    yield name
    client.images.remove(name, force=True)


@pytest.fixture(scope="session")
def kernel_image(
    tmp_path_factory: pytest.TempPathFactory,
    kernel_prefix: Path,
    base_reference: str,
    docker_client: docker.DockerClient,
) -> Iterator[str]:
    """An image with ipykernel, in the registry and in the engine."""
    with image_of(kernel_prefix, base_reference, tmp_path_factory.mktemp("image-kernels"), docker_client) as name:
        yield name


def _manifest_url(reference: str) -> str:
    host, _, rest = reference.partition("/")
    repository, _, tag = rest.rpartition(":")
    return f"http://{host}/v2/{repository}/manifests/{tag}"


def manifest_of(reference: str) -> dict[str, Any]:
    """Returns the manifest of an image in the registry."""
    response = httpx.get(_manifest_url(reference), headers={"Accept": OCI_MANIFEST})
    found: dict[str, Any] = response.raise_for_status().json()
    return found


def push_manifest(reference: str, manifest: dict[str, Any]) -> None:
    """Gives a name in the registry to an image, whose layers its repository has."""
    headers = {"Content-Type": manifest["mediaType"]}
    httpx.put(_manifest_url(reference), headers=headers, json=manifest).raise_for_status()


@contextmanager
def new_labmate(folder: Path) -> Iterator[Labmate]:
    """A user who has nothing yet. Temporary files have short paths, as those of users."""
    (folder / "notebooks").mkdir()
    with tempfile.TemporaryDirectory(prefix="k-") as temporary:
        run = CommandLine(folder, {"TMPDIR": temporary})
        yield Labmate(run, folder / "notebooks", Path(temporary))


@pytest.fixture
def labmate(tmp_path: Path) -> Iterator[Labmate]:
    """A user who has nothing yet."""
    with new_labmate(tmp_path) as made:
        yield made


def killed(process: subprocess.Popen[Any]) -> None:
    """Kills a process, and waits for its end."""
    process.kill()
    process.wait()
