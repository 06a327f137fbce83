"""A machine with a Docker Engine of its user, on which the engines of the tests start.

The program `-m tests.parts.machine BASE FOLDER`, with a folder in /var/tmp, runs inside `scripts/enclosed.py`, which
makes a network, mounts and control groups for it: these are the machine. It prints each difference that our engines
make to the machine, and exits with 1 if there is one.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.models.containers import Container

from tests.parts.own_engines import own_docker, own_podman, until_it_answers

SERVICES = str(Path(__file__).parents[2] / "scripts/services")


def output(*command: str) -> list[str]:
    """Returns the lines of a command's output."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def state(client: docker.DockerClient, container: Container, port: int) -> dict[str, list[str]]:
    """Returns the state that must not change: network, mounts, control groups, and the user's engine."""
    firewall = [line for command in ("iptables-save", "ip6tables-save") for line in output(command)]
    gateway = container.attrs["NetworkSettings"]["Gateway"]
    status, _ = container.exec_run(["bash", "-c", f"exec 3<>/dev/tcp/{gateway}/{port} && read -t 10 line <&3"])
    groups = Path("/sys/fs/cgroup")
    return {
        "links": output("ip", "-oneline", "link"),
        "addresses": output("ip", "-oneline", "address"),
        "routes": output("ip", "route", "show", "table", "all"),
        "firewall": [re.sub(r"\[\d+:\d+\]", "", line) for line in firewall if not line.startswith("#")],
        "forwarding": output("sysctl", "net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"),
        "mounts": Path("/proc/self/mountinfo").read_text().splitlines(),
        "control groups": sorted(folder for folder, _, _ in os.walk(groups)),
        "controllers": [f"{file}: {file.read_text()}" for file in sorted(groups.rglob("cgroup.subtree_control"))],
        "files": sorted(str(path) for folder in ("/etc", "/run") for path in Path(folder).rglob("*")),
        "images": [str(image.tags) for image in client.images.list()],
        "containers": [f"{found.id} {found.status}" for found in client.containers.list(all=True)],
        "a container reaches the machine": [str(status == 0)],
    }


@contextmanager
def engine_of_the_user(folder: Path) -> Iterator[docker.DockerClient]:
    """A Docker Engine as Debian starts it: at the usual socket, with a bridge and firewall rules."""
    with (folder / "log").open("wb") as log:
        command = ["dockerd", "--data-root", str(folder / "data")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until_it_answers("unix:///var/run/docker.sock", process).close()
        client = docker.DockerClient("unix:///var/run/docker.sock")
        yield client
        client.close()
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def greeting() -> Iterator[int]:
    """The port of a server on all addresses of the machine. The server sends a greeting to each client."""
    with socket.create_server(("0.0.0.0", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"hello\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def work(engine: docker.DockerClient, base: str) -> None:
    """Builds an image, which pulls a base image, and runs it."""
    dockerfile = io.BytesIO(f"FROM {base}\nRUN echo made >/made\n".encode())
    image, _ = engine.images.build(fileobj=dockerfile, rm=True, network_mode="host")
    assert engine.containers.run(image.id, ["cat", "/made"], network_mode="none", remove=True) == b"made\n"


def our_engines(folder: Path) -> Iterator[str]:
    """Starts and stops each engine of ours, and yields its name while it runs."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER", "CONDABUILD_TEST"))}
    environ["CONDABUILD_STATE"] = str(folder / "state")
    started = subprocess.run([SERVICES], env=environ, stdout=subprocess.PIPE, text=True, check=True)
    try:
        names = dict(word.split("=", 1) for word in shlex.split(started.stdout) if "=" in word)
        assert str(folder) in names["DOCKER_HOST"], started
        client = docker.DockerClient(names["DOCKER_HOST"])
        work(client, names["CONDABUILD_TEST_BASE_REFERENCE"])
        client.close()
        yield "the engine of scripts/services"
        with own_docker() as engine:
            client = docker.DockerClient(engine.host)
            work(client, names["CONDABUILD_TEST_BASE_REFERENCE"])
            client.close()
            yield "the engine of a test"
            engine.kill()
            engine.start()
            yield "the engine of a test, after it was killed"
        with own_podman():
            yield "the Podman of a test"
    finally:
        subprocess.run([SERVICES, "stop"], env=environ, check=True)


def leave_the_disks_of_other_tests() -> None:
    """Unmounts the disks of other tests, in this machine only.

    When a test removes the folder of its disk, Linux unmounts the disk in every mount namespace.
    """
    temporary = ("/var/tmp/", f"{tempfile.gettempdir()}/")
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        if (place := line.split()[4]).startswith(temporary):
            subprocess.run(["umount", "--lazy", place], check=True)


def main(base: str, folder: Path) -> int:
    """Starts the user's engine and ours, prints what ours change, and returns the exit status."""
    failed = 0
    # Engines and other tests of the real machine mount and unmount meanwhile.
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    leave_the_disks_of_other_tests()
    # What the engines write is in memory, and gone at once.
    subprocess.run(["mount", "-t", "tmpfs", "machine", "/var/tmp"], check=True)
    # An address of version 6 changes by itself: it is tentative for a second or two.
    for name in ("all", "default"):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
    (folder / "user").mkdir(parents=True)
    with engine_of_the_user(folder / "user") as client, greeting() as port:
        client.images.pull(base)
        container = client.containers.run(base, ["sleep", "infinity"], detach=True, init=True)
        container.reload()
        before = state(client, container, port)
        assert before["a container reaches the machine"] == ["True"]
        assert any("docker0" in link for link in before["links"])

        def compare(when: str) -> None:
            nonlocal failed
            for what, lines in state(client, container, port).items():
                # Our engines have control groups of their own while they run.
                now = [line for line in lines if "enclosed-" not in line] if when != "the end" else lines
                for line in sorted(set(now) ^ set(before[what])):
                    kind = "lost" if line in before[what] else "new"
                    print(f"{when} changed the {what} of the machine: {kind}: {line}")
                    failed = 1

        for name in our_engines(folder):
            compare(name)
        compare("the end")
        container.remove(force=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
