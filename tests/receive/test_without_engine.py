"""run and kernel install --without-engine: the image is unpacked, and runs in a sandbox of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from jupyter_client.manager import KernelManager

from jupyter_condabuild.errors import EngineUnavailable
from jupyter_condabuild.image.paths import PREFIX
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.engine.containers import ContainerOptions
from jupyter_condabuild.receive import bubblewrap
from tests.conftest import missing
from tests.oci.tree.test_merged import layer
from tests.parts.command_line import CommandLine
from tests.parts.small_image import image, program, programs, tar
from tests.receive.image_kernels import SECONDS, Labmate, new_labmate, until

SEEN = """
import glob, json, os, socket
with open("made", "w") as made:
    made.write(os.environ.get("WANTED", ""))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
def writes(path):
    try:
        open(path, "a").close()
    except OSError as error:
        return error.strerror
print(json.dumps({
    "folder": os.getcwd(), "uid": os.getuid(), "capabilities": int(status["CapBnd"], 16),
    "privileges": status["NoNewPrivs"].strip(), "networks": [name for _, name in socket.if_nameindex()],
    "secrets": [name for name in os.environ if "CANARY" in name], "processes": len(glob.glob("/proc/[0-9]*")) < 6,
    "prefix": __import__("sys").prefix, "home": writes(os.path.expanduser("~/file")), "temporary": writes("/tmp/file"),
    "image": writes("/opt/env/file"), "root": writes("/file"), "host": os.path.exists(%r),
}))
"""


@pytest.fixture(autouse=True)
def sandboxes() -> None:
    """This machine has bubblewrap."""
    if not shutil.which("bwrap"):
        missing("bubblewrap is not installed")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the labmates of this module, so that an image is unpacked once."""
    return tmp_path_factory.mktemp("unpacked") / "store"


@pytest.fixture
def labmate(tmp_path: Path, store: Path) -> Iterator[Labmate]:
    """A user without an engine."""
    with new_labmate(tmp_path) as made:
        made.run.environ |= {"CONDABUILD_STORE_DIR": str(store), "DOCKER_HOST": "unix:///nowhere.sock"}
        yield made


def run(labmate: Labmate, *words: str | Path, **more: str) -> tuple[int, str, str]:
    done = labmate.run("run", "--without-engine", "--yes", "--folder", labmate.folder, *words, environ=more)
    return done.status, done.out, done.err


def test_a_program_runs_without_an_engine_and_sees_the_folder_alone(
    labmate: Labmate, kernel_image: str, tmp_path: Path
) -> None:
    """It has the user's ids, no capability, no way to get one, no network if none is wanted, and no variables of ours.

    It writes to the folder, to a home and to temporary files of its own, and to nothing else.
    """
    (labmate.folder / "notebook.ipynb").write_text("{}")
    status, out, err = run(labmate, "--network", "none", kernel_image, "python", "-c", SEEN % str(tmp_path), CANARY="x")
    assert status == 0, err
    assert json.loads(out) == {
        "folder": "/work",
        "uid": os.getuid(),
        "capabilities": 0,
        "privileges": "1",
        "networks": ["lo"],
        "secrets": [],
        "processes": True,
        "prefix": PREFIX,
        "home": None,
        "temporary": None,
        "image": "Read-only file system",
        "root": "Read-only file system",
        "host": False,
    }
    assert (labmate.folder / "made").stat().st_uid == os.getuid()
    code = "import sys; print(sys.stdin.read()); sys.exit(7)"
    done = labmate.run("run", "--without-engine", "--yes", kernel_image, "python", "-c", code, input="piped")
    assert (done.status, done.out) == (7, "piped\n")
    assert "Unpacking" in err
    assert "Unpacking" not in done.err  # the store has it
    refused = labmate.run("run", "--without-engine", kernel_image, "python")
    assert (refused.status, "Unsigned" in refused.err) == (2, True)
    refused = labmate.run("run", "--without-engine", "--yes", "--gpus", "all", kernel_image, "python")
    assert "has no GPUs" in refused.err


def test_a_program_without_an_engine_ends_with_the_command(labmate: Labmate, kernel_image: str) -> None:
    """After Ctrl-C and after a kill, no process and no folder of it is left."""
    for number, status in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        words = ("run", "--without-engine", "--yes", kernel_image, "sh", "-c", "echo begun; exec sleep 618")
        process = labmate.run.start(*words)
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == status
        assert until(
            lambda: not [one for one in psutil.process_iter(["cmdline"]) if "618" in (one.info["cmdline"] or ())]
        )


def test_a_kernel_runs_without_an_engine(labmate: Labmate, kernel_image: str, tmp_path: Path) -> None:
    """It has the folder of its notebook and no network; it is interrupted, restarted, and leaves nothing."""
    name = labmate.install(kernel_image, "--without-engine", "--network", "none", "--env", "WANTED")
    with labmate.kernel(name, WANTED="yes", CANARY="secret") as cell:
        seen = json.loads(cell(SEEN % str(tmp_path / "home")))
        assert (seen["folder"], seen["networks"], seen["secrets"], seen["host"]) == (
            str(labmate.folder),
            ["lo"],
            [],
            False,
        )
        assert (labmate.folder / "made").read_text() == "yes"
        cell("kept = 7")
        interrupts = (cell.manager.interrupt_kernel, lambda: os.kill(cell.process, signal.SIGINT))
        for number, interrupt in enumerate(interrupts):  # by a message, and by a signal
            message = cell.client.execute(f"open('begun{number}', 'w'); import time; time.sleep(600)")
            until((labmate.folder / f"begun{number}").exists)
            interrupt()
            while cell.client.get_shell_msg(timeout=SECONDS)["parent_header"].get("msg_id") != message:
                pass
            assert cell("print(kept)") == "7"
        cell.manager.restart_kernel()
        cell.client.wait_for_ready(60)
        assert "NameError" in cell("print(kept)")
    assert until(lambda: not list(labmate.temporary.iterdir()))
    assert labmate.run("prune", "--keep-bytes", "0").status == 0
    manager = KernelManager(**labmate.options(name))
    with (tmp_path / "log").open("wb") as stderr:
        manager.start_kernel(cwd=str(labmate.folder), env=labmate.environ(), stderr=stderr)
    assert until(lambda: manager.provisioner.process.poll()) == 1  # type: ignore[union-attr]
    manager.shutdown_kernel(now=True)
    assert "not in the store any more" in (tmp_path / "log").read_text()
    assert "until it is pruned" in labmate.run("kernel", "remove", kernel_image).out


def test_without_bubblewrap_the_next_step_is_said(
    labmate: Labmate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the package, and the command that makes an environment of the image; elsewhere, an engine."""
    monkeypatch.setattr(bubblewrap.platform, "system", lambda: "Darwin")
    with pytest.raises(EngineUnavailable, match="Linux only"):
        bubblewrap.require()
    (tmp_path / "bin").mkdir()
    done = labmate.run("run", "--without-engine", "localhost:1/a:1", environ={"PATH": str(tmp_path / "bin")})
    assert done.status == 1
    assert "apt-get install bubblewrap" in done.err
    assert "jupyter condabuild recreate" in done.err
    done = labmate.run("kernel", "install", "--without-engine", "--memory", "4g", "localhost:1/a:1")
    assert (done.status, "nothing limits the memory" in done.err) == (2, True)


def test_a_program_that_the_image_lacks_is_said(tmp_path: Path) -> None:
    """The exit status is 127, as with an engine, also in a terminal. A program's own status 1 stays."""
    fails = program(b"\xb8\x3c\0\0\0\xbf\x01\0\0\0\x0f\x05")  # exit(1)
    archive.write(image([tar({"fails": fails}, 0o755)]), "", tmp_path / "tiny.tar")
    command = CommandLine(tmp_path)
    words: list[str | Path] = ["run", "--without-engine", "--yes", f"oci-archive:{tmp_path}/tiny.tar"]
    done = command(*words, "nosuch")
    assert (done.status, "The image may lack it" in done.err) == (127, True), done.err
    assert command(*words, "/fails").status == 1
    seen, status = command.in_a_terminal([*words, "nosuch"], "")
    assert (status, "The image may lack it" in seen) == (127, True), seen


def test_a_link_of_the_image_does_not_move_a_folder_of_the_user(tmp_path: Path) -> None:
    """/home, /work and others may be links or files in a stranger's image: the user's folders have their own paths."""
    links = ("work", "-> /etc"), ("home", "-> /usr"), ("tmp", "-> /"), ("run", b"file"), ("etc/resolv.conf", "-> /a")
    archive.write(image([layer(*links), programs()], Cmd=["/hello"]), "", tmp_path / "evil.tar")
    (tmp_path / "mine").mkdir()
    words = ("run", "--without-engine", "--yes", "--folder", tmp_path / "mine", f"oci-archive:{tmp_path}/evil.tar")
    done = CommandLine(tmp_path)(*words)
    assert (done.status, done.out) == (7, "hello from inside\n"), done.err
    (root,) = (tmp_path / "store/unpacked/images").glob("*/root")
    mine = {"/work": tmp_path / "mine", "/home/ada": tmp_path / "mine"}
    options = ContainerOptions("", command=("/hello",), folders=mine, work="/home/ada")
    command = bubblewrap.words(root, options, {})
    assert not {"/work", "/home", "/tmp", "/etc/resolv.conf"} & set(_targets(command, "--symlink"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "hello from inside\n"), done.stderr


def _targets(command: list[str], option: str) -> list[str]:
    return [command[at + 2] for at, word in enumerate(command) if word == option]


def test_no_variable_of_the_image_has_an_effect_outside_of_the_sandbox(tmp_path: Path) -> None:
    """The loader of every program obeys variables: LD_PRELOAD would run a file of a stranger, LD_DEBUG writes one."""
    seen = tmp_path / "seen"
    evil = [f"LD_DEBUG_OUTPUT={seen}", "LD_DEBUG=libs"]
    archive.write(image([programs()], Env=evil, Cmd=["/hello"]), "", tmp_path / "evil.tar")
    done = CommandLine(tmp_path)("run", "--without-engine", "--yes", f"oci-archive:{tmp_path}/evil.tar")
    assert (done.status, done.out) == (7, "hello from inside\n"), done.err
    assert not list(tmp_path.glob("seen*"))
    archive.write(image([programs()], Env=[f"LONG={'x' * 200_000}"], Cmd=["/hello"]), "", tmp_path / "long.tar")
    done = CommandLine(tmp_path)("run", "--without-engine", "--yes", f"oci-archive:{tmp_path}/long.tar")
    assert (done.status, "variables of the image are longer" in done.err) == (1, True)
