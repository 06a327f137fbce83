"""jupyter condabuild run: a program of an image gets the folder and the ids of the user, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import docker
import psutil
import pytest

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.engine.containers import LABEL_OWNER
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.receive.local_engine import refuse_remote
from tests.parts.builds import Workshop
from tests.parts.channel import prefix as prefixes
from tests.parts.command_line import CommandLine
from tests.parts.own_engines import OwnEngine, own_docker
from tests.parts.registry.pushing import connect, push_image
from tests.receive.image_kernels import manifest_of, push_manifest, until

SEEN = """
import json, os
with open("/work/made", "w") as made:
    made.write("1")
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "files": sorted(os.listdir("/work")), "uid": os.getuid(), "capabilities": int(status["CapEff"], 16),
    "privileges": status["NoNewPrivs"].strip(), "networks": sorted(os.listdir("/sys/class/net")),
    "secrets": [name for name in os.environ if "CANARY" in name],
}))
"""


@pytest.fixture(scope="module")
def image(
    session_workshop: Workshop, rattler_prefix: Path, base_reference: str, docker_client: docker.DockerClient
) -> Iterator[str]:
    """An image in the engine."""
    name = f"localhost/run:{uuid.uuid4().hex}"
    session_workshop.build(rattler_prefix, reference=name, load=True, base=base_reference)
    yield f"docker-daemon:{name}"
    docker_client.images.remove(name, force=True)


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    """The command line of a labmate, with an empty store."""
    return CommandLine(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the labmate."""
    made = tmp_path / "folder"
    made.mkdir()
    (made / "notebook.ipynb").write_text("{}")
    return made


def _left(client: docker.DockerClient, image: str) -> list[object]:
    return client.containers.list(all=True, filters={"ancestor": image.removeprefix("docker-daemon:")})


def test_a_program_gets_the_folder_and_nothing_else(
    run: CommandLine, image: str, folder: Path, docker_client: docker.DockerClient
) -> None:
    """It has the user's ids, no capability, no way to get one, no network if none is wanted, and no variables of ours.

    Files that it makes belong to the user. The container is removed.
    """
    words = ("--yes", "--network", "none", "--folder", folder, image, "python", "-c", SEEN)
    done = run("run", *words, environ={"CANARY": "secret"})
    assert done.status == 0, done.err
    assert done.json == {
        "files": ["made", "notebook.ipynb"],
        "uid": os.getuid(),
        "capabilities": 0,
        "privileges": "1",
        "networks": ["lo"],
        "secrets": [],
    }
    assert (folder / "made").stat().st_uid == os.getuid()
    assert _left(docker_client, image) == []


def test_the_program_has_the_streams_and_the_exit_status(run: CommandLine, image: str) -> None:
    """Input is passed on until its end; output and errors stay apart; the exit status is the program's."""
    code = "import sys; print(sys.stdin.read().upper()); print('error', file=sys.stderr); sys.exit(7)"
    done = run("run", "--yes", image, "python", "-c", code, input="piped\n")
    assert (done.status, done.out) == (7, "PIPED\n\n")
    assert done.err.endswith("error\n")


def test_nothing_runs_before_the_user_agrees(
    run: CommandLine, image: str, folder: Path, docker_client: docker.DockerClient
) -> None:
    """Without a terminal, an image that nobody vouches for is described and refused. With one, the user is asked."""
    words = ("run", "--folder", folder, image, "touch", "/work/ran")
    done = run(*words)
    assert done.status == 2
    assert "Unsigned: nobody says who built the image." in done.err
    assert "Starts: touch /work/ran." in done.err
    assert "--yes" in done.err
    for answer, status in (("n", 2), ("y", 0)):
        seen, code = run.in_a_terminal([*words], f"{answer}\n")
        assert "Run it? [y/N]" in seen
        assert code == status
        assert (folder / "ran").exists() is (answer == "y")
    assert _left(docker_client, image) == []


MOVES = """
import sys
from pathlib import Path
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.receive.run import run
from jupyter_condabuild.requests.receive import RunRequest
from tests.parts.registry.pushing import change_image

name, folder, without_engine = sys.argv[1:]

def ask(found):
    change_image(name, lambda config: config["config"]["Env"].append("MOVED=yes"))
    return True

image, program = ImageLocation.parse_any(name), ("sh", "-c", 'echo "moved: $MOVED"')
sys.exit(run(
    RunRequest(reference=image, command=program, folder=Path(folder), without_engine=bool(without_engine)), print, ask
))
"""


@pytest.mark.parametrize("without_engine", ["", "yes"])
def test_an_image_that_moves_after_the_question_does_not_run(
    run: CommandLine, kernel_image: str, folder: Path, without_engine: str
) -> None:
    """The program runs in the image that the user has seen, although its name means another one by then."""
    moving = f"{kernel_image.rpartition(':')[0]}:{uuid.uuid4().hex}"
    push_manifest(moving, manifest_of(kernel_image))
    command = [sys.executable, "-c", MOVES, moving, str(folder), without_engine]
    done = subprocess.run(command, env=run.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "moved: \n" in done.stdout
    assert manifest_of(moving)["config"]["digest"] != manifest_of(kernel_image)["config"]["digest"]


def test_a_program_has_the_terminal(run: CommandLine, image: str) -> None:
    """Python's prompt works: the keys go to the program, and its exit status comes back."""
    keys = "import os, sys; print(os.isatty(0), 6 * 7)\r\nsys.exit(5)\r\n"
    seen, status = run.in_a_terminal(["run", "--yes", image, "python"], keys)
    assert "True 42" in seen
    assert status == 5


def test_a_container_ends_with_the_command(run: CommandLine, image: str, docker_client: docker.DockerClient) -> None:
    """After Ctrl-C, the container is removed. After a kill, the next run removes it, and no container of others."""
    command = ("run", "--yes", image, "sh", "-c", "echo begun; exec sleep 600")
    process = run.start(*command)
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert _left(docker_client, image) == []
    name = image.removeprefix("docker-daemon:")
    label = {LABEL_OWNER: "another-machine/1/0:1:1"}
    other = docker_client.containers.run(name, ["sleep", "600"], labels=label, detach=True, network_mode="none")
    try:
        process = run.start(*command)
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        process.kill()
        process.communicate()
        assert len(_left(docker_client, image)) == 2
        assert run("run", "--yes", image, "true").status == 0
        assert [found.id for found in docker_client.containers.list(filters={"ancestor": name})] == [other.id]
    finally:
        other.remove(force=True)


def test_what_cannot_work_is_said(run: CommandLine, image: str) -> None:
    """No GPU toolkit, no such program, no such image, an option in the wrong place, no engine, an engine elsewhere."""
    done = run("run", "--yes", "--gpus", "all", image, "true")
    assert done.status == 1
    assert "--gpus none" in done.err
    assert run("run", "--yes", image, "no-such-program").status == 127
    done = run("run", "--yes", "docker-daemon:localhost/no-such-image:1")
    assert done.status == 1
    assert "no-such-image" in done.err
    done = run("run", image, "--yes")
    assert done.status == 2
    assert "stand before the name of the image" in done.err
    done = run("run", image, environ={"DOCKER_HOST": "unix:///nowhere.sock"})
    assert done.status == 1
    assert "nowhere.sock" in done.err
    for address in ("tcp://10.0.0.1:2376", "ssh://ada@lab.org"):
        with pytest.raises(UsageError, match="another machine"):
            refuse_remote(address, Path("/work"))
    for address in ("unix:///run/docker.sock", "npipe:////./pipe/docker_engine", "tcp://127.0.0.1:2375"):
        refuse_remote(address, Path("/work"))


LAB = """#!/opt/env/bin/python
import http.server, os, sys
given = dict(word.lstrip("-").split("=", 1) for word in sys.argv if "=" in word)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        allowed = self.path.endswith("token=" + os.environ["JUPYTER_TOKEN"])
        self.send_response(200 if allowed else 403)
        self.end_headers()
        self.wfile.write(",".join(sorted(os.listdir("."))).encode())
http.server.HTTPServer((given["ip"], int(given["port"])), Handler).serve_forever()
"""
GET = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"


@pytest.fixture(scope="module")
def lab_image(
    session_workshop: Workshop,
    tmp_path_factory: pytest.TempPathFactory,
    channel_url: str,
    package_cache: Path,
    base_reference: str,
    registry: str,
) -> str:
    """An image in the registry, with a server that only listens in place of JupyterLab."""
    prefix = prefixes.create(tmp_path_factory.mktemp("lab") / "env", ["python"], channel_url, package_cache)
    [site] = prefix.glob("lib/python3.*/site-packages")
    info = site / "jupyterlab-4.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jupyterlab\nVersion: 4.9\n")
    (info / "RECORD").write_text("jupyterlab-4.9.dist-info/METADATA,,\n../../../bin/jupyter,,\n")
    (prefix / "bin/jupyter").write_text(LAB.replace("/opt/env", str(prefix)))
    (prefix / "bin/jupyter").chmod(0o755)
    name = f"{registry}/run/{uuid.uuid4().hex}:v1"
    session_workshop.build(prefix, reference=name, push=True, base=base_reference)
    return name


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    """An engine with a network of its own. Programs join it with `inside`."""
    with own_docker(bridge=True) as engine:
        yield engine


def inside(engine: OwnEngine) -> list[str]:
    """Returns the words before a command that joins the network of an engine."""
    return ["nsenter", f"--net={engine.network}"]


def printed(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Returns the address that a run of JupyterLab prints, and all that it has printed until then."""
    assert process.stderr
    seen = ""
    for line in process.stderr:
        seen += line
        if "Ctrl-C" in line:
            break
    return next(word for word in seen.split() if word.startswith("http://127.")), seen


def test_jupyterlab_opens_at_an_address_of_this_machine(
    run: CommandLine, folder: Path, lab_image: str, engine: OwnEngine
) -> None:
    """The address answers when it is printed, with a token of this run; Ctrl-C ends JupyterLab with status 0.

    It is no address of other servers: a browser would send their cookies to the image.
    """
    words = run.command("run", "--yes", "--no-browser", "--folder", folder, lab_image)
    environ = {**run.environ, "DOCKER_HOST": engine.host}
    process = subprocess.Popen([*inside(engine), *words], stderr=subprocess.PIPE, text=True, env=environ)
    address, seen = printed(process)
    answer = subprocess.run([*inside(engine), sys.executable, "-c", GET, address], capture_output=True, text=True)
    assert answer.stdout == "notebook.ipynb\n", seen
    assert urlsplit(address).hostname != "127.0.0.1"
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "The container is removed." in rest
    done = run("run", "--yes", "--network", "none", lab_image, environ={"DOCKER_HOST": engine.host})
    assert "JupyterLab needs a network" in done.err
    with closing(docker.DockerClient(engine.host)) as client:
        assert client.containers.list(all=True) == []


def test_jupyterlab_opens_without_an_engine(run: CommandLine, folder: Path, lab_image: str) -> None:
    """It listens at the printed address alone, which no other server has. Ctrl-C ends it with status 0."""
    process = run.start("run", "--without-engine", "--yes", "--no-browser", "--folder", folder, lab_image)
    address, seen = printed(process)
    answer = subprocess.run([sys.executable, "-c", GET, address], capture_output=True, text=True)
    assert answer.stdout == "notebook.ipynb\n", seen
    found = urlsplit(address)
    listening = {
        one.laddr.ip for one in psutil.net_connections("tcp") if one.laddr.port == found.port and not one.raddr
    }
    assert listening == {found.hostname}
    assert found.hostname != "127.0.0.1"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


SERVER = """
import asyncio, os, sys, urllib.request
from jupyter_condabuild.requests.receive import RunRequest
from jupyter_condabuild.server.receive.runs import Runs

async def main(reference, digest, folder, ends):
    runs = Runs()
    started = await runs.start(RunRequest.parse({"reference": reference, "seen": digest, "folder": folder}))
    while started["state"] == "starting":
        await asyncio.sleep(0.1)
        [started] = runs.all()["runs"]
    assert started["fault"] is None, started
    print(urllib.request.urlopen(started["address"]).read().decode())
    if ends == "killed":
        os.kill(os.getpid(), 9)
    ended = await runs.end(started["id"])
    assert (ended["state"], ended["address"], runs.all()) == ("ended", "", {"runs": []})

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("ends", ["stopped", "killed"])
def test_jupyterlab_of_a_server_ends_with_the_run_and_with_the_server(
    run: CommandLine, folder: Path, lab_image: str, engine: OwnEngine, ends: str
) -> None:
    """A run of the REST API has an address that answers. Its container is removed, also if the server is killed."""
    environ = {**run.environ, "DOCKER_HOST": engine.host}
    digest = run("inspect", lab_image, "--json").json["digest"]
    words = [*inside(engine), sys.executable, "-u", "-c", SERVER, lab_image, digest, str(folder), ends]
    done = subprocess.run(words, capture_output=True, text=True, env=environ, timeout=120)
    assert done.stdout == "notebook.ipynb\n", done.stderr
    with closing(docker.DockerClient(engine.host)) as client:
        assert until(lambda: not client.api.containers(all=True))


def test_a_name_for_several_platforms_runs_the_image_for_this_machine(
    run: CommandLine, session_workshop: Workshop, rattler_prefix: Path, base_reference: str, registry: str, folder: Path
) -> None:
    """The image for another processor is not pulled, unless --platform asks for it."""
    repository = f"run/{uuid.uuid4().hex}"
    name = f"{registry}/{repository}:v1"
    session_workshop.build(rattler_prefix, reference=name, push=True, base=base_reference)
    with connect(registry) as opened:
        place = opened.repository(repository)
        entries = [
            replace(image.descriptor, platform={"os": "linux", "architecture": processor})
            for image, processor in ((place.manifest("v1"), "amd64"), (push_image(place), "arm64"))
        ]
        place.push_manifest(Index.make(entries), "v1")
    done = run("run", "--yes", "--folder", folder, name, "python", "-c", "print(6 * 7)")
    assert (done.status, done.out) == (0, "42\n"), done.err
    refused = run("run", "--yes", "--platform", "linux-ppc64le", "--folder", folder, name, "python")
    assert refused.status == 1
    assert "no variant for linux/ppc64le, only for linux/amd64, linux/arm64" in refused.err
