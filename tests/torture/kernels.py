"""``python -m tests.torture.kernels [CYCLES]``: starts, interrupts and kills kernels, and counts what is left."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import docker
from jupyter_client.manager import KernelManager

from tests.receive.image_kernels import (
    SECONDS,
    Labmate,
    containers,
    image_of,
    leftovers,
    make_environment,
    new_labmate,
    until,
)

CYCLES = 200
SEED = 7


def cycle(labmate: Labmate, name: str, client: docker.DockerClient, choice: random.Random) -> tuple[str, list[int]]:
    """Runs one kernel from its start to a random end, and returns the end and the ports that the kernel had."""
    manager = KernelManager(**labmate.options(name))
    manager.start_kernel(cwd=str(labmate.folder), env=labmate.environ(), stderr=subprocess.DEVNULL)
    ports = [manager.shell_port, manager.iopub_port, manager.stdin_port, manager.control_port, manager.hb_port]
    end = choice.choice(sorted(ENDS))
    if choice.random() < 0.2:  # killed while it starts
        end = f"{end}, early"
    else:
        channels = manager.client()
        channels.start_channels()
        try:
            channels.wait_for_ready(SECONDS)
            for _ in range(choice.randrange(3)):
                channels.execute("import os; open(f'file-{os.getpid()}', 'w').close(); import time; time.sleep(600)")
                manager.interrupt_kernel()
            if choice.random() < 0.3:
                manager.restart_kernel(now=choice.random() < 0.5)
                channels.wait_for_ready(SECONDS)
        finally:
            channels.stop_channels()
    with suppress(ProcessLookupError, docker.errors.APIError):
        ENDS[end.removesuffix(", early")](manager, client)
    manager.shutdown_kernel(now=True)
    return end, ports


def _kill_container(manager: KernelManager, client: docker.DockerClient) -> None:
    for found in containers(client, [Path(manager.connection_file).stem]):
        client.api.kill(found["Id"])


ENDS: dict[str, Callable[[KernelManager, docker.DockerClient], object]] = {
    "shutdown": lambda manager, _: manager.shutdown_kernel(),
    "shutdown at once": lambda manager, _: manager.shutdown_kernel(now=True),
    "process terminated": lambda manager, _: os.kill(manager.provisioner.pid, signal.SIGTERM),  # type: ignore[union-attr]
    "process killed": lambda manager, _: os.kill(manager.provisioner.pid, signal.SIGKILL),  # type: ignore[union-attr]
    "container killed": _kill_container,
}
"""The ways in which a kernel ends."""


def run(labmate: Labmate, name: str, client: docker.DockerClient, cycles: int) -> tuple[Counter[str], dict[str, int]]:
    """Runs cycles, and returns the number of each end, and of everything that is left."""
    choice = random.Random(SEED)
    ends: Counter[str] = Counter()
    ports: set[int] = set()
    for _ in range(cycles):
        end, used = cycle(labmate, name, client, choice)
        ends[end] += 1
        ports.update(used)
    with suppress(AssertionError):  # what is still there is counted
        until(lambda: not any(leftovers(labmate, client).values()))
    left = {kind: len(found) for kind, found in leftovers(labmate, client).items()}
    left["ports"] = sum(_is_taken(port) for port in ports)
    left["files of another owner"] = sum(file.stat().st_uid != os.getuid() for file in labmate.folder.iterdir())
    return ends, left


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def main() -> None:
    """Ends with status 1 if anything is left."""
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else CYCLES
    base = os.environ["CONDABUILD_TEST_BASE_REFERENCE"]
    with tempfile.TemporaryDirectory(prefix="kernels-") as folder, closing(docker.from_env()) as client:
        work = Path(folder)
        with image_of(make_environment(work), base, work, client) as image, new_labmate(work) as labmate:
            ends, left = run(labmate, labmate.install(image), client, cycles)
    for end, number in sorted(ends.items()):
        print(f"{number:>5}  {end}")
    print(f"{cycles:>5}  cycles; left: {', '.join(f'{number} {kind}' for kind, number in left.items())}")
    raise SystemExit(any(left.values()))


if __name__ == "__main__":
    main()
