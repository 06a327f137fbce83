"""The commands for users of an image fit its destination and its program, and work when they are pasted."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.distribution.run_commands import ShareCommand, share_commands
from jupyter_condabuild.events import Finished
from jupyter_condabuild.jobs import build
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.requests.build import BuildRequest
from tests.conftest import missing
from tests.parts.builds import install, small_channel
from tests.parts.channel import prefix
from tests.parts.channel.package import File, Metadata
from tests.parts.jobs import build_request, silent
from tests.parts.users import NUMBER, Somebody, somebody

DIGEST = "sha256:" + "a" * 64
LAB = ("jupyter", "lab", "--ip=0.0.0.0")
PUSHED = build_request(prefix="/env", reference="registry.lab.org/team/env:v1", push=True)


def commands(
    request: BuildRequest, command: tuple[str, ...] = ("python",), *, copied: bool = False
) -> dict[str, ShareCommand]:
    """Returns the commands by tool, for an image with this command."""
    done = Finished(str(request.reference or ""), DIGEST, 1, 1, 1, 1, 1.0, request.archive_name, DIGEST, command)
    return {one.tool: one for one in share_commands(request, done, copied=copied)}


def test_a_pushed_image_is_pulled_and_run_by_name() -> None:
    """The container runs with the current folder as the current user.

    There is also a command for the environment alone.
    """
    found = commands(PUSHED)
    assert list(found) == ["docker", "podman", "apptainer", "conda"]
    name = "registry.lab.org/team/env:v1"
    assert found["docker"].text.splitlines() == [
        f"docker pull {name}",
        "docker run --rm -it \\",
        '  -v "$PWD":/work \\',
        '  -u "$(id -u):$(id -g)" \\',
        f"  {name}",
    ]
    assert found["podman"].text.splitlines() == [
        f"podman pull {name}",
        "podman run --rm -it \\",
        "  --security-opt label=disable \\",
        '  -v "$PWD":/work \\',
        "  --userns=keep-id \\",
        '  -u "$(id -u):$(id -g)" \\',
        f"  {name}",
    ]
    assert found["apptainer"].text.splitlines() == [
        f"apptainer pull env.sif docker://{name}",
        "apptainer exec --env PYTHONNOUSERSITE=1 env.sif \\",
        "  /opt/condabuild/entrypoint python",
    ]
    assert found["conda"].text.splitlines()[1] == "conda create --name env --file env.lock"
    assert {one.title for one in found.values()} >= {"Run Python with Docker", "Run Python with Podman"}


def test_jupyterlab_gets_a_port_on_this_machine_and_a_profile_for_a_hub() -> None:
    """The hub's profile has the digest of the image that was built."""
    found = commands(PUSHED, LAB)
    assert "-p 127.0.0.1:8888:8888" in found["docker"].text
    assert "-p 127.0.0.1:8888:8888" in found["podman"].text
    assert found["apptainer"].text.splitlines()[2].startswith("  /opt/condabuild/entrypoint jupyter lab")
    assert found["docker"].text.splitlines()[-3:] == [
        "  registry.lab.org/team/env:v1 \\",
        "  jupyter lab --ip=0.0.0.0 \\",
        "  --allow-root",
    ]
    assert max(map(len, found["docker"].text.splitlines()[3:-3])) <= 30
    every = commands(PUSHED, ("jupyter", "lab", "--ip=0.0.0.0", "--port=8888"))
    sif = commands(build_request(prefix="/env", archive="/home/me/my.sif"), LAB)["apptainer"].text
    assert sif == "apptainer run /home/me/my.sif \\\n  jupyter lab --ip=127.0.0.1 \\\n  --allow-root"
    assert "--ip=127.0.0.1 \\\n  --port=8888" in every["apptainer"].text  # the network is the host's
    configuration: dict[str, object] = {}
    spawner = type("KubeSpawner", (), {})()
    exec(found["jupyterhub"].text, {"c": type("Config", (), {"KubeSpawner": spawner})()}, configuration)
    (profile,) = spawner.profile_list  # type: ignore[attr-defined]
    assert profile["kubespawner_override"]["image"] == f"registry.lab.org/team/env@{DIGEST}"
    assert profile["kubespawner_override"]["working_dir"] == profile["kubespawner_override"]["environment"]["HOME"]


@pytest.mark.parametrize("registry", ["localhost:5000", "127.0.0.1:5000", "plain.lab.org"])
def test_a_registry_without_tls_is_marked(registry: str) -> None:
    """Docker accepts plain HTTP on loopback addresses by itself. Other registries need a setting."""
    request = replace(PUSHED, reference=Reference.parse(f"{registry}/env"), insecure_registries=("plain.lab.org",))
    found = commands(request)
    assert "--tls-verify=false" in found["podman"].text
    assert "--no-https" in found["apptainer"].text


def test_an_image_that_was_only_loaded_is_not_pulled() -> None:
    """No registry has the image."""
    request = replace(PUSHED, push=False, load=True)
    assert commands(request)["docker"].text.startswith("docker run ")
    assert list(commands(request)) == ["docker"]


@pytest.mark.parametrize("kind", ["", "oci-archive:", "docker-archive:"])
def test_an_archive_is_used_by_its_path_or_by_its_name_on_another_machine(kind: str) -> None:
    """The name in the archive is used if there is one. The path is quoted for a shell."""
    request = build_request(prefix="/env", archive=f"{kind}/home/me/my image.tar")
    found = commands(request)
    assert list(found) == ["docker", "podman", "apptainer"]
    assert found["docker"].text == "docker load --input '/home/me/my image.tar'"
    assert f"{kind or 'oci-archive:'}'/home/me/my image.tar'" in found["podman"].text
    copied = commands(request, copied=True)
    assert copied["docker"].text == "docker load --input 'my image.tar'"
    assert all("/home/me" not in command.text for command in copied.values())
    named = commands(replace(request, reference=Reference.parse("team/env:v1")))
    assert named["docker"].text.endswith(" docker.io/team/env:v1")


def test_a_sif_runs_with_apptainer() -> None:
    """A SIF starts with its own runscript."""
    request = build_request(prefix="/env", archive="/home/me/my env.sif")
    found = commands(request)
    assert {tool: command.text for tool, command in found.items()} == {
        "apptainer": "apptainer run '/home/me/my env.sif'"
    }
    assert commands(request, copied=True)["apptainer"].text == "apptainer run 'my env.sif'"


@pytest.fixture
def pushed(
    tmp_path: Path, rattler_prefix: Path, base_reference: str, registry: str, docker_client: docker.DockerClient
) -> Iterator[dict[str, ShareCommand]]:
    """The commands of an image that a test has built."""
    if not shutil.which("docker"):
        missing("The docker command is not installed")
    reference = f"{registry}/commands/shared:{tmp_path.name}"
    request = build_request(
        prefix=rattler_prefix,
        reference=reference,
        push=True,
        base=base_reference,
        store_dir=str(tmp_path / "store"),
    )
    done = build.run(request, silent).event
    yield {one.tool: one for one in share_commands(request, done)}
    with suppress(docker.errors.ImageNotFound):
        docker_client.images.remove(reference, force=True)


def pasted(text: str, folder: Path, typed: str = "", who: Somebody | None = None) -> str:
    """Returns the output of a terminal for a pasted command and typed input, as the tests' user or another one."""
    ours, theirs = pty.openpty()
    words = ["bash", "-e", "-c", text]
    command = who.command(*words) if who else words
    with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs) as shell:
        os.close(theirs)
        os.write(ours, typed.encode())
        shown = b""
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # the other end is closed: EIO (pty(7))
                break
            shown += data
    os.close(ours)
    assert shell.returncode == 0, shown.decode()
    return shown.decode()


def test_the_pasted_commands_work(pushed: dict[str, ShareCommand], tmp_path: Path, rattler_prefix: Path) -> None:
    """The image is pulled, and its Python runs in the current folder.

    A new file belongs to the user, and so does the lock file.
    """
    folder = tmp_path / "my folder"
    folder.mkdir()
    assert "42" in pasted(pushed["docker"].text, folder, PROGRAM)
    assert (folder / "made").read_text() == "/opt/env"
    assert (folder / "made").stat().st_uid == os.getuid()

    first, second = pushed["conda"].text.splitlines()
    pasted(first, folder)
    (name,) = re.findall(r"--file (\S+)", second)
    locked = load(folder / name)
    installed = {path.stem for path in (rattler_prefix / "conda-meta").glob("*.json")}
    assert {package.dist for package in locked.conda} == installed
    # conda cannot run here, but py-rattler can install from such a file.
    made = prefix.from_explicit(tmp_path / "made", folder / name, tmp_path / "cache")
    assert {path.stem for path in (made / "conda-meta").glob("*.json")} == installed
    program = ["-I", "-c", "import requests, sys; print(sys.prefix, requests.__file__.startswith(sys.prefix))"]
    out = subprocess.run([made / "bin/python", *program], check=True, capture_output=True, text=True).stdout
    assert out == f"{made} True\n"


PROGRAM = "import requests, sys; open('made', 'w').write(sys.prefix); print(6 * 7)\nexit()\n"


REFUSES_ROOT = b"""#!/bin/sh
case "$(id -u) $*" in
0*--allow-root | [1-9]*) echo "forty-two: $*" ;;
*) echo 'Running as root is not recommended. Use --allow-root to bypass.' && exit 1 ;;
esac
"""


def test_root_can_paste_the_command_for_jupyterlab(
    tmp_path: Path, base_reference: str, registry: str, docker_client: docker.DockerClient
) -> None:
    """JupyterLab refuses root without --allow-root. A program that does the same stands for it."""
    if not shutil.which("docker"):
        missing("The docker command is not installed")
    name = f"{registry}/commands/lab:{tmp_path.name}"
    packages = [(Metadata("jupyterlab", "4.9"), [File("bin/jupyter", REFUSES_ROOT, 0o755)])]
    request = build_request(
        prefix=install(tmp_path / "env", small_channel(tmp_path / "channel", packages), "jupyterlab"),
        reference=name,
        push=True,
        base=base_reference,
        store_dir=str(tmp_path / "store"),
    )
    done = build.run(request, silent).event
    text = next(one.text for one in share_commands(request, done) if one.tool == "docker")
    try:
        # The engine of the tests has no network for containers.
        assert "forty-two: lab" in pasted(text.replace("-p 127.0.0.1:8888:8888", "--network host"), tmp_path)
    finally:
        docker_client.images.remove(name, force=True)


def test_podman_runs_the_pasted_commands_without_root(pushed: dict[str, ShareCommand]) -> None:
    """The image is pulled from a registry without TLS. A new file in the current folder belongs to the user."""
    if not shutil.which("podman"):
        missing("podman is not installed")
    with somebody() as user:
        assert "42" in pasted(pushed["podman"].text, user.work, PROGRAM, user)
        assert (user.work / "made").read_text() == "/opt/env"
        assert (user.work / "made").stat().st_uid == NUMBER


@pytest.mark.parametrize("kind", ["", "docker-archive:"])
def test_the_pasted_commands_of_an_archive_work(
    kind: str, tmp_path: Path, base_archive: Path, docker_client: docker.DockerClient
) -> None:
    """Docker loads the archive, and runs the image by name. Podman runs the archive without root."""
    for program in ("docker", "podman"):
        if not shutil.which(program):
            missing(f"The {program} command is not installed")
    reference = "registry.lab.org/commands/archived:v1"
    packages = [(Metadata("numbers", "1.0"), [File("share/numbers", b"42")])]
    with somebody() as user:
        request = build_request(
            prefix=install(tmp_path / "env", small_channel(tmp_path / "channel", packages), "numbers"),
            reference=reference,
            archive=f"{kind}{user.home / 'my image.tar'}",
            base=f"oci-archive:{base_archive}",
            store_dir=str(tmp_path / "store"),
        )
        done = build.run(request, silent).event
        found = {one.tool: one for one in share_commands(request, done)}
        typed = "cp $CONDA_PREFIX/share/numbers made\ncat made\nexit\n"
        try:
            assert "42" in pasted(found["docker"].text, tmp_path, typed)
        finally:
            docker_client.images.remove(reference, force=True)
        assert "42" in pasted(found["podman"].text, user.work, typed, user)
        assert (tmp_path / "made").stat().st_uid == os.getuid()
        assert (user.work / "made").stat().st_uid == NUMBER
