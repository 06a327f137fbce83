"""Engines that a test starts, kills and fills. They do not change the machine: see scripts/enclosed.py."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from jupyter_condabuild.errors import EngineUnavailable
from jupyter_condabuild.oci.engine.daemon import Daemon
from tests.conftest import missing

ENCLOSED = [sys.executable, str(Path(__file__).parents[2] / "scripts/enclosed.py")]
"""The words before a command that must not change the machine."""

DISK = "3g"
"""The size of the disk of an engine. The disk is in memory, so that it is fast and needs no clean-up."""


@dataclass
class OwnEngine:
    """A Docker Engine of one test, with its files in `folder`."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def host(self) -> str:
        """The address of the engine."""
        return f"unix://{self.folder}/docker.sock"

    @property
    def network(self) -> str:
        """The file of the engine's network namespace (network_namespaces(7))."""
        pid = self.process.pid
        while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            pid = int(children[0])
            if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd":
                break
        return f"/proc/{pid}/ns/net"

    def start(self) -> None:
        """Starts the engine again after its end."""
        self.process = _dockerd(self.folder)
        until_it_answers(self.host, self.process).close()

    def kill(self) -> None:
        """Kills the engine, its containerd and its containers at once."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()


def _dockerd(folder: Path, *, bridge: bool = False) -> subprocess.Popen[bytes]:
    command = [*ENCLOSED, "dockerd", "--host", f"unix://{folder}/docker.sock", "--data-root", f"{folder}/data"]
    command += ["--iptables=false", "--ip6tables=false", *([] if bridge else ["--bridge=none"])]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


@contextmanager
def own_docker(size: str = "", *, bridge: bool = False) -> Iterator[OwnEngine]:
    """An empty Docker Engine, whose disk has a size if one is given.

    With a bridge, ports of its containers can be published, on addresses of the engine's own network.
    """
    with TemporaryDirectory(dir="/var/tmp") as name, _disk(Path(name, "data"), size):
        engine = OwnEngine(Path(name), _dockerd(Path(name), bridge=bridge))
        try:
            until_it_answers(engine.host, engine.process).close()
            yield engine
        finally:
            engine.process.terminate()
            engine.process.wait(60)


@contextmanager
def _disk(folder: Path, size: str) -> Iterator[None]:
    """A disk in memory if a size is given, otherwise a folder."""
    folder.mkdir()
    if not size:
        yield
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def own_podman(size: str = "") -> Iterator[str]:
    """The address of a Podman service with its own store, whose disk has a size if one is given."""
    with TemporaryDirectory(dir="/var/tmp") as folder, _disk(Path(folder, "store"), size):
        store = ["--root", f"{folder}/store", "--storage-driver", "overlay"]
        if shutil.which("runc"):
            # Debian's crun needs control groups that a small virtual machine may not have.
            store += ["--runtime", str(shutil.which("runc")), "--cgroup-manager", "cgroupfs"]
        address = f"unix://{folder}/podman.sock"
        command = [*ENCLOSED, "podman", *store, "system", "service", "--time", "0", address]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                until_it_answers(address, process).close()
                yield address
            finally:
                process.terminate()
                process.wait(60)


@pytest.fixture
def own_engine(request: pytest.FixtureRequest) -> Iterator[OwnEngine]:
    """An empty engine. A parameter is the size of its disk."""
    if os.getuid() or not shutil.which("dockerd"):
        missing("Only root can start a dockerd, and dockerd must be installed")
    with own_docker(getattr(request, "param", DISK)) as engine:
        yield engine


@pytest.fixture
def podman_engine() -> Iterator[str]:
    """The address of a Podman service of one test."""
    if os.getuid() or not shutil.which("podman"):
        missing("Only root can start an enclosed Podman, and podman must be installed")
    with own_podman(DISK) as address:
        yield address


def until_it_answers(address: str, process: subprocess.Popen[bytes]) -> Daemon:
    """Waits for an engine that is starting."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return Daemon.connect(address)
        except EngineUnavailable:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
