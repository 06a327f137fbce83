"""The image at work: in a container the environment does what it does in its prefix."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
import rattler
import rattler.explicit_environment

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from tests.parts.builds import Workshop


@dataclass(frozen=True)
class Running:
    """The image of `rattler_prefix` in an engine."""

    client: docker.DockerClient
    name: str

    def __call__(self, *command: str, **options: Any) -> str:
        """What a command in a new container, without a network, writes to both of its outputs."""
        given = {"network_mode": "none", "remove": True, "stderr": True, **options}
        out: bytes = self.client.containers.run(self.name, list(command), **given)
        return out.decode()


@pytest.fixture(scope="module")
def running(
    session_workshop: Workshop, rattler_prefix: Path, base_reference: str, docker_client: docker.DockerClient
) -> Iterator[Running]:
    name = f"localhost/running:{uuid.uuid4().hex}"
    session_workshop.build(rattler_prefix, reference=name, load=True, base=base_reference)
    yield Running(docker_client, name)
    docker_client.images.remove(name, force=True)


def in_prefix(prefix: Path, *command: str) -> str:
    """The same on this machine, in the prefix itself."""
    env = {
        "PATH": f"{prefix}/bin:/usr/bin:/bin",
        "CONDA_PREFIX": str(prefix),
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
    }
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
    return done.stdout


IMPORT_ALL = """
import contextlib, io, json, os, pkgutil, sys, warnings
warnings.simplefilter("ignore")
names = {module.name for module in pkgutil.iter_modules()} | set(sys.builtin_module_names)
names -= {"antigravity", "this", "idlelib", "__main__", "__hello__", "__phello__"}  # a browser, a poem
done = {}
for name in sorted(names):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            __import__(name)
            done[name] = "imported"
        except BaseException as error:
            done[name] = type(error).__name__
print(json.dumps(done))
"""


def test_every_top_level_module_is_imported(running: Running, rattler_prefix: Path) -> None:
    """Those that the prefix imports, and no other; what fails there fails here in the same way."""
    here = json.loads(in_prefix(rattler_prefix, "python", "-c", IMPORT_ALL).splitlines()[-1])
    there = json.loads(running("python", "-c", IMPORT_ALL).splitlines()[-1])
    assert there == here
    assert {"requests", "tqdm", "ssl", "sqlite3", "ctypes", "charset_normalizer"} <= {
        name for name, how in there.items() if how == "imported"
    }


def scripts(prefix: Path) -> list[str]:
    """The programs in bin that are scripts of Python."""
    found = []
    for path in sorted((prefix / "bin").iterdir()):
        with path.open("rb") as file:
            line = file.readline()
        if path.is_file() and not path.is_symlink() and line.startswith(b"#!") and b"python" in line:
            found.append(path.name)
    return found


def test_console_scripts_run(running: Running, rattler_prefix: Path) -> None:
    """With --help and --version each ends as it does in the prefix."""
    names = scripts(rattler_prefix)
    assert {"pip", "normalizer", "templated", "tqdm"} <= set(names)
    loop = "for n in %s; do for o in --help --version; do $n $o >/dev/null 2>&1 </dev/null; echo $n $o $?; done; done"
    command = ("sh", "-c", loop % " ".join(names))
    there = running(*command)
    assert there == in_prefix(rattler_prefix, *command)
    assert "pip --version 0" in there


def test_programs_know_where_they_are(running: Running) -> None:
    """Compiled ones, shell scripts and Python ones."""
    assert running("greet") == "hello from /opt/env\n"
    assert running("where").splitlines()[0] == "/opt/env"
    assert running("where-python") == "/opt/env\n"
    assert running("templated") == "templated runs\n"


def test_bytecode_is_used_and_none_is_written(running: Running) -> None:
    """Not even by root, who could: a first import costs no more than on the host."""
    code = "import requests, tqdm, pip._internal.cli.main, charset_normalizer.api, json, asyncio"
    noise = running("python", "-v", "-c", code, user="root").splitlines()
    ours = [line for line in noise if "/opt/env/" in line]
    assert sum(" matches " in line for line in ours) > 100
    assert not [line for line in ours if "wrote" in line or "stale" in line]
    assert not [line for line in ours if line.startswith("# code object from") and line.endswith(".py")]


def test_conda_meta_is_that_of_the_prefix(running: Running, rattler_prefix: Path, tmp_path: Path) -> None:
    """The same packages, builds and hashes, as py-rattler reads them."""
    text = running("sh", "-c", "for f in /opt/env/conda-meta/*.json; do cat $f; done")
    found = set()
    for number, line in enumerate(text.splitlines()):
        (tmp_path / f"{number}.json").write_text(line)
        record = rattler.PrefixRecord.from_path(tmp_path / f"{number}.json")
        found.add(
            (record.name.normalized, str(record.version), str(record.build), record.sha256.hex(), record.md5.hex())
        )  # type: ignore[union-attr]
    records = snapshot(rattler_prefix).records
    assert found == {(record.name, record.version, record.build, record.sha256, record.md5) for record in records}


def test_the_image_prints_its_lock_file(running: Running, rattler_prefix: Path, tmp_path: Path) -> None:
    """As an explicit file, which conda and py-rattler install."""
    text = running("/opt/condabuild/lock")
    expected = dump(lock(snapshot(rattler_prefix)), "explicit")
    assert sorted(line for line in text.splitlines() if "://" in line) == sorted(
        line for line in expected.splitlines() if "://" in line
    )
    (tmp_path / "explicit.txt").write_text(text)
    environment = rattler.explicit_environment.ExplicitEnvironmentSpec.from_path(tmp_path / "explicit.txt")
    assert len(environment.packages) == len(snapshot(rattler_prefix).records)


HIDE_BASH = {"/dev/null": {"bind": "/usr/bin/bash", "mode": "ro"}}


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_activation_scripts_have_run(running: Running, shell: str) -> None:
    """Before any command, as after 'conda activate'; in an image without bash too, as far as sh understands them."""
    volumes = HIDE_BASH if shell == "sh" else {}
    out = running("sh", "-c", 'echo "$ACTIVATION_SEEN|$ACTIVATION_WORDS|$CONDABUILD_ACTIVE"', volumes=volumes)
    assert out == "/opt/env/share/activation|two words|\n"


@pytest.mark.parametrize("words", [["a b", "", "$HOME", "*", "'\"", "-n", "\\n"]])
def test_arguments_reach_the_command_as_they_are(running: Running, words: Sequence[str]) -> None:
    """The entrypoint changes none."""
    out = running("python", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words)
    assert json.loads(out) == words


def test_the_commands_status_is_the_containers(running: Running) -> None:
    """The entrypoint is replaced by the command, which gets the signals and gives the status."""
    with pytest.raises(docker.errors.ContainerError) as raised:
        running("sh", "-c", "exit 7")
    assert raised.value.exit_status == 7
    assert running("cat", "/proc/1/comm") == "cat\n"


@pytest.mark.parametrize("user", ["", "4242:4242", "root"])
def test_whoever_runs_it_has_a_home(running: Running, user: str) -> None:
    """A plain user without a name by default; any other finds home and work folder writable too."""
    command = 'touch ~/a /work/b && id -u && echo "$HOME" && pwd && test -w /opt/env; echo $?'
    out = running("sh", "-c", command, **({"user": user} if user else {})).split()
    number = user.partition(":")[0]
    assert out[:3] == [{"": "1000", "root": "0"}.get(number, number), "/home/user", "/work"]
    assert out[3] == ("0" if user == "root" else "1")


def test_without_a_command_it_is_python(running: Running) -> None:
    """JupyterLab where the environment has it; this one has not."""
    config = running.client.images.get(running.name).attrs["Config"]
    assert config["Cmd"] == ["python"]
    assert config["Entrypoint"] == ["/opt/condabuild/entrypoint"]
