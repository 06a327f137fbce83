"""`python -m benchmarks.kernels`: a kernel of an image, `docker run … ipykernel` by hand, and one of an environment."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import docker
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from benchmarks.report import machine, markdown
from tests.receive.image_kernels import Labmate, image_of, make_environment, new_labmate

CELLS = 1000
SECONDS = 120
SPEC = "share/jupyter/kernels/python3/kernel.json"


@dataclass
class Kind:
    """A way to run a kernel, and its measurements in seconds: each start, and the median of the cells of each round.

    `transport` is what the client uses.
    """

    title: str
    name: str
    transport: str = "tcp"
    starts: list[float] = field(default_factory=list)
    cells: list[float] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the arguments of the command line, measures, and prints the results as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each kind is measured, in turn")
    parser.add_argument("--cells", type=int, default=CELLS, help="the number of cells that are executed in each round")
    options = parser.parse_args(arguments)
    base = os.environ["CONDABUILD_TEST_BASE_REFERENCE"]
    with tempfile.TemporaryDirectory(prefix="condabuild-bench-") as folder, closing(docker.from_env()) as client:
        work = Path(folder)
        environment = make_environment(work)
        with image_of(environment, base, work, client) as image, new_labmate(work) as labmate:
            kinds = [
                Kind("conda environment", _add(labmate, json.loads((environment / SPEC).read_text())["argv"])),
                Kind("`docker run … ipykernel` by hand", _add(labmate, _by_hand(image, labmate)), "ipc"),
                Kind("`jupyter condabuild kernel`", labmate.install(image)),
            ]
            for _ in range(options.rounds):
                for kind in kinds:
                    _measure(kind, labmate, options.cells)
    about = machine(str(client.version()["Version"]), options.rounds)
    rows = [["kernel", "start", "a cell", "ratio to the environment"], ["---"] * 4]
    first = median(kinds[0].cells)
    for kind in kinds:
        start, cell = f"{median(kind.starts):.2f} s", f"{median(kind.cells) * 1000:.2f} ms"
        rows.append([kind.title, start, cell, f"{median(kind.cells) / first:.2f}"])
    print(
        f"{about['cores']} cores, Docker Engine {about['engine']}, load {about['load_before']}, {options.cells} cells"
    )
    print(markdown(rows))


def _add(labmate: Labmate, argv: Sequence[str]) -> str:
    """Installs a kernelspec by hand, and returns its name."""
    name = f"by-hand-{uuid.uuid4().hex[:8]}"
    folder = Path(labmate.kernelspecs.kernel_dirs[0], name)
    folder.mkdir(parents=True)
    spec = {"argv": argv, "display_name": name, "language": "python", "interrupt_mode": "message"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    return name


def _by_hand(image: str, labmate: Labmate) -> list[str]:
    """Returns a command that is written by hand: the client and the kernel meet at sockets in a shared folder."""
    folder = f"{labmate.run.folder}:{labmate.run.folder}"
    user = ("--user", f"{os.getuid()}:{os.getgid()}")
    kernel = ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")
    return ["docker", "run", "--rm", "--init", "--network", "none", *user, "-v", folder, image, *kernel]


def _measure(kind: Kind, labmate: Labmate, cells: int) -> None:
    began = time.perf_counter()
    with _running(kind, labmate) as client:
        kind.starts.append(time.perf_counter() - began)
        kind.cells.append(median(_round_trip(client) for _ in range(cells)))


@contextmanager
def _running(kind: Kind, labmate: Labmate) -> Iterator[BlockingKernelClient]:
    manager = KernelManager(transport=kind.transport, **labmate.options(kind.name))
    manager.start_kernel(cwd=str(labmate.folder), env=labmate.environ(), stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(SECONDS)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def _round_trip(client: BlockingKernelClient) -> float:
    """Returns the seconds until the reply to a cell, and the kernel's word that it is idle, have come."""
    began = time.perf_counter()
    message = client.execute("x = 1")
    while client.get_shell_msg(timeout=SECONDS)["parent_header"].get("msg_id") != message:
        pass
    while True:
        found = client.get_iopub_msg(timeout=SECONDS)
        if found["parent_header"].get("msg_id") == message and found["content"].get("execution_state") == "idle":
            return time.perf_counter() - began


if __name__ == "__main__":
    main()
