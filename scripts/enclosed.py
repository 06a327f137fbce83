"""Runs a command that cannot change the machine: `enclosed.py COMMAND…`.

Container engines make links, routes, firewall rules, control groups and mounts. They also remove some: a dockerd with
`--bridge=none` deletes the bridge of every other dockerd. So an engine of ours runs in namespaces of its own
(namespaces(7)): the command and all its children have

- a network of their own. A relay passes their TCP connections on to the network of the machine: first to a server
  inside, then to the same address outside. So an engine reaches a registry at `localhost:PORT`. Of UDP, only DNS
  queries are passed on.
- mounts of their own, an empty `/run`, and a copy of `/etc` for what they write. All other files are the machine's.
- control groups below the current ones.
- process numbers of their own: when the command ends, all its children end.

SIGTERM and SIGINT go to the command. SIGQUIT kills it and all its children at once. Only root can enclose a command.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

# From <sched.h>, <sys/mount.h>, <sys/prctl.h> and <linux/netfilter_ipv4.h>. Python has `unshare` and `setns` from 3.12.
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x02000000, 0x20000000, 0x40000000
MS_REC, MS_SLAVE, MNT_DETACH = 0x4000, 0x80000, 2
PR_SET_PDEATHSIG = 1
SO_ORIGINAL_DST, IP_PKTINFO = 80, 8
DNS = 53

MARK = 0x0C0B
"""The mark of the relay's own connections to servers inside: the firewall rule does not send them to the relay."""

REFUSED = "enclosed.py: this machine does not let root enclose a command"

_libc = ctypes.CDLL(None, use_errno=True)


def call(what: str, *arguments: int | bytes | None) -> None:
    """Calls a function of the C library.

    Args:
        what: its name.
        arguments: its arguments.

    Raises:
        OSError: the function failed.
    """
    if getattr(_libc, what)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


@dataclass(frozen=True)
class Hierarchy:
    """A hierarchy of control groups: its mount point, file system and options, and the group of the command."""

    mount: str
    kind: str
    options: str
    group: Path


def hierarchies() -> list[Hierarchy]:
    """Returns the mounted hierarchies; no group is made yet (cgroups(7), proc_pid_mountinfo(5))."""
    current = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        current[frozenset(controllers.split(",")) - {""}] = path
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, _, options = after.split()
        if kind not in ("cgroup", "cgroup2"):
            continue
        for key, path in current.items():
            if key <= set(options.split(",")) and bool(key) == (kind == "cgroup"):
                group = Path(mount, os.path.relpath(path, root), f"enclosed-{os.getpid()}")
                found.append(Hierarchy(mount, kind, ",".join(sorted(key)), group))
    return found


def make_group(group: Path) -> None:
    """Makes a control group. A group of the cpuset controller takes no process before it has CPUs and memory nodes."""
    group.mkdir()
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group.parent / name).exists() and (group / name).exists() and not (group / name).read_text().strip():
            with suppress(OSError):  # version 2 of control groups: inherited
                (group / name).write_text((group.parent / name).read_text())


def remove_group(group: Path) -> None:
    """Removes a control group and those below it. Its processes have ended; the kernel may need a moment to notice."""
    for folder, _, _ in os.walk(group, topdown=False):
        for _ in range(200):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                break
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                time.sleep(0.01)
            else:
                break


class Relay:
    """Passes connections of the network inside on: to a server inside, or else to the network of the machine."""

    def __init__(self, network: int, listener: socket.socket, queries: socket.socket) -> None:
        """Starts to relay.

        Args:
            network: the open network namespace of the inside.
            listener: a socket that gets all TCP connections of the inside.
            queries: a socket that gets all DNS queries of the inside.
        """
        self._listener = listener
        self._queries = queries
        # A socket belongs to the network of the thread that makes it.
        self._inside = ThreadPoolExecutor(1, initializer=call, initargs=("setns", network, CLONE_NEWNET))
        for work in (self._accept, self._receive):
            threading.Thread(target=work, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _receive(self) -> None:
        while True:
            query, extra, _, client = self._queries.recvmsg(1 << 16, 1 << 10)
            threading.Thread(target=self._answer, args=(query, extra, client), daemon=True).start()

    def _answer(self, query: bytes, extra: list[tuple[int, int, bytes]], client: tuple[str, int]) -> None:
        # in_pktinfo (ip(7)) has the address that the client asked. It expects the answer from that address.
        ((level, kind, data),) = extra
        address = data[-4:]
        with socket.socket(type=socket.SOCK_DGRAM) as server, suppress(OSError):
            server.settimeout(30)
            server.connect((socket.inet_ntoa(address), DNS))
            server.send(query)
            source = struct.pack("=i4s4x", 0, address)
            self._queries.sendmsg([server.recv(1 << 16)], [(level, kind, source)], 0, client)

    def _connect(self, client: socket.socket) -> None:
        with client, ExitStack() as opened:
            try:
                _, port, address = struct.unpack("!HH4s8x", client.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16))
            except OSError:  # a connection to the relay itself
                return
            to = (socket.inet_ntoa(address), port)
            server = opened.enter_context(self._inside.submit(socket.socket).result())
            server.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
            try:
                server.connect(to)
            except OSError:
                server = opened.enter_context(socket.socket())
                try:
                    server.connect(to)
                except OSError:  # closed with a reset, which is how a refused connection looks from inside
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
            back = threading.Thread(target=pump, args=(server, client), daemon=True)
            back.start()
            pump(client, server)
            back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Copies what `source` sends to `sink`, to its end."""
    buffer = memoryview(bytearray(1 << 18))
    with suppress(OSError):
        while read := source.recv_into(buffer):
            sink.sendall(buffer[:read])
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def make_network() -> tuple[socket.socket, socket.socket]:
    """Brings up the network inside.

    Returns:
        A socket that gets all TCP connections of the inside, and a socket that gets all DNS queries.
    """
    listener = socket.create_server(("0.0.0.0", 0), backlog=128)
    port = str(listener.getsockname()[1])
    rule = ["OUTPUT", "--protocol", "tcp", "--match", "mark", "!", "--mark", str(MARK)]
    commands = (
        ["ip", "link", "set", "lo", "up"],
        # All addresses without another route are local, so that a connection to them reaches the firewall rule.
        ["ip", "route", "add", "local", "default", "dev", "lo", "table", "main"],
        ["iptables", "--table", "nat", "--append", *rule, "--jump", "REDIRECT", "--to-ports", port],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    queries = socket.socket(type=socket.SOCK_DGRAM)
    queries.setsockopt(socket.SOL_IP, IP_PKTINFO, 1)
    queries.bind(("0.0.0.0", DNS))
    return listener, queries


def mount(source: str, target: str, kind: str, options: str = "") -> None:
    """Mounts a file system."""
    call("mount", source.encode(), target.encode(), kind.encode(), 0, options.encode())


def make_mounts(groups: list[Hierarchy]) -> None:
    """Mounts what belongs to the namespaces: /proc, /run, /etc and the control groups."""
    call("mount", None, b"/", None, MS_REC | MS_SLAVE, None)
    mount("proc", "/proc", "proc")
    resolved = Path("/run/systemd/resolve/resolv.conf")  # what is behind the local server of systemd-resolved
    found = [path.read_text() for path in (resolved, Path("/etc/resolv.conf")) if path.exists()]
    mount("tmpfs", "/run", "tmpfs", "mode=755")
    for name in ("upper", "work"):
        Path("/run/enclosed", name).mkdir(parents=True)
    mount("overlay", "/etc", "overlay", "lowerdir=/etc,upperdir=/run/enclosed/upper,workdir=/run/enclosed/work")
    Path("/etc/docker/daemon.json").unlink(missing_ok=True)  # the options of the machine's own engine
    Path("/etc/resolv.conf").unlink(missing_ok=True)
    Path("/etc/resolv.conf").write_text("".join(found[:1]))
    for hierarchy in reversed(groups):
        call("umount2", hierarchy.mount.encode(), MNT_DETACH)
    for hierarchy in groups:
        mount(hierarchy.kind, hierarchy.mount, hierarchy.kind, hierarchy.options)
        if hierarchy.kind == "cgroup2":
            # A group with processes cannot give controllers to the groups below it.
            own = Path(hierarchy.mount, "init")
            own.mkdir()
            (own / "cgroup.procs").write_text("0")
            controllers = Path(hierarchy.mount, "cgroup.controllers").read_text().split()
            Path(hierarchy.mount, "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def pass_on(process: int) -> None:
    """Sends the signals that this process gets to another one, those that have waited first."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: os.kill(process, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})


def inside(command: list[str], groups: list[Hierarchy], channel: socket.socket) -> int:
    """Makes the namespaces, runs the command in them, and returns its exit status. This is their first process."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for hierarchy in groups:
        (hierarchy.group / "cgroup.procs").write_text("0")
    call("unshare", CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWCGROUP)
    listener, queries = make_network()
    with listener, queries, open("/proc/self/ns/net") as network, channel:
        socket.send_fds(channel, [b"ready"], [network.fileno(), listener.fileno(), queries.fileno()])
    make_mounts(groups)
    try:
        process = os.posix_spawnp(command[0], command, os.environ, setsigmask=())
    except FileNotFoundError:
        print(f"enclosed.py: there is no program {command[0]}", file=sys.stderr)
        return 127
    pass_on(process)
    while True:
        ended, status = os.wait()  # the first process of a namespace also waits for the orphans
        if ended == process:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main(command: list[str]) -> int:
    """Runs a command in namespaces of its own, and returns its exit status."""
    groups = hierarchies()
    with ExitStack() as cleanup:
        for hierarchy in groups:
            make_group(hierarchy.group)
            cleanup.callback(remove_group, hierarchy.group)
        ours, theirs = socket.socketpair()
        # Signals wait until they can be passed on.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
        with open("/proc/self/ns/pid") as numbers:
            call("unshare", CLONE_NEWPID)
            process = os.fork()
            if not process:
                ours.close()
                leave(command, groups, theirs)
            call("setns", numbers.fileno(), CLONE_NEWPID)  # a process cannot start threads in between
        signal.signal(signal.SIGQUIT, lambda *_: os.kill(process, signal.SIGKILL))
        pass_on(process)
        theirs.close()
        with ours:
            _, handles, _, _ = socket.recv_fds(ours, 5, 3)
        if handles:
            Relay(handles[0], *(socket.socket(fileno=handle) for handle in handles[1:]))
        _, status = os.waitpid(process, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


def leave(command: list[str], groups: list[Hierarchy], channel: socket.socket) -> NoReturn:
    """Runs `inside`, and exits without the clean-up that belongs to the parent."""
    status = 125
    try:
        status = inside(command, groups, channel)
    except OSError as error:
        print(f"{REFUSED}: {error}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    if os.getuid() or not sys.argv[1:]:
        sys.exit("enclosed.py: only root can enclose a command" if os.getuid() else "use: enclosed.py COMMAND…")
    if missing := [name for name in ("ip", "iptables") if not shutil.which(name)]:
        sys.exit(f"enclosed.py: not installed: {', '.join(missing)}")
    try:
        sys.exit(main(sys.argv[1:]))
    except OSError as error:
        sys.exit(f"{REFUSED}: {error}")
