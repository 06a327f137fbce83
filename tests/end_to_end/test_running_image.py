"""The running image: in a container, the environment behaves as in its prefix."""

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

from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from tests.parts.builds import Workshop


@dataclass(frozen=True)
class Running:
    """The image of `rattler_prefix` in an engine."""

    client: docker.DockerClient
    name: str

    def __call__(self, *command: str, **options: Any) -> str:
        """Returns the output and the errors of a command in a new container without a network."""
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
    """Returns the same for the prefix on this machine."""
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
    """A module can be imported in the image if it can be imported in the prefix. Otherwise the error is the same."""
    here = json.loads(in_prefix(rattler_prefix, "python", "-c", IMPORT_ALL).splitlines()[-1])
    there = json.loads(running("python", "-c", IMPORT_ALL).splitlines()[-1])
    assert there == here
    assert {"requests", "tqdm", "ssl", "sqlite3", "ctypes", "charset_normalizer"} <= {
        name for name, how in there.items() if how == "imported"
    }


def scripts(prefix: Path) -> list[str]:
    """Returns the programs in bin that are Python scripts."""
    found = []
    for path in sorted((prefix / "bin").iterdir()):
        with path.open("rb") as file:
            line = file.readline()
        if path.is_file() and not path.is_symlink() and line.startswith(b"#!") and b"python" in line:
            found.append(path.name)
    return found


def test_console_scripts_run(running: Running, rattler_prefix: Path) -> None:
    """With --help and --version, each has the same exit status as in the prefix."""
    names = scripts(rattler_prefix)
    assert {"pip", "normalizer", "templated", "tqdm"} <= set(names)
    loop = "for n in %s; do for o in --help --version; do $n $o >/dev/null 2>&1 </dev/null; echo $n $o $?; done; done"
    command = ("sh", "-c", loop % " ".join(names))
    there = running(*command)
    assert there == in_prefix(rattler_prefix, *command)
    assert "pip --version 0" in there


def test_programs_find_their_files(running: Running) -> None:
    """Compiled programs, shell scripts and Python scripts find their files."""
    assert running("greet") == "hello from /opt/env\n"
    assert running("where").splitlines()[0] == "/opt/env"
    assert running("where-python") == "/opt/env\n"
    assert running("templated") == "templated runs\n"


def test_bytecode_is_used_and_not_written(running: Running) -> None:
    """Root writes none either, although root has the permission. A first import is as fast as on the host."""
    code = "import requests, tqdm, pip._internal.cli.main, charset_normalizer.api, json, asyncio"
    noise = running("python", "-v", "-c", code, user="root").splitlines()
    ours = [line for line in noise if "/opt/env/" in line]
    assert sum(" matches " in line for line in ours) > 100
    assert not [line for line in ours if "wrote" in line or "stale" in line]
    assert not [line for line in ours if line.startswith("# code object from") and line.endswith(".py")]


def test_conda_meta_is_the_same_as_in_the_prefix(running: Running, rattler_prefix: Path, tmp_path: Path) -> None:
    """py-rattler reads the same packages, builds and hashes."""
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
    """The output is an explicit file, which conda and py-rattler install: each package after its dependencies."""
    text = running("/opt/condabuild/lock")
    packages = lock(snapshot(rattler_prefix)).conda
    urls = [line.partition("#")[0] for line in text.splitlines() if "://" in line]
    assert sorted(line for line in text.splitlines() if "://" in line) == sorted(
        f"{package.url}#{package.sha256}" for package in packages
    )
    place = {package.name: urls.index(package.url) for package in packages}
    for package in packages:
        needed = [spec.split()[0] for spec in package.depends]
        assert all(place[name] < place[package.name] for name in needed if name in place), package.name
    (tmp_path / "explicit.txt").write_text(text)
    environment = rattler.explicit_environment.ExplicitEnvironmentSpec.from_path(tmp_path / "explicit.txt")
    assert len(environment.packages) == len(snapshot(rattler_prefix).records)


HIDE_BASH = {"/dev/null": {"bind": "/usr/bin/bash", "mode": "ro"}}


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_activation_scripts_have_run(running: Running, shell: str) -> None:
    """The scripts run before any command, as after 'conda activate'.

    In an image without bash, sh runs them if it can.
    """
    volumes = HIDE_BASH if shell == "sh" else {}
    out = running("sh", "-c", 'echo "$ACTIVATION_SEEN|$ACTIVATION_WORDS|$CONDABUILD_ACTIVE"', volumes=volumes)
    assert out == "/opt/env/share/activation|two words|\n"


@pytest.mark.parametrize("words", [["a b", "", "$HOME", "*", "'\"", "-n", "\\n"]])
def test_arguments_are_passed_unchanged(running: Running, words: Sequence[str]) -> None:
    """The entrypoint changes no argument."""
    out = running("python", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words)
    assert json.loads(out) == words


def test_the_container_has_the_status_of_the_command(running: Running) -> None:
    """The command replaces the entrypoint, gets the signals, and gives the exit status."""
    with pytest.raises(docker.errors.ContainerError) as raised:
        running("sh", "-c", "exit 7")
    assert raised.value.exit_status == 7
    assert running("cat", "/proc/1/comm") == "cat\n"


@pytest.mark.parametrize("user", ["", "4242:4242", "root"])
def test_every_user_has_a_home(running: Running, user: str) -> None:
    """The default user has no name and no privileges. Any other user can also write to the home and work folders."""
    command = 'touch ~/a /work/b && id -u && echo "$HOME" && pwd && test -w /opt/env; echo $?'
    out = running("sh", "-c", command, **({"user": user} if user else {})).split()
    number = user.partition(":")[0]
    assert out[:3] == [{"": "1000", "root": "0"}.get(number, number), "/home/user", "/work"]
    assert out[3] == ("0" if user == "root" else "1")


def test_the_default_command_is_python(running: Running) -> None:
    """The default command is JupyterLab if the environment has JupyterLab. This environment does not have it."""
    config = running.client.images.get(running.name).attrs["Config"]
    assert config["Cmd"] == ["python"]
    assert config["Entrypoint"] == ["/opt/condabuild/entrypoint"]
