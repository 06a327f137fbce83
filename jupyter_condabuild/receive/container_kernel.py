"""The process that a Jupyter client starts as a kernel: it runs the kernel in a container, and ends with it.

``python -m jupyter_condabuild.receive.container_kernel KERNEL_JSON CONNECTION_FILE``. It behaves as the kernel's own
process would: signals reach the kernel, the exit status is the kernel's, and nothing is left when it ends. If it is
killed, the engine closes the input of the container's program, which then ends the kernel (see `_TIED`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from jupyter_condabuild.errors import OUTSIDE, CondaBuildError, EngineFault, UsageError, from_os_error
from jupyter_condabuild.files import read_regular
from jupyter_condabuild.oci.engine.containers import Container, ContainerOptions, remove_abandoned
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.receive.attachment import frames
from jupyter_condabuild.receive.kernelspecs import CONNECTION_FILE, ImageKernel, read, refuse_hiding
from jupyter_condabuild.receive.local_engine import has_gpu, refuse_named, refuse_remote, said_without_gpus
from jupyter_condabuild.receive.local_image import LocalImage
from jupyter_condabuild.receive.relay import CHANNELS, Address, Relay, addresses
from jupyter_condabuild.receive.sif_file import refuse_changed
from jupyter_condabuild.system import owners
from jupyter_condabuild.system.process_tree import end_after
from jupyter_condabuild.text import clean

INSIDE = "/run/condabuild"
"""The folder in a container with the connection file and the sockets of its kernel."""

PORTS = dict(zip(CHANNELS, range(47001, 47006), strict=True))
"""The ports of a kernel in its container."""

LABEL_KERNEL = "org.jupyter.condabuild.kernel"
"""The label of a container with the id of its kernel: the name of the connection file."""

LABEL_SERVER = "org.jupyter.condabuild.server"
"""The label of a container with the process number of the Jupyter client."""

_TIED = """
((while read -r _; do :; done <&3; kill -KILL $$) &) 3<&0 </dev/null >/dev/null 2>&1
exec "$@" </dev/null
"""
"""Runs a command that is killed when the input ends. The loop is no child of the command, so a kernel leaves it."""

_MOST_BYTES = 1 << 16
_KILLED = 137
"""The exit status of a program that was killed: 128 and the number of the signal (signal(7))."""

_NEWS_SECONDS = 3
"""The time after which the image of a kernel is looked up: the start of the kernel comes first."""

_LONGEST_FOLDER = 60
"""A Unix socket has a path of at most 107 bytes (unix(7))."""


def main() -> NoReturn:
    """Runs a kernel, and ends the process with the exit status of the kernel, or 1 after an error."""
    status = 1
    try:
        _, kernelspec, connection_file = sys.argv
        signal.signal(signal.SIGTERM, _end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # until the kernel can take it
        threading.Thread(target=_end_with_parent, daemon=True).start()
        kernel = read(Path(kernelspec))
        if kernel.pinned:
            news = threading.Timer(_NEWS_SECONDS, _tell_news, (kernelspec,))
            news.daemon = True
            news.start()
        status = run(kernel, Path(connection_file), Path.cwd())
    except CondaBuildError as error:
        _say(f"{error.message} {error.hint}")
    except KeyboardInterrupt:
        status = 128 + signal.SIGTERM
    sys.stderr.flush()
    os._exit(status)  # threads of the relay may still wait for a client


def run(kernel: ImageKernel, connection_file: Path, folder: Path) -> int:
    """Runs a kernel in a container until it ends, and returns its exit status.

    Args:
        folder: the folder of the notebook. The kernel sees it at the same path.

    Raises UsageError, EngineUnavailable, EngineFault, StoreError.
    """
    connection = _read_connection(connection_file)
    refuse_hiding(folder)
    refuse_named(kernel.docker_host, folder)
    if kernel.sandbox:
        return _run_here(kernel, connection, folder)
    with Relay(addresses(connection)) as relay, Daemon.connect(kernel.docker_host or None) as daemon:
        refuse_remote(daemon.where, folder)
        remove_abandoned(daemon)
        shared = _shares_sockets(daemon)
        if not shared and kernel.network == "none":
            raise UsageError(
                f"{daemon.name} runs in a virtual machine, where a kernel needs a network.",
                "Install the kernel without --network none.",
            )
        with _own_folder() as own:
            inner = {"transport": "ipc", "ip": f"{INSIDE}/s"} if shared else {"transport": "tcp", "ip": "0.0.0.0"}  # noqa: S104  of the container
            _write_connection(own, connection, inner)
            options = _options(kernel, folder, own)
            options = replace(
                options,
                image=_image(kernel, daemon),
                user=owners.container_user(),
                ports={} if shared else dict.fromkeys(PORTS.values(), 0),
                memory=kernel.memory,
                labels={LABEL_KERNEL: connection_file.stem, LABEL_SERVER: os.environ.get("JPY_PARENT_PID", "")},
                removes_itself=True,
            )
            with said_without_gpus(daemon, options), Container(daemon, options) as container:
                return _follow(container, relay, _sockets(own) if shared else None)


def _run_here(kernel: ImageKernel, connection: Mapping[str, Any], folder: Path) -> int:
    """Runs a kernel without an engine. It listens at Unix sockets."""
    image = LocalImage(Path(kernel.image), kernel.sandbox)
    if kernel.stamp:
        refuse_changed(kernel)
    elif not image.place.is_dir():
        raise UsageError(
            f"The files of the image {kernel.reference} are not in the store any more.",
            f"Install the kernel again: {kernel.installation}",
        )
    with Relay(addresses(connection)) as relay, _own_folder() as own:
        _write_connection(own, connection, {"transport": "ipc", "ip": f"{INSIDE}/s"})
        scratch = own / "scratch"
        scratch.mkdir()
        with image.run(_options(kernel, folder, own), scratch) as program:
            program.start_as_kernel()
            signal.signal(signal.SIGINT, lambda *_: program.interrupt())
            relay.connect(_sockets(own))
            return program.wait()


def _options(kernel: ImageKernel, folder: Path, own: Path) -> ContainerOptions:
    """Returns the options of any container of a kernel.

    Args:
        own: the folder with the connection file.
    """
    return ContainerOptions(
        "",
        command=("sh", "-c", _TIED, "sh", *_command(kernel)),
        environment=_environment(kernel),
        folders={path: Path(path) for path in (str(folder), *kernel.folders)} | {INSIDE: own},
        work=str(folder),
        network="none" if kernel.network == "none" else "",
        gpus=kernel.gpus == "all" or (kernel.gpus == "auto" and has_gpu()),
    )


def _write_connection(own: Path, connection: Mapping[str, Any], inner: Mapping[str, str]) -> None:
    ports = {f"{channel}_port": port for channel, port in PORTS.items()}
    (own / "connection.json").write_text(json.dumps({**connection, **inner, **ports}))


def _sockets(own: Path) -> dict[str, Address]:
    return {channel: f"{own}/s-{port}" for channel, port in PORTS.items()}


def _follow(container: Container, relay: Relay, sockets: Mapping[str, Address] | None) -> int:
    """Starts the kernel, passes its output on, and returns its exit status when the engine has removed it."""
    stream = container.attach()
    with ThreadPoolExecutor(1) as threads:
        removed = threads.submit(container.wait_until_removed)
        try:
            container.start()
            signal.signal(signal.SIGINT, lambda *_: container.signal("SIGINT"))
            relay.connect(sockets or {channel: ("127.0.0.1", container.port(port)) for channel, port in PORTS.items()})
            for kind, data in frames(stream):
                os.write(2 if kind == 2 else 1, data)
        except BaseException:
            with suppress(EngineFault):
                container.remove()
            raise
        status = removed.result()
    if status == _KILLED:
        _explain(container)
    return status


def _explain(container: Container) -> None:
    if container.lacked_memory():
        _say("The engine killed the kernel, because the kernel needed more memory than it may use.")
    else:
        _say("The kernel was killed. If nobody has killed it, it needed more memory than the machine has.")


def _read_connection(file: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(read_regular(file, _MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"The connection file {file} cannot be read: {error}.") from None
    if not isinstance(value, Mapping):
        raise UsageError(f"The connection file {file} has no JSON object.")
    return value


def _image(kernel: ImageKernel, daemon: Daemon) -> str:
    """Returns the name that the engine has for the image, and pulls the image if it is gone. Raises EngineFault.

    No registry has an image with added packages.
    """
    pinned = "" if kernel.added else kernel.pinned
    for name in filter(None, (kernel.image, pinned)):
        if identity := daemon.image_id(name):
            return identity
    if pinned:
        _say(f"{daemon.name} pulls {pinned}.")
    if not pinned or not daemon.pull(pinned):
        name = f"{kernel.reference} with the digest {kernel.digest}{' and ipykernel' if kernel.added else ''}"
        raise EngineFault(
            f"{daemon.name} does not have the image {name} any more.",
            f"Install the kernel again: {kernel.installation}",
        )
    return pinned


def _command(kernel: ImageKernel) -> Iterator[str]:
    return (word.replace(CONNECTION_FILE, f"{INSIDE}/connection.json") for word in kernel.command)


def _environment(kernel: ImageKernel) -> dict[str, str]:
    """Returns the variables that are handed on, and those that ipykernel knows.

    JPY_SESSION_NAME is the path of the notebook. JPY_PARENT_PID is the container's init: ipykernel watches any other
    parent, and ends when it does not find that one (ipykernel pull request 233).
    """
    names = ("JPY_SESSION_NAME", *kernel.variables)
    return {name: os.environ[name] for name in names if name in os.environ} | {"JPY_PARENT_PID": "1"}


def _shares_sockets(daemon: Daemon) -> bool:
    """Whether a Unix socket in a folder of this machine connects a process here with one in a container."""
    return sys.platform == "linux" and daemon.where.startswith("unix:") and not daemon.is_desktop


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Makes a folder for the connection file and the sockets, which only this user may enter.

    Another process removes it when this process ends, also if this process is killed.
    """
    usual = tempfile.gettempdir()
    place = usual if len(usual) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108  mkdtemp makes a private folder
    try:
        folder = tempfile.mkdtemp(prefix="condabuild-kernel-", dir=place)
        remove = ("sh", "-c", 'read -r _; exec rm -rf -- "$1"', "sh", folder)
        null = subprocess.DEVNULL
        remover = subprocess.Popen(remove, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True)
    except OSError as error:
        raise from_os_error(error, "making a folder for the kernel", place, hint=OUTSIDE) from None
    with remover:
        yield Path(folder)


def _end(*_: int | FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Ends this process after its parent, as ipykernel does: a client that is killed sends no signal."""
    parent = os.getppid()
    if os.environ.get("JPY_PARENT_PID") == str(parent):
        end_after(parent)


def _tell_news(kernelspec: str) -> None:
    """Says that the image of a kernel has moved, if it has."""
    command = [sys.executable, "-P", "-m", "jupyter_condabuild.receive.kernel_news", kernelspec]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if said := clean(done.stdout.decode(errors="replace").strip()):
        _say(said)


def _say(text: str) -> None:
    """Writes a line for the log of the Jupyter client."""
    sys.stderr.write(f"jupyter-condabuild: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
