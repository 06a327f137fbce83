"""The environment is active in every process of a container, in the images of both engines."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_condabuild.oci.engine.daemon import Daemon
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.engines import DockerWorkshop
from tests.parts.small_image import HELLO, SAYS_HELLO

SCRIPTS = {
    "a": 'export SEEN="$#:$*" SCRIPT="of $CONDA_PREFIX"; set -- x y; export PATH="/added:$PATH"; echo noise',
    "b": "export NEVER=1; exit 3",
    "c": "set -eu; echo $NOT_SET",
}
SHOW = 'command -v tool; echo "$VARIABLE|$SCRIPT|$NEVER"'
ALL = "/opt/env/bin/tool\nof a package|of /opt/env|\n"


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """A package with two programs, activation scripts and variables."""
    entries = [
        *(File(f"etc/conda/activate.d/{name}.sh", text.encode()) for name, text in SCRIPTS.items()),
        File("etc/conda/env_vars.d/odd.json", b'{"VARIABLE": "of a package"}'),
        File("bin/tool", b"#!/bin/sh\nexit 0\n", 0o755),
        File("bin/greet", SAYS_HELLO, 0o755),
    ]
    return small_channel(tmp_path_factory.mktemp("odd"), [(Metadata("odd", "1"), entries)])


@dataclass(frozen=True)
class Loaded:
    """An image in an engine."""

    client: docker.DockerClient
    name: str

    def run(self, *command: str) -> tuple[int, str, str]:
        """Runs a command without the entrypoint, as 'docker exec' does. Returns the status, the output and the errors.

        The file system is read-only. The output of 'docker exec' itself can be lost if the command ends at once.
        """
        options: dict[str, Any] = {"network_mode": "none", "read_only": True, "entrypoint": [command[0]]}
        container = self.client.containers.create(self.name, list(command[1:]), **options)
        try:
            container.start()
            status = container.wait()["StatusCode"]
            return status, container.logs(stderr=False).decode(), container.logs(stdout=False).decode()
        finally:
            container.remove(force=True)


@pytest.fixture(scope="module", params=["layers", "docker"])
def running(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    odd: Channel,
    base_reference: str,
    docker_client: docker.DockerClient,
    installer_image: str,
) -> Iterator[Loaded]:
    """The image of each engine."""
    folder = tmp_path_factory.mktemp(request.param)
    made = install(folder / "env", odd, "odd")
    workshop = DockerWorkshop(folder, base_reference, installer_image=installer_image)
    name = f"localhost/activation:{uuid.uuid4().hex}"
    workshop.build(made, reference=name, load=True, engine=request.param)
    yield Loaded(docker_client, name)
    docker_client.images.remove(name, force=True)


def test_the_command_of_a_container_gets_all(running: Loaded) -> None:
    """Scripts that end their shell are named on stderr. What scripts print is on stderr. The command is unchanged."""
    command = ["sh", "-c", f'{SHOW}; echo "$SEEN|$#|$PATH"', "sh", "a b", "c"]
    container = running.client.containers.create(running.name, command, network_mode="none")
    try:
        container.start()
        assert container.wait()["StatusCode"] == 0
        errors = container.logs(stdout=False).decode()
        path = "/added:/opt/env/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        assert container.logs(stderr=False).decode() == f"{ALL}0:|2|{path}\n"
    finally:
        container.remove(force=True)
    assert "noise" in errors
    assert "activate.d/b.sh ended its shell with status 3" in errors
    assert "activate.d/c.sh ended its shell" in errors


def test_an_option_is_no_command(running: Loaded) -> None:
    """'docker run IMAGE --help' fails, and no script sees the option."""
    with pytest.raises(docker.errors.ContainerError) as raised:
        running.client.containers.run(running.name, ["--help"], network_mode="none", remove=True)
    assert raised.value.exit_status == 127
    assert b"--help: not found" in raised.value.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["bash", "-c", SHOW],
        ["bash", "-euo", "pipefail", "-c", SHOW.replace("$NEVER", "")],
        ["bash", "-lc", SHOW],
        ["bash", "-ic", SHOW],
        ["sh", "-lc", SHOW],
        ["env", "-i", "bash", "-lc", SHOW],
        ["env", "-i", "sh", "-lc", SHOW],
        ["env", "-i", "/opt/condabuild/entrypoint", "sh", "-c", SHOW],
        ["/opt/condabuild/entrypoint", "sh", "-c", SHOW],
        ["/opt/condabuild/entrypoint", "sh", "-lc", SHOW],
        ["/opt/condabuild/entrypoint", "bash", "-lc", SHOW],
        ["bash", "-c", f"env -i bash -lc '{SHOW}'"],
    ],
    ids=" ".join,
)
def test_other_processes_of_a_container_get_all(running: Loaded, command: list[str]) -> None:
    """These are login shells, shells of bash, and any program behind the entrypoint, such as a line of a crontab."""
    status, out, errors = running.run(*command)
    assert (status, out) == (0, ALL), errors
    assert "condabuild_" not in errors


def test_a_login_shell_of_a_jupyter_server_has_the_path_of_the_server(running: Loaded) -> None:
    """A terminal of JupyterLab is such a shell (docker-stacks issue 2043). The scripts do not run again."""
    status, out, errors = running.run("/opt/condabuild/entrypoint", "sh", "-c", 'sh -lc "echo \\$PATH"; echo $PATH')
    login, server = out.splitlines()
    assert status == 0
    assert login.startswith(f"{server}:")
    assert errors.count("b.sh") == 1


@pytest.mark.parametrize("command", [["tool"], ["sh", "-c", "tool && test $CONDA_PREFIX = /opt/env"]], ids=" ".join)
def test_all_other_processes_have_the_path(running: Loaded, command: list[str]) -> None:
    """'docker exec' of a program, and of a shell that reads no file, get the variables of the configuration."""
    assert running.run(*command) == (0, "", "")


def test_podman_starts_the_image_alike(
    workshop: Workshop, odd: Channel, base_reference: str, tmp_path: Path, podman_engine: str
) -> None:
    """The entrypoint, a script of bash, and a login shell without variables have all."""
    name = f"localhost/activation:{uuid.uuid4().hex}"
    made = install(tmp_path / "env", odd, "odd")
    workshop.build(made, reference=name, load=True, base=base_reference, docker_host=podman_engine)
    with Daemon.connect(podman_engine) as engine:
        for entrypoint, command in (
            (None, ["sh", "-c", SHOW]),
            (["bash"], ["-c", SHOW]),
            (["env"], ["-i", "sh", "-lc", SHOW]),
        ):
            status, text = engine.run(name, command, entrypoint=entrypoint, network="host")
            # The engine reads the two streams of a container one after the other.
            assert (status, ALL in text.replace("\r", "")) == (0, True), text


def test_a_base_without_a_shell_needs_no_entrypoint(
    workshop: Workshop, odd: Channel, tmp_path: Path, docker_client: docker.DockerClient
) -> None:
    """The small base has no shell. Without the entrypoint, the engine finds the programs of the environment in PATH."""
    name = f"localhost/no-shell:{uuid.uuid4().hex}"
    workshop.build(install(tmp_path / "env", odd, "odd"), reference=name, load=True)
    try:
        with pytest.raises(docker.errors.ContainerError) as raised:
            docker_client.containers.run(name, ["greet"], network_mode="none", remove=True)
        assert b"entrypoint: no such file" in raised.value.stderr
        container = docker_client.containers.create(name, [], entrypoint=["greet"], network_mode="none")
        try:
            container.start()
            container.wait()
            assert container.logs() == HELLO
        finally:
            container.remove()
    finally:
        docker_client.images.remove(name, force=True)
