"""Builds survive their server, servers survive their builds, and the history survives both."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.server.history import BuildHistory, Record
from jupyter_condabuild.server.process import Workplace
from tests.parts.gate import Gate
from tests.parts.jupyter_process import Home, Server, of_build, until
from tests.parts.server.idle import PATIENCE, Idled, idle
from tests.parts.server.script import finished


@pytest.fixture
def home(tmp_path: Path, small_base: str) -> Home:
    """An empty home folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    return Home(folder, {"store_dir": str(tmp_path / "store"), "base_image": small_base})


@pytest.fixture(scope="module", autouse=True)
def idling(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Idled] | None]:
    """A reader of a silent stream. It runs during the other tests of this module; a test checks its result."""
    if not any(
        item.name == test_a_stream_of_75_silent_seconds_survives_a_proxy.__name__ for item in request.session.items
    ):
        yield None
        return
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(idle, Home(tmp_path_factory.mktemp("idle")))


@pytest.fixture
def gate(registry: str) -> Iterator[Gate]:
    """A closed gate in front of the registry."""
    with Gate(registry) as gate:
        yield gate


@pytest.fixture
def held(rattler_prefix: Path, gate: Gate, tmp_path: Path) -> dict[str, Any]:
    """The request for a build that stops at the gate."""
    return {"prefix": str(rattler_prefix), "push": True, "reference": f"{gate.host}/survival/{tmp_path.name}:one"}


def record(home: Home, id: str) -> Record:
    """Returns the state of a build in the history."""
    history = BuildHistory(home.state / "history.sqlite")
    try:
        return history.get(id)
    finally:
        history.close()


def pid_of(home: Home, id: str) -> int:
    """Returns the process of a build."""
    pid = record(home, id).pid
    assert pid
    return pid


def kill_build(home: Home, id: str) -> None:
    """Kills all processes of a build, and waits until they have ended."""
    pid = pid_of(home, id)
    assert of_build(pid)
    os.killpg(pid, signal.SIGKILL)
    until(lambda: not of_build(pid))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_build_survives_its_server_and_the_next_server_follows_it(
    home: Home, held: dict[str, Any], gate: Gate, number: signal.Signals
) -> None:
    """For each end of the server, the next server shows the build, all its events, and its end."""
    server = Server(home)
    id = server.post(held).json()["id"]
    gate.wait()
    seen = next(int(id) for _, id, _ in server.messages(id) if id)
    server.end(number)
    assert of_build(pid_of(home, id))
    assert Workplace(home.state / "builds" / id).is_locked, "a server must see the lock of a running build"
    with Server(home) as next_server:
        assert next_server.build(id)["state"] == "running"
        joined = next_server.post(held)
        assert (joined.status_code, joined.json()["id"]) == (200, id)
        rest = next_server.messages(id, seen)
        gate.opened.set()
        ids = [int(id) for _, id, _ in rest if id]
        assert ids == list(range(seen + 1, seen + 1 + len(ids)))
        build = next_server.ended(id)
        assert build["state"] == "finished"
        assert build["seconds"] > 0


def test_a_build_that_ends_without_a_server_is_shown_with_its_result(
    home: Home, held: dict[str, Any], gate: Gate
) -> None:
    """The build itself wrote the result."""
    server = Server(home)
    id = server.post(held).json()["id"]
    gate.wait()
    server.end(signal.SIGKILL)
    gate.opened.set()
    until(lambda: not of_build(pid_of(home, id)))
    with Server(home) as next_server:
        assert next_server.ended(id)["state"] == "finished"


def test_a_killed_build_is_interrupted_and_the_next_one_works(home: Home, held: dict[str, Any], gate: Gate) -> None:
    """Its readers get the reason and a hint. The store is not damaged."""
    with Server(home) as server:
        id = server.post(held).json()["id"]
        gate.wait()
        kill_build(home, id)
        build = server.ended(id)
        assert (build["state"], build["error"]["code"]) == ("interrupted", "interrupted")
        assert "SIGKILL" in build["error"]["message"]
        assert "Build again" in build["error"]["hint"]
        gate.opened.set()
        again = server.post(held)
        assert again.status_code == 201
        assert server.ended(again.json()["id"])["state"] == "finished"
        assert [child.status() for child in psutil.Process(server.process.pid).children()] == []
    with Store(Path(home.settings["store_dir"])) as store:
        assert list(store.tmp.iterdir()) == []


def test_if_both_are_killed_the_next_server_reports_it_and_continues_the_queue(
    home: Home, held: dict[str, Any], gate: Gate
) -> None:
    """The running build is interrupted, and the waiting build is built."""
    home.settings["max_concurrent_builds"] = "1"
    server = Server(home)
    id = server.post(held).json()["id"]
    waiting = server.post({**held, "reference": held["reference"] + "-2"}).json()
    assert (waiting["state"], waiting["position"]) == ("queued", 1)
    gate.wait()
    server.end(signal.SIGKILL)
    kill_build(home, id)
    gate.opened.set()
    with Server(home) as next_server:
        build = next_server.ended(id)
        assert (build["state"], build["error"]["code"]) == ("interrupted", "interrupted")
        assert "machine" in build["error"]["message"]
        assert "Build again" in build["error"]["hint"]
        assert next_server.ended(waiting["id"])["state"] == "finished"


def test_two_servers_with_one_home_share_builds(home: Home, held: dict[str, Any], gate: Gate) -> None:
    """Each can join, follow and cancel the builds of the other.

    The limit of running builds is the same as for one server.
    """
    home.settings["max_concurrent_builds"] = "1"
    with Server(home) as one, Server(home) as other:
        id = one.post(held).json()["id"]
        joined = other.post(held)
        assert (joined.status_code, joined.json()["id"]) == (200, id)
        second = other.post({**held, "reference": held["reference"] + "-2"}).json()
        assert (second["state"], second["position"]) == ("queued", 1)
        gate.wait()
        assert other.client.delete(f"condabuild/builds/{id}").status_code == 202
        assert [server.ended(id)["state"] for server in (one, other)] == ["cancelled", "cancelled"]
        gate.opened.set()
        assert [server.ended(second["id"])["state"] for server in (one, other)] == ["finished", "finished"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "small", place]).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_disk_that_fills_during_a_build_is_named_and_the_next_build_works(
    disk: Path, rattler_prefix: Path, registry: str, small_base: str, tmp_path: Path
) -> None:
    """History and store are on the disk.

    The history can be read, the store is not damaged, and the user gets a hint.
    """
    home = Home(disk / "home", {"store_dir": str(disk / "store"), "base_image": small_base})
    home.path.mkdir()
    body = {"prefix": str(rattler_prefix), "push": True, "reference": f"{registry}/survival/{tmp_path.name}"}
    with Server(home) as server:
        build = server.ended(server.post(body).json()["id"])
        assert (build["state"], build["error"]["code"]) == ("failed", "disk_full"), build
        assert "No space is left" in build["error"]["message"]
        assert "prune" in build["error"]["hint"]
        assert server.client.get("condabuild/builds").json()["builds"] == [build]
        subprocess.run(["mount", "-o", "remount,size=512m", disk], check=True)
        again = server.ended(server.post(body).json()["id"])
        assert again["state"] == "finished", again["error"]
    with Store(disk / "store") as store:
        assert list(store.tmp.iterdir()) == []


def test_a_build_that_can_no_longer_write_its_events_ends_with_a_named_error(
    disk: Path, held: dict[str, Any], gate: Gate, small_base: str, tmp_path: Path
) -> None:
    """The disk of its state folder is full. Its end is still recorded, in reserved space."""
    home = Home(disk / "home", {"store_dir": str(tmp_path / "store"), "base_image": small_base})
    home.path.mkdir()
    with Server(home) as server:
        id = server.post(held).json()["id"]
        gate.wait()
        fill(disk)
        gate.opened.set()
        build = server.ended(id)
        assert (build["state"], build["error"]["code"]) == ("failed", "disk_full"), build
        assert str(disk) in build["error"]["message"]
        (disk / "filler").unlink()
        assert server.ended(server.post(held).json()["id"])["state"] == "finished"


def fill(folder: Path) -> None:
    """Fills the disk up to the last byte."""
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while file.write(b"x" * size):
                    pass


def test_a_log_of_200_megabytes_does_not_need_the_servers_memory(home: Home) -> None:
    """One reader reads all of it, another reads nothing.

    The server needs less than 50 MB more, and each line comes once.
    """
    id, count = finished(home.state, 200 << 20)
    with Server(home) as server:
        server.client.get("condabuild/builds").raise_for_status()
        before = most = server.memory
        with (
            server.client.stream("GET", f"condabuild/builds/{id}/events") as idle,
            server.client.stream("GET", f"condabuild/builds/{id}/events") as response,
        ):
            received, lines, rest = 0, 0, b""
            for number, chunk in enumerate(response.iter_raw()):
                received += len(chunk)
                lines += (rest + chunk).count(b"\nid: ")
                rest = chunk[-4:]
                if number % 50 == 0:
                    most = max(most, server.memory)
            assert idle.status_code == 200
        assert received > 200 << 20
        assert lines == count
        assert most - before < 50_000_000


def test_a_stream_of_75_silent_seconds_survives_a_proxy(idling: Future[Idled]) -> None:
    """The proxy drops connections that are silent for 60 seconds, as it did with another one.

    The comments keep this one.
    """
    seen = idling.result()
    assert PATIENCE <= seen.silence < seen.comments[-1]
    assert seen.comments[-1] >= 75
    assert '"line 1 ' in seen.line
