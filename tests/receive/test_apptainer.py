"""run and kernel install with Apptainer on the PATH. A stand-in reads the arguments as Apptainer does: see there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

from jupyter_condabuild.errors import EngineUnavailable, UsageError
from jupyter_condabuild.events import Event, Log
from jupyter_condabuild.oci.engine.containers import ContainerOptions
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.receive import apptainer
from jupyter_condabuild.receive.local_engine import engine_or_sandbox
from jupyter_condabuild.requests.job_context import open_job
from jupyter_condabuild.requests.receive import RunRequest
from tests.conftest import missing
from tests.receive import apptainer_stand_in
from tests.receive.image_kernels import SECONDS, Labmate, new_labmate, until

SEEN = """
import json, os, socket
open("made", "w").close()
print(json.dumps([os.getcwd(), [name for _, name in socket.if_nameindex()], os.environ.get("WANTED"),
                  [name for name in os.environ if "CANARY" in name], os.environ["CONDA_PREFIX"]]))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the labmates of this module, so that an image is unpacked once."""
    return tmp_path_factory.mktemp("unpacked") / "store"


@pytest.fixture
def labmate(tmp_path: Path, store: Path) -> Iterator[Labmate]:
    """A user of a cluster: Apptainer is on the PATH, and bubblewrap is not."""
    if not shutil.which("bwrap"):
        missing("bubblewrap is not installed")
    with new_labmate(tmp_path) as made:
        programs = tmp_path / "bin"
        programs.mkdir()
        program = programs / "apptainer"
        program.write_text(f'#!/bin/sh\nPATH=$PATH:/usr/bin exec {sys.executable} {apptainer_stand_in.__file__} "$@"\n')
        program.chmod(0o755)
        for name in ("sh", "rm"):
            (programs / name).symlink_to(str(shutil.which(name)))
        made.run.environ |= {"PATH": str(programs), "CONDABUILD_STORE_DIR": str(store)}
        yield made


def test_apptainer_runs_an_image_in_the_folder_alone(labmate: Labmate, kernel_image: str) -> None:
    """The program has the folder as /work, the variables of the image, and no network; others see no token or name."""
    words = ("--without-engine", "--yes", "--network", "none", "--folder", labmate.folder, kernel_image)
    environ = {"CANARY": "x", "APPTAINER_BIND": "/etc:/host", "SINGULARITYENV_CANARY": "x"}
    done = labmate.run("run", *words, "python", "-c", SEEN, environ=environ)
    assert done.status == 0, done.err
    assert json.loads(done.out) == ["/work", ["lo"], None, [], "/opt/env"]
    assert (labmate.folder / "made").exists()


def test_apptainer_runs_a_kernel(labmate: Labmate, kernel_image: str) -> None:
    """The kernel has the folder of its notebook. Nothing is left after the client was killed."""
    name = labmate.install(kernel_image, "--without-engine", "--network", "none", "--env", "WANTED")
    with labmate.kernel(name, WANTED="$(touch owned)", CANARY="x") as cell:
        seen = [str(labmate.folder), ["lo"], "$(touch owned)", [], "/opt/env"]
        assert json.loads(cell(SEEN)) == seen
        cell.manager.signal_kernel(signal.SIGKILL)
    assert until(lambda: not list(labmate.temporary.iterdir()))


def test_apptainer_runs_a_sif(labmate: Labmate, tmp_path: Path) -> None:
    """The SIF starts its own program or the given one. It is asked about before, and no other command reads it."""
    sif = tmp_path / "env.sif"
    sif.write_bytes(b"sif")
    done = labmate.run("run", "--yes", "--folder", labmate.folder, sif, "python", "-c", "1")
    assert done.status == 0, done.err
    assert (done.json["action"], done.json["image"], done.json["words"]) == ("run", str(sif), ["python", "-c", "1"])
    flags = done.json["flags"]
    assert flags.keys() == {
        "containall",
        "cleanenv",
        "no-privs",
        "no-eval",
        "no-mount",
        "home",
        "workdir",
        "bind",
        "pwd",
    }
    assert (flags["bind"], flags["pwd"]) == ([f"{labmate.folder}:/work"], ["/work"])
    done = labmate.run("run", sif)
    assert (done.status, "Nobody says who built it" in done.err) == (2, True)
    done = labmate.run("inspect", sif)
    assert (done.status, "only Apptainer and Singularity read" in done.err) == (1, True)
    (tmp_path / "bin/apptainer").unlink()
    done = labmate.run("run", "--yes", sif)
    assert (done.status, "A SIF needs Apptainer" in done.err) == (1, True)


def started(labmate: Labmate, name: str) -> str:
    """Starts a kernel that cannot start, and returns what the log of the server has."""
    manager = KernelManager(**labmate.options(name))
    log = labmate.run.folder / f"{name}.log"
    with log.open("wb") as stderr:
        manager.start_kernel(cwd=str(labmate.folder), env=labmate.environ(), stderr=stderr)
    assert until(lambda: manager.provisioner.process.poll()) == 1  # type: ignore[union-attr]
    manager.shutdown_kernel(now=True)
    return log.read_text()


def test_apptainer_runs_the_kernel_of_a_sif(labmate: Labmate, kernel_image: str, tmp_path: Path) -> None:
    """The user is asked before anything of the SIF runs. A file in its place is refused, a copy of it is not."""
    sif = tmp_path / "env.sif"
    done = labmate.run("sif", kernel_image, "-o", sif, environ={"PATH": os.environ["PATH"]})
    assert done.status == 0, done.err
    done = labmate.run("kernel", "install", "env.sif")
    assert (done.status, "Nobody says who built it" in done.err) == (2, True)
    assert not list(tmp_path.glob("env.sif.*"))  # nothing was unpacked by the stand-in
    name = labmate.install("env.sif", "--network", "none", "--env", "WANTED")
    spec = labmate.kernelspecs.get_kernel_spec(name)
    assert (spec.display_name, spec.language, spec.metadata["debugger"]) == ("env.sif", "python", True)
    kernel = spec.metadata["condabuild"]
    assert kernel["digest"] == f"sha256:{hashlib.sha256(sif.read_bytes()).hexdigest()}"
    with labmate.kernel(name, WANTED="yes", CANARY="x") as cell:
        assert json.loads(cell(SEEN)) == [str(labmate.folder), ["lo"], "yes", [], "/opt/env"]
        message = cell.client.execute("open('begun', 'w'); import time; time.sleep(600)")
        until((labmate.folder / "begun").exists)
        cell.manager.interrupt_kernel()  # by a signal
        while cell.client.get_shell_msg(timeout=SECONDS)["parent_header"].get("msg_id") != message:
            pass
        assert cell("print(6 * 7)") == "42"
    assert until(lambda: not list(labmate.temporary.iterdir()))
    os.utime(sif)

    def news() -> str:
        [row] = labmate.run("kernel", "list", "--json").json["kernels"]
        return str(row["news"])

    assert news() == ""
    with sif.open("ab") as file:
        file.write(b"more")
    assert news().startswith(f"The SIF {sif} is another file than the one installed. To use it, install it again: ")
    assert (
        f"another file than the one installed. Install the kernel again: jupyter condabuild kernel install {sif}"
        in (started(labmate, name))
    )
    assert f"The SIF stays where it is: {sif}" in labmate.run("kernel", "remove", "env.sif").out
    sif.write_bytes(b"no SIF")  # for which the stand-in prints what it was asked
    done = labmate.run("kernel", "install", "--yes", "env.sif")
    assert (done.status, "has no Jupyter kernel" in done.err) == (1, True)
    for option, said in (("--add-ipykernel", "Nothing can be added to a SIF"), ("--memory=4g", "nothing limits")):
        assert said in labmate.run("kernel", "install", "--yes", option, "env.sif").err
    (tmp_path / "bin/apptainer").unlink()
    assert "A SIF needs Apptainer" in labmate.run("kernel", "install", "--yes", "env.sif").err


def test_the_options_of_apptainer_and_singularity(tmp_path: Path) -> None:
    """GPUs and a network of its own have their flags; Singularity gets none that it lacks; odd names are refused."""
    options = ContainerOptions("", command=("x",), gpus=True, folders={"/tmp/a/b": tmp_path}, work="/tmp/a/b")
    words = apptainer.words("/usr/bin/singularity", tmp_path / "a.sif", options, tmp_path)
    image, flags, command = apptainer_stand_in.parse(words[2:])
    assert (image, command, words[1]) == (str(tmp_path / "a.sif"), ["x"], "run")
    assert "nv" in flags
    assert not {"no-eval", "no-mount", "net"} & flags.keys()
    assert (tmp_path / "tmp/a/b").is_dir()  # where Apptainer mounts the folder
    with pytest.raises(UsageError, match="colon"):
        apptainer.words("apptainer", tmp_path, ContainerOptions("", folders={"/a,b": tmp_path}), tmp_path)


def test_apptainer_takes_the_place_of_an_engine_that_nobody_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an engine, Apptainer runs the image, and the log says so. An engine with a name has to answer."""

    def silent(*_: object, **__: object) -> Daemon:
        raise EngineUnavailable("No engine answers.")

    monkeypatch.setattr(Daemon, "connect", silent)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    (tmp_path / "singularity").touch(0o755)
    events: list[Event] = []
    place = ImageLocation.parse("lab.org/env:v1")

    def chosen(path: Path, docker_host: str = "") -> object:
        monkeypatch.setenv("PATH", str(path))
        request = RunRequest(reference=place, store_dir=tmp_path / "store", docker_host=docker_host)
        with open_job(request, events.append) as job:
            return engine_or_sandbox(request, tmp_path, job)

    assert chosen(tmp_path) == str(tmp_path / "singularity")
    assert [event.text for event in events if isinstance(event, Log)] == [
        f"No engine answers, so {tmp_path}/singularity runs the image."
    ]
    for path, host in ((tmp_path, "unix:///a.sock"), (tmp_path / "nowhere", "")):
        with pytest.raises(EngineUnavailable) as raised:
            chosen(path, host)
        assert "--without-engine" in raised.value.hint
