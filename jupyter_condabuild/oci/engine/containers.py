"""Containers that an engine runs for the user, and the layers that an engine has.

Source: Engine API v1.41, "Create a container", "Attach to a container", "Inspect an image".
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from jupyter_condabuild.errors import BadImage, EngineFault
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.engine.faults import engine_errors
from jupyter_condabuild.oci.image import Digest
from jupyter_condabuild.system import owners
from jupyter_condabuild.system.process_tree import machine
from jupyter_condabuild.system.running_process import began

MOST_IMAGES = 500
"""The number of images of the engine whose layers are compared."""

STOP_SECONDS = 10
"""The time that the program of a container has to end, before the engine kills it."""

LABEL_OWNER = "org.jupyter.condabuild.owner"
"""The label of a container with the process that runs it (see `owner`)."""


def present_layers(daemon: Daemon, diff_ids: Sequence[Digest]) -> int:
    """Returns how many of an image's lowest layers the engine has, in one of its images.

    An engine shares a layer only if it has all layers below the layer, too. Raises EngineFault, EngineUnavailable.
    """
    wanted = [str(digest) for digest in diff_ids]
    most = 0
    with engine_errors("listing its images", daemon.where):
        for identity in [image["Id"] for image in daemon.client.images()][:MOST_IMAGES]:
            layers = (daemon.client.inspect_image(identity).get("RootFS") or {}).get("Layers") or []
            same = next((at for at, (one, other) in enumerate(zip(wanted, layers, strict=False)) if one != other), None)
            most = max(most, min(len(wanted), len(layers)) if same is None else same)
            if most == len(wanted):
                break
    return most


@dataclass(frozen=True)
class ContainerOptions:
    """The options of a container.

    The container has no capability of root and can get none. It sees no folder of the machine but `folders`.

    Args:
        command: the program; empty for the image's own.
        user: ``UID:GID``; empty for the user of the image.
        folders: the folders of the machine, by their paths in the container.
        work: the working folder of the program; empty for that of the image.
        ports: for each port of the container, the port of this machine; 0 for a free one.
        address: the address of this machine that has the ports: a loopback address.
        network: the network mode; empty for the engine's own.
        memory: the memory that the container may use, in bytes; 0 for no limit.
        terminal: whether the program gets a terminal.
        labels: labels of the container, besides `LABEL_OWNER`.
        removes_itself: whether the engine removes the container as soon as its program ends, also without this process.
    """

    image: str
    command: tuple[str, ...] = ()
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    work: str = ""
    ports: Mapping[int, int] = field(default_factory=dict)
    address: str = "127.0.0.1"
    network: str = ""
    memory: int = 0
    gpus: bool = False
    terminal: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    removes_itself: bool = False


@dataclass(frozen=True)
class State:
    """The state of the program of a container."""

    runs: bool
    killed_for_memory: bool


class Container:
    """A container of an engine. It is removed at the end of the context, with the program in it.

    Its program has an input that ends when the connection of `attach` ends, also if this process is killed.
    """

    def __init__(self, daemon: Daemon, options: ContainerOptions) -> None:
        self._daemon = daemon
        self._options = options
        self._made = 0.0
        self.id = ""

    def __enter__(self) -> Self:
        """Makes the container, without starting it. Raises EngineFault, EngineUnavailable."""
        from docker.types import DeviceRequest, Mount

        options, client = self._options, self._daemon.client
        mounts = [Mount(path, str(folder), type="bind") for path, folder in options.folders.items()]
        with _said_without_init(), engine_errors(f"making a container of {options.image}", self._daemon.where):
            host = client.create_host_config(
                network_mode=options.network or None,
                mounts=mounts,
                port_bindings={port: (options.address, here or None) for port, here in options.ports.items()},
                cap_drop=["ALL"],
                security_opt=["no-new-privileges", "label=disable"],
                init=True,
                mem_limit=options.memory or None,
                auto_remove=options.removes_itself,
                device_requests=[DeviceRequest(count=-1, capabilities=[["gpu"]])] if options.gpus else None,
            )
            if options.user and self._daemon.name.startswith("Podman") and self._is_rootless():
                host["UsernsMode"] = "keep-id"  # docker-py knows only Docker's own value
            self._made = time.time()
            self.id = client.create_container(
                options.image,
                list(options.command) or None,
                user=options.user or None,
                environment=dict(options.environment),
                ports=list(options.ports),
                host_config=host,
                tty=options.terminal,
                stdin_open=True,
                working_dir=options.work or None,
                labels={**options.labels, LABEL_OWNER: owner()},
            )["Id"]
        return self

    def _is_rootless(self) -> bool:
        """Whether the engine runs without root, so that the numbers of users in a container are others by default."""
        return any("rootless" in str(option) for option in self._daemon.client.info().get("SecurityOptions") or ())

    def __exit__(self, *_: object) -> None:
        if self._options.removes_itself:
            with suppress(EngineFault):  # the engine removes it, or has removed it
                self.remove()
            return
        with suppress(EngineFault), engine_errors("removing a container", self._daemon.where):
            self._daemon.client.stop(self.id, timeout=STOP_SECONDS)
        self.remove()

    def remove(self) -> None:
        """Kills the program and removes the container. Raises EngineFault, EngineUnavailable."""
        with engine_errors("removing a container", self._daemon.where):
            self._daemon.client.remove_container(self.id, force=True, v=True)

    def attach(self) -> Any:
        """Returns a socket with the input and the output of the program. Call it before `start`."""
        with engine_errors("connecting to a container", self._daemon.where):
            parameters = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            stream = self._daemon.client.attach_socket(self.id, params=parameters)
            return getattr(stream, "_sock", stream)

    def start(self) -> None:
        """Starts the program. Raises EngineFault, EngineUnavailable."""
        with engine_errors(f"starting {self._options.image}", self._daemon.where):
            self._daemon.client.start(self.id)

    def port(self, port: int) -> int:
        """Returns the port of this machine that leads to a port of the container. Raises EngineFault."""
        with engine_errors("reading the ports of a container", self._daemon.where):
            ports = self._daemon.client.inspect_container(self.id)["NetworkSettings"].get("Ports") or {}
            if not (bindings := ports.get(f"{port}/tcp")):
                raise EngineFault(
                    f"{self._daemon.name} leads no port of this machine to the container: it has no bridge network.",
                    "Use an engine with its usual network, or run a program that needs no port.",
                )
            return int(bindings[0]["HostPort"])

    def state(self) -> State:
        """Returns the state of the program."""
        with engine_errors("looking at a container", self._daemon.where):
            state = self._daemon.client.inspect_container(self.id)["State"]
            return State(bool(state["Running"]), bool(state.get("OOMKilled")))

    def wait(self) -> int:
        """Waits for the end of the program, and returns its exit status."""
        with engine_errors("waiting for a container", self._daemon.where):
            return int(self._daemon.client.wait(self.id, timeout=None)["StatusCode"])

    def wait_until_removed(self) -> int:
        """Waits until the engine has removed the container, and returns the exit status of its program."""
        with engine_errors("waiting for a container", self._daemon.where):
            return int(self._daemon.client.wait(self.id, timeout=None, condition="removed")["StatusCode"])

    def signal(self, name: str) -> None:
        """Sends a signal, such as ``SIGINT``, to the program."""
        with suppress(EngineFault), engine_errors("sending a signal", self._daemon.where):
            self._daemon.client.kill(self.id, name)

    def lacked_memory(self) -> bool:
        """Whether the engine has reported that the container had too little memory. The container may be gone."""
        with engine_errors("reading its events", self._daemon.where):
            chosen = {"container": self.id, "event": "oom"}
            until = f"{time.time():.6f}"  # later, the engine would wait for that time
            return any(self._daemon.client.events(since=f"{self._made:.6f}", until=until, filters=chosen))

    def resize(self, lines: int, columns: int) -> None:
        """Tells the program the size of its terminal."""
        with suppress(EngineFault), engine_errors("resizing a terminal", self._daemon.where):
            self._daemon.client.resize(self.id, lines, columns)

    def log(self, lines: int = 20) -> str:
        """Returns the last lines of the program's output."""
        with engine_errors("reading the output of a container", self._daemon.where):
            found: bytes = self._daemon.client.logs(self.id, tail=lines)
            return found.decode(errors="replace")


@contextmanager
def _said_without_init() -> Iterator[None]:
    """Says what to install if the engine lacks the program that starts a container's program. Raises EngineFault."""
    try:
        yield
    except EngineFault as error:
        if "init binary not found" not in error.message:
            raise
        raise EngineFault(error.message, "Install the package catatonit, which Podman needs for it.") from None


def read_folder(daemon: Daemon, image: str, path: str, most: int) -> dict[str, bytes]:
    """Returns the regular files in a folder of an image, by their paths below it. Nothing of the image runs.

    Args:
        path: the absolute path of the folder. If the image has no such folder, there are no files.
        most: the size in bytes that the folder may have, as a tar.

    Raises EngineFault, EngineUnavailable, and BadImage if the folder is larger.
    """
    import docker

    client = daemon.client
    with engine_errors(f"reading {path} of {image}", daemon.where):
        made = client.create_container(image, ["true"], network_disabled=True, labels={LABEL_OWNER: owner()})["Id"]
        data = bytearray()
        try:
            for chunk in client.get_archive(made, path)[0]:
                data += chunk
                if len(data) > most:
                    raise BadImage(f"The folder {path} of the image has more than {most} bytes.")
        except docker.errors.NotFound:
            return {}
        finally:
            client.remove_container(made, force=True, v=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return {
                member.name.partition("/")[2]: file.read()
                for member in tar
                if member.isfile() and (file := tar.extractfile(member))
            }
    except (tarfile.TarError, OSError, ValueError) as error:
        raise BadImage(f"The folder {path} of the image cannot be read: {error}.") from None


def owner() -> str:
    """Returns this process as the value of `LABEL_OWNER`: ``PLACE:PID:TICKS``, the ticks of its start."""
    return f"{_place()}:{os.getpid()}:{began(os.getpid())}"


def has_ended(value: str) -> bool:
    """Whether a value of `owner` is a process of this user that has ended here."""
    place, pid, start = (*value.split(":"), "", "")[:3]
    return place == _place() and pid.isdecimal() and began(int(pid)) != start


def remove_abandoned(daemon: Daemon) -> int:
    """Removes the containers of this user's processes that have ended here, and returns their number.

    Other machines, users and containers may use the same engine. Their containers stay.
    """
    removed = 0
    with engine_errors("listing its containers", daemon.where):
        for found in daemon.client.containers(all=True, filters={"label": LABEL_OWNER}):
            if has_ended(str(found["Labels"][LABEL_OWNER])):
                with suppress(EngineFault), engine_errors("removing a container", daemon.where):  # it may go by itself
                    daemon.client.remove_container(found["Id"], force=True, v=True)
                    removed += 1
    return removed


def _place() -> str:
    """Returns a hash of the machine, its start, the namespace of process numbers, and the user."""
    return hashlib.sha256(f"{machine()} {owners.account()}".encode()).hexdigest()[:16]
