"""run and kernel install with Apptainer on the PATH. A stand-in reads the arguments as Apptainer does: see there."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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
from tests.receive.image_kernels import Labmate, new_labmate, until

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
