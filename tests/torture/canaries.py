"""``python -m tests.torture.canaries``: builds with a secret in each place of a user's, and looks for them everywhere.

One server builds and pushes images of an environment with a canary in every place where tools keep secrets. Then every
sink is searched: what the registry got, what the server wrote, answered and logged, the local store, the processes'
command lines, an archive, and the build context of the docker engine.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import tarfile
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import psutil

from jupyter_condabuild.engines.docker import context
from jupyter_condabuild.engines.docker.installers import installer
from jupyter_condabuild.engines.docker.recipe import Wanted
from jupyter_condabuild.oci import archive
from jupyter_condabuild.planning.inputs import read_inputs
from jupyter_condabuild.requests.job_context import open_job
from tests.parts.command_line import CommandLine
from tests.parts.jobs import plan_request, silent
from tests.parts.jupyter_process import Home, Server
from tests.parts.registry.faults import FakeRegistry, serving
from tests.parts.small_image import image, programs, tar
from tests.torture.planted import LEFT_OUT, STOPPING, Scene, canary, scene


def contents(data: bytes) -> bytes:
    """The data, and what lies in it compressed, in base64, or in an archive; the names of the members as well."""
    return b"\0".join(_parts(data))


def _parts(data: bytes, depth: int = 0) -> Iterator[bytes]:
    yield data
    if depth > 3:
        return
    for text in re.findall(rb"[A-Za-z0-9+/_-]{24,}={0,2}", data) if len(data) < 1 << 20 else ():
        with suppress(ValueError):
            yield base64.b64decode(text + b"==", b"-_" if b"-" in text or b"_" in text else None)
    at = data.find(b"\x1f\x8b\x08")
    while at >= 0:
        with suppress(zlib.error):
            yield from _parts(zlib.decompressobj(31).decompress(data[at:]), depth + 1)
        at = data.find(b"\x1f\x8b\x08", at + 1)
    if data[257:262] == b"ustar":
        with suppress(tarfile.TarError), tarfile.open(fileobj=io.BytesIO(data)) as members:
            for member in members:
                yield f"{member.name}\0{member.linkname}\0{member.pax_headers}".encode("utf-8", "surrogateescape")
                if file := member.isreg() and members.extractfile(member):
                    yield from _parts(file.read(), depth + 1)


@dataclass
class Result:
    """The texts of each sink. `stopped` are the sinks of the build that had to end."""

    sinks: dict[str, bytes] = field(default_factory=dict)
    stopped: dict[str, bytes] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    image: bytes = b""
    """The image of a build that was told to put the files of STOPPING in."""

    def add(self, sinks: Mapping[str, Iterable[bytes]]) -> dict[str, bytes]:
        """Unpacks the texts of sinks."""
        return {name: b"\0".join(map(contents, texts)) for name, texts in sinks.items()}

    @property
    def pairs(self) -> int:
        """Returns the number of pairs of a place and a sink that were searched."""
        return len(self.sinks) * len(LEFT_OUT) + len(self.stopped) * len(LEFT_OUT + STOPPING)

    @property
    def hits(self) -> list[str]:
        """Each place whose secret is in a sink."""
        found = [(place, name, text) for name, text in self.sinks.items() for place in LEFT_OUT]
        found += [
            (place, f"{name} (stopped)", text) for name, text in self.stopped.items() for place in LEFT_OUT + STOPPING
        ]
        return [f"{place} -> {name}" for place, name, text in found if canary(place).encode() in text]

    def table(self) -> str:
        """A row for each sink: how many places were searched for, and which were found."""
        rows = [f"{'sink':<40} {'bytes':>9} {'places':>7} {'hits':>5}"]
        for title, sinks, places in (("", self.sinks, LEFT_OUT), (" (stopped)", self.stopped, LEFT_OUT + STOPPING)):
            for name, text in sinks.items():
                hits = sum(canary(place).encode() in text for place in places)
                rows.append(f"{name + title:<40} {len(text):>9} {len(places):>7} {hits:>5}")
        return "\n".join([*rows, f"{'all':<40} {'':>9} {self.pairs:>7} {len(self.hits):>5}"])


@dataclass
class UserHome(Home):
    """A home folder whose servers have the variables of a scene."""

    more: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, **self.more}


@contextmanager
def _watching(pid: int, seen: dict[str, set[bytes]]) -> Iterator[None]:
    """Collects the command lines of a process and its children, and the sizes that their core files may have."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            with suppress(psutil.Error):
                for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
                    with suppress(psutil.Error, OSError):
                        command = b" ".join(map(os.fsencode, process.cmdline()))
                        seen["command lines"].add(command)
                        if b"jupyter_condabuild build" in command:
                            limits = Path(f"/proc/{process.pid}/limits").read_bytes()
                            seen["core files"] |= set(re.findall(rb"Max core file size +(\S+)", limits))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _texts(folder: Path) -> list[bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path).encode("utf-8", "surrogateescape") for path in files] + [path.read_bytes() for path in files]


def _of_registry(registry: FakeRegistry) -> dict[str, list[bytes]]:
    requests = [f"{seen.method} {seen.path} {_without_login(seen.headers)}".encode() for seen in registry.seen]
    blobs = [data for stored in registry.blobs.values() for data in stored.values()]
    return {
        **{
            name: [seen.body for seen in registry.seen if seen.body and re.search(path, seen.path)]
            for name, path in _PATHS.items()
        },
        "registry: requests": requests,
        "manifests, annotations": [raw for stored in registry.manifests.values() for _, raw in stored.values()],
        "labels, history, receipts": [data for data in blobs if data[:1] == b"{"],
        "layers": [data for data in blobs if data[:1] != b"{"],
    }


_PATHS = {"registry: uploads": r"/team/.*blobs", "layer pool": r"/pool/"}


def _without_login(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() != "authorization"}


def run(folder: Path) -> Result:
    """Plants the canaries, builds, and searches."""
    result = Result()
    base = folder / "base.tar"
    archive.write(image([programs(), tar({"etc/base": b"1\n"})], Env=["PATH=/usr/bin"]), "", base)
    with serving() as registry, scene(folder / "user", registry.host) as made:
        store = folder / "store"
        settings = {
            "store_dir": str(store),
            "base_image": f"oci-archive:{base}",
            "layer_pool": f"{registry.host}/pool/layers",
        }
        settings["signing_key"] = str(made.home / ".ssh/id_ed25519")
        home = UserHome(made.home, settings, made.environ)
        body = {"prefix": str(made.prefix), "reference": f"{registry.host}/team/env:v1", "include": "work"}
        made.plant_stopping()
        result.stopped = result.add(_serve(home, registry, body, store, "failed", result))
        result.image = contents(_image_of_all(made, folder, base))
        made.remove_stopping()
        registry.seen.clear()
        result.sinks = result.add(_serve(home, registry, body, store, "finished", result))
        result.sinks |= result.add(_by_hand(made, folder, base))
    return result


def _serve(
    home: UserHome, registry: FakeRegistry, body: dict[str, str], store: Path, state: str, result: Result
) -> dict[str, list[bytes]]:
    """Snapshot, build and push by a server; the texts of its sinks."""
    seen: dict[str, set[bytes]] = {"command lines": set(), "core files": set()}
    with Server(home) as server, _watching(server.process.pid, seen):
        snapshot = server.client.post("condabuild/snapshots", json=body)
        lock = server.client.get(f"condabuild/lockfiles/{snapshot.json().get('digest', 'none')}")
        started = server.post({**body, "push": True, "again": True})
        build = server.ended(started.json()["id"])
        events = [json.dumps(message).encode() for message in server.messages(build["id"])]
        notified = server.client.get("condabuild/builds").content
        fault = server.post({**body, "push": True, "base": f"{registry.host}/team/no-such-base:1", "again": True})
        failed = server.ended(fault.json()["id"])
    sent = [request for request in registry.seen if request.method in ("POST", "PUT", "PATCH")]
    if build["state"] != state or failed["state"] != "failed":
        result.faults.append(f"the build is {build['state']}, not {state}: {build['error']}")
    if state == "failed" and (sent or build["error"]["code"] != "secrets_found"):
        result.faults.append(f"{len(sent)} requests were sent before the build ended: {build['error']}")
    if seen["core files"] != {b"0"}:
        result.faults.append(f"core files may have these sizes: {seen['core files']}")
    return {
        "events": events + _texts(home.state / "builds"),
        "SQLite, lock files, state": _texts(home.state),
        "answers: snapshot": [snapshot.content, repr(snapshot.headers).encode()],
        "answers: lock file": [lock.content],
        "errors": [json.dumps(failed).encode(), json.dumps(build).encode()],
        "notifications": [notified],
        "server log": [server.log.encode()],
        "command lines": sorted(seen["command lines"]),
        "local store": _texts(store),
        **_of_registry(registry),
    }


def _image_of_all(made: Scene, folder: Path, base: Path) -> bytes:
    """The image of a build that is told to put all files in."""
    run = CommandLine(made.folder, {**made.environ, "CONDABUILD_STORE_DIR": str(folder / "other-store")})
    options = [f"--allow-secret={path}" for path in made.stopping.values()]
    done = run(
        "build",
        made.prefix,
        "--include",
        made.include,
        "-o",
        folder / "all.tar",
        "--base",
        f"oci-archive:{base}",
        *options,
    )
    return (folder / "all.tar").read_bytes() if done.status == 0 else done.err.encode()


def _by_hand(made: Scene, folder: Path, base: Path) -> dict[str, list[bytes]]:
    """The command line's output and archive, and the context of the docker engine."""
    run = CommandLine(made.folder, {**made.environ, "CONDABUILD_STORE_DIR": str(folder / "other-store")})
    common = (made.prefix, "--include", made.include, "--base", f"oci-archive:{base}")
    done = run("build", *common, "-o", folder / "image.tar")
    outputs = [done.out, done.err]
    for command in (("plan",), ("plan", "--json"), ("plan", "--engine", "docker")):
        said = run(command[0], *common[:3], *command[1:])
        outputs += [said.out, said.err]
    locks = [run("lock", made.prefix, "--format", name) for name in ("conda-lock", "explicit", "pixi", "environment")]
    written = folder / "context.tar.gz"
    logged: list[str] = []
    with patch.dict(os.environ, {**made.environ, "HOME": str(made.home)}):
        request = plan_request(prefix=made.prefix, include=made.include, store_dir=folder / "store", engine="docker")
        with open_job(request, lambda event: logged.append(repr(event))) as job:
            inputs = read_inputs(request, job)
            parts = context.collect(request, inputs, job, shares_host=False)
            recipe = context.make_recipe(
                inputs, parts, Wanted("docker.io/library/debian:12", installer("micromamba"), "")
            )
            context.write(recipe, parts, written, silent)
    return {
        "archive": [(folder / "image.tar").read_bytes()],
        "terminal": [text.encode() for text in outputs],
        "exported lock files": [text.encode() for done in locks for text in (done.out, done.err)],
        "context of the docker engine": [written.read_bytes(), *(text.encode() for text in logged)],
    }


def main() -> None:
    """Prints the table. Ends with status 1 if a secret was found, or the builds did not do what they should."""
    with TemporaryDirectory(prefix="canaries-") as folder:
        result = run(Path(folder))
    print(result.table())
    for fault in (*result.faults, *result.hits):
        print(f"FAULT  {fault}")
    raise SystemExit(bool(result.faults or result.hits))


if __name__ == "__main__":
    main()
