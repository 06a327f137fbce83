"""jupyter condabuild kernel: the kernels of an image, installed for Jupyter, run in containers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import docker
import pytest
from jupyter_client.ioloop import AsyncIOLoopKernelManager

from jupyter_condabuild.conda.prefix.kernel import prefix_of_kernelspec
from jupyter_condabuild.conda.prefix.kernel_process import prefix_of_process
from jupyter_condabuild.errors import NotACondaKernel
from tests.conftest import missing
from tests.parts.builds import Workshop
from tests.parts.own_engines import own_docker
from tests.receive.image_kernels import (
    SECONDS,
    Labmate,
    containers,
    killed,
    leftovers,
    manifest_of,
    push_manifest,
    until,
)

SEEN = """
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
with open("made", "w") as made:
    made.write(open("data/table.csv").read())
print(json.dumps({
    "folder": os.getcwd(), "uid": os.getuid(), "capabilities": int(status["CapEff"], 16),
    "privileges": status["NoNewPrivs"].strip(), "networks": sorted(os.listdir("/sys/class/net")),
    "variables": {name: value for name, value in os.environ.items() if "CANARY" in name or "WANTED" in name},
    "zombies": [p for p in os.listdir("/proc") if p.isdigit() and ") Z " in open(f"/proc/{p}/stat").read()],
}))
"""

WAIT = "import time\ntry:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    print('interrupted')"


def test_a_kernel_has_the_folder_of_its_notebook_and_nothing_else(
    labmate: Labmate, kernel_image: str, tmp_path: Path
) -> None:
    """Relative paths work, files belong to the user, and a variable is handed on only if it was named.

    The kernel has no capability, no network if none is wanted, and no zombies. A cell can ask its user.
    """
    (labmate.folder / "data").mkdir()
    (labmate.folder / "data/table.csv").write_text("a,b\n")
    (tmp_path / "shared").mkdir()
    options = ("--network", "none", "--env", "WANTED", "--env", "NOT_SET", "--folder", str(tmp_path / "shared"))
    name = labmate.install(kernel_image, *options)
    with labmate.kernel(name, WANTED="yes", CANARY="secret") as cell:
        cell("import subprocess; subprocess.Popen(['sh', '-c', 'sleep 0 & exec sleep 0']).wait()")
        assert json.loads(cell(SEEN)) == {
            "folder": str(labmate.folder),
            "uid": os.getuid(),
            "capabilities": 0,
            "privileges": "1",
            "networks": ["lo"],
            "variables": {"WANTED": "yes"},
            "zombies": [],
        }
        made = labmate.folder / "made"
        assert (made.read_text(), made.stat().st_uid) == ("a,b\n", os.getuid())
        assert cell(f"import os; print(sorted(os.listdir({str(tmp_path)!r})))") == "['notebooks', 'shared']"
        assert cell("print(input('name?') * 2)", answer="ada").endswith("adaada")


def test_the_environment_of_a_kernel_of_an_image_is_not_that_of_the_server(labmate: Labmate, kernel_image: str) -> None:
    """Neither the kernelspec nor the running process is taken for a kernel in an environment of this machine."""
    name = labmate.install(kernel_image)
    with pytest.raises(NotACondaKernel, match="in a container of an image"):
        prefix_of_kernelspec(Path(labmate.kernelspecs.get_kernel_spec(name).resource_dir))
    with labmate.kernel(name) as cell, pytest.raises(NotACondaKernel, match="in a container of an image"):
        prefix_of_process(cell.process)


def test_a_kernel_says_that_its_image_has_moved(labmate: Labmate, kernel_image: str) -> None:
    """The log of the server says so once, and how the user gets the new image. The kernel runs meanwhile."""
    moving = f"{kernel_image.rpartition(':')[0]}:moving"
    manifest = manifest_of(kernel_image)
    push_manifest(moving, manifest)
    name = labmate.install(moving)
    push_manifest(moving, {**manifest, "annotations": {"moved": "yes"}})
    with labmate.kernel(name) as cell:
        assert cell("print(6 * 7)") == "42"
        said = f"jupyter-condabuild: {moving} has moved: 0 packages changed. To use it, install it again"
        assert until(lambda: said in cell.log.read_text())


def test_modules_in_the_folder_of_the_notebook_do_not_run_outside(labmate: Labmate, kernel_image: str) -> None:
    """A kernel can write into the folder. Its next start must not run what it wrote on the machine itself."""
    for module in ("docker", "json", "jupyter_condabuild", "tempfile"):
        said = "import os; os.path.exists('/run/condabuild') or open('ran-outside', 'w').close()\n"
        (labmate.folder / f"{module}.py").write_text(said)
    with labmate.kernel(labmate.install(kernel_image)):
        assert not (labmate.folder / "ran-outside").exists()


@pytest.mark.parametrize("mode", ["message", "signal"])
def test_a_cell_is_interrupted(labmate: Labmate, kernel_image: str, mode: str) -> None:
    """The kernel goes on with its variables, whether the client sends a message or a signal to the process."""
    name = labmate.install(kernel_image)
    file = Path(labmate.kernelspecs.get_kernel_spec(name).resource_dir, "kernel.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "interrupt_mode": mode}))
    with labmate.kernel(name) as cell:
        cell("kept = 7")
        message = cell.client.execute(f"open('begun', 'w')\n{WAIT}")
        until((labmate.folder / "begun").exists)
        cell.manager.interrupt_kernel()
        while (reply := cell.client.get_shell_msg(timeout=SECONDS))["parent_header"].get("msg_id") != message:
            pass
        assert reply["content"]["status"] == "ok"
        assert cell("print(kept)") == "7"


def test_two_kernels_of_an_image_and_a_restart(
    labmate: Labmate, kernel_image: str, docker_client: docker.DockerClient
) -> None:
    """Each kernel has its own variables and container. A restart replaces one container. Nothing is left at the end."""
    name = labmate.install(kernel_image)
    with labmate.kernel(name) as one, labmate.kernel(name) as other:
        one("x = 1")
        other("x = 2")
        assert (one("print(x)"), other("print(x)")) == ("1", "2")
        assert len(containers(docker_client, labmate.kernels)) == 2
        one.manager.restart_kernel()
        one.client.wait_for_ready(SECONDS)
        assert "NameError" in one("print(x)")
        assert other("print(x)") == "2"
        assert len(containers(docker_client, labmate.kernels)) == 2
        one.manager.shutdown_kernel()
        assert len(containers(docker_client, labmate.kernels)) == 1
    assert until(lambda: not any(leftovers(labmate, docker_client).values()))


def test_a_kernel_that_dies_is_started_again(labmate: Labmate, kernel_image: str) -> None:
    """The restarter of a Jupyter server notices the end of the kernel, and the same client reaches the next one."""
    name = labmate.install(kernel_image)

    async def run() -> None:
        manager = AsyncIOLoopKernelManager(**labmate.options(name))
        await manager.start_kernel(cwd=str(labmate.folder), env=labmate.environ())
        restarted = asyncio.Event()
        manager.add_restart_callback(restarted.set)
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(SECONDS)
            client.execute("import os; os.kill(os.getpid(), 9)")
            await asyncio.wait_for(restarted.wait(), SECONDS)
            await client.wait_for_ready(SECONDS)
            reply = await client.execute_interactive("x = 1", timeout=SECONDS, output_hook=lambda _: None)
            assert reply["content"]["status"] == "ok"
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)

    asyncio.run(run())


def test_want_of_memory_is_said(labmate: Labmate, kernel_image: str) -> None:
    """The log of the server says why the engine killed the kernel. Another kill is told apart."""
    name = labmate.install(kernel_image, "--memory", "150m")
    with labmate.kernel(name) as cell:
        cell.client.execute("bytearray(1 << 30)")
        assert until(lambda: cell.manager.provisioner.process.poll()) == 137  # type: ignore[union-attr]
        assert "because the kernel needed more memory than it may use" in cell.log.read_text()
    with labmate.kernel(name) as cell:
        cell.client.execute("import os; os.kill(os.getpid(), 9)")
        assert until(lambda: cell.manager.provisioner.process.poll()) == 137  # type: ignore[union-attr]
        assert "The kernel was killed. If nobody has killed it" in cell.log.read_text()


SERVER = """
import json, sys, time
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
options = json.loads(sys.argv[1])
folder = options.pop("folder")
manager = KernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[options.pop("kernels")]), **options)
manager.start_kernel(cwd=folder)
client = manager.client()
client.start_channels()
client.wait_for_ready(120)
client.execute("import time; time.sleep(600)")
print(manager.provisioner.pid, flush=True)
time.sleep(600)
"""


def test_nothing_is_left_of_a_killed_server(
    labmate: Labmate, kernel_image: str, docker_client: docker.DockerClient
) -> None:
    """A server that is killed takes its busy kernels with it, and so does a kernel's process that is killed.

    Containers, processes and the folders of the sockets are gone without another start of a kernel.
    """
    name = labmate.install(kernel_image)
    options = {key: value for key, value in labmate.options(name).items() if key != "kernel_spec_manager"}
    more = {"folder": str(labmate.folder), "kernels": labmate.kernelspecs.kernel_dirs[0]}
    command = [sys.executable, "-c", SERVER, json.dumps({**options, **more})]
    for victim in ("server", "kernel"):
        with subprocess.Popen(command, env=labmate.environ(), stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            kernel = int(server.stdout.readline())
            (found,) = containers(docker_client, labmate.kernels)
            assert found["Labels"]["org.jupyter.condabuild.server"] == str(server.pid)
            if victim == "kernel":
                os.kill(kernel, signal.SIGKILL)
                assert until(lambda: not containers(docker_client, labmate.kernels))
            killed(server)
        assert until(lambda: not any(leftovers(labmate, docker_client).values()))


def test_what_cannot_work_is_said(labmate: Labmate, kernel_image: str, tmp_path: Path) -> None:
    """An engine elsewhere, a folder that would hide the image, a broken kernelspec, and options without sense."""
    name = labmate.install(kernel_image)
    spec = labmate.kernelspecs.get_kernel_spec(name)
    connection = tmp_path / "connection.json"
    sockets = {f"{channel}_port": at for at, channel in enumerate(("shell", "iopub", "stdin", "control", "hb"))}
    connection.write_text(json.dumps({"transport": "ipc", "ip": str(tmp_path / "s"), **sockets}))

    def start(folder: Path, **more: str) -> str:
        command = [word.replace("{connection_file}", str(connection)) for word in spec.argv]
        environ = labmate.environ(**more)
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=SECONDS)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        return done.stderr

    for hiding in ("/usr", "/usr/lib", "/home"):
        assert "would hide files of the image" in start(Path(hiding))
    assert "is on another machine" in start(labmate.folder, DOCKER_HOST="ssh://ada@10.0.0.1")
    assert "No engine listens at unix:///nowhere.sock" in start(labmate.folder, DOCKER_HOST="unix:///nowhere.sock")
    connection.write_text("{}")
    assert "The connection file is not valid" in start(labmate.folder)
    Path(spec.resource_dir, "kernel.json").write_text("{}")
    assert "Install it again" in start(labmate.folder)
    for options, said in (
        (("--memory", "much"), "is not a size"),
        (("--env", "A=b"), "is not the name of a variable"),
        (("--folder", "/nowhere"), "There is no folder"),
        (("--folder", "/usr/share"), "would hide files of the image"),
    ):
        done = labmate.run("kernel", "install", *options, kernel_image)
        assert (done.status, said in done.err) == (2, True), done.err


OVER_TCP = """
import json, sys
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from jupyter_condabuild.receive.relay import Relay
folder, name, kernels, engine = sys.argv[1:]
with Relay({"engine": ("127.0.0.1", 2375)}) as relay:
    relay.connect({"engine": engine})
    manager = KernelManager(kernel_name=name, kernel_spec_manager=KernelSpecManager(kernel_dirs=[kernels]))
    manager.start_kernel(cwd=folder)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(120)
    seen = []
    client.execute_interactive("print(6 * 7)", output_hook=lambda m: seen.append(m["content"].get("text", "")))
    print("".join(seen).strip())
    client.stop_channels()
    manager.shutdown_kernel()
"""


def test_a_kernel_without_shared_sockets_has_ports_of_the_engine(
    labmate: Labmate, kernel_image: str, docker_client: docker.DockerClient
) -> None:
    """With an engine at a TCP address, as in a virtual machine, the engine chooses ports of the loopback address."""
    with own_docker(bridge=True) as engine:
        labmate.run.environ["DOCKER_HOST"] = engine.host
        name = labmate.install(kernel_image)
        words = (str(labmate.folder), name, labmate.kernelspecs.kernel_dirs[0], engine.host.removeprefix("unix://"))
        command = ["nsenter", f"--net={engine.network}", sys.executable, "-c", OVER_TCP, *words]
        environ = labmate.environ(DOCKER_HOST="tcp://127.0.0.1:2375", PYTHONPATH=str(Path(__file__).parents[2]))
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=2 * SECONDS)
        assert done.stdout == "42\n", done.stderr
        refused = labmate.run("kernel", "install", "--yes", kernel_image, environ={"DOCKER_HOST": "tcp://10.0.0.1:1"})
        assert (refused.status, "is on another machine" in refused.err) == (2, True)


def test_a_kernel_runs_with_podman(
    labmate: Labmate, kernel_prefix: Path, base_reference: str, tmp_path: Path, podman_engine: str
) -> None:
    """Files belong to the user, and nothing is left of a process that was killed."""
    if not shutil.which("catatonit"):
        missing("catatonit is not installed: Podman starts containers with it")
    archive = tmp_path / "image.tar"
    Workshop(tmp_path, base_reference).build(kernel_prefix, archive=str(archive))
    labmate.run.environ["DOCKER_HOST"] = podman_engine
    name = labmate.install(f"oci-archive:{archive}")
    with closing(docker.DockerClient(podman_engine)) as client:
        with labmate.kernel(name) as cell:
            assert cell("import os; open('made', 'w').close(); print(os.getcwd())") == str(labmate.folder)
            assert (labmate.folder / "made").stat().st_uid == os.getuid()
            assert len(containers(client, labmate.kernels)) == 1
            os.kill(cell.process, signal.SIGKILL)
            assert until(lambda: not containers(client, labmate.kernels))
        assert until(lambda: not any(leftovers(labmate, client).values()))
