"""Builds over REST: from a running kernel to an image; builds are joined, queued, cancelled and limited."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest
import yaml
from jsonschema import Draft202012Validator

from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.server import handlers, supervisor
from tests.parts.gate import Gate
from tests.parts.server.images import put_base, remove
from tests.parts.small_prefix import SmallPrefix
from tests.server.conftest import LAST, Api, until
from tests.server.test_environments import started
from tests.server.test_routes import error_of

CONTRACT = yaml.safe_load(handlers.CONTRACT.read_text())


def check(value: object, schema: str) -> None:
    """Fails if the value does not match the contract."""
    Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": CONTRACT["components"]}).validate(
        value
    )


def building(session: int | None = None) -> list[psutil.Process]:
    """Returns the processes of builds: children of this server, or the processes in a build's session."""
    found = psutil.Process().children(recursive=True) if session is None else psutil.process_iter()
    return [
        process
        for process in found
        if (os.getsid(process.pid) == session if session else "jupyter_condabuild" in " ".join(process.cmdline()))
    ]


async def test_a_kernel_becomes_an_image_for_others(
    api: Api, kernelspec: str, base_reference: str, registry: str, docker_client: docker.DockerClient
) -> None:
    """Snapshot, build, events, lock file and share commands match the contract, and the image runs."""
    reference = f"{registry}/server/{uuid.uuid4().hex}:first"
    kernel = await started(api, kernelspec)
    before = await api("POST", "condabuild/snapshots", {"kernel_id": kernel, "reference": reference})
    assert before.status == 200, before.body
    check(before.json, "Snapshot")
    assert {"ipykernel", "python"} <= {package["name"] for package in before.json["conda"]}

    body = {"kernel_id": kernel, "reference": reference, "base": base_reference, "push": True}
    answer = await api("POST", "condabuild/builds", body)
    assert answer.status == 201, answer.body
    check(answer.json, "Build")
    assert answer.headers["Location"].endswith(f"/condabuild/builds/{answer.json['id']}")
    messages = [message async for message in api.messages(answer.json["id"])]
    events = [message.data for message in messages if message.event == "message"]
    for event in events:
        check(event, "Event")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [message.id for message in messages if message.event == "message"] == [str(one["seq"]) for one in events]
    assert [event["type"] for event in events if event["type"] in LAST] == ["finished"]
    build = messages[-1].data
    check(build, "Build")
    assert (build["state"], build["kernel_id"], build["request"]["reference"]) == ("finished", kernel, reference)
    assert (build["error"], build["position"], build["cancelling"]) == (None, None, False)
    assert build["result"]["environment"] == before.json["digest"]
    assert (await api("GET", f"condabuild/builds/{build['id']}")).json == build
    assert (await api("GET", "condabuild/builds")).json == {"builds": [build], "total": 1}

    body = {"kernel_id": kernel, "reference": reference, "base": base_reference}
    after = await api("POST", "condabuild/snapshots", body)
    plan = after.json["plan"]
    assert (plan["packages_changed"], plan["bytes_to_push"], plan["compared"]) == (0, 0, True)
    assert (before.json["plan"]["current"], plan["current"]) == ("", build["result"]["digest"])
    steps = await api("POST", "condabuild/snapshots", {"kernel_id": kernel, "reference": reference, "engine": "docker"})
    assert steps.json["plan"]["current"] == build["result"]["digest"]
    assert {layer["state"] for layer in plan["layers"]} == {"there"}
    assert plan["layers_reused"] == sum(layer["kind"] == "package" for layer in plan["layers"])
    assert plan["summary"].startswith(f"0 of {plan['packages']} packages are in layers that change; about 0 B to push")

    for format in ("conda-lock", "explicit", "pixi", "environment"):
        lock = await api("GET", f"condabuild/lockfiles/{before.json['digest']}?format={format}")
        assert lock.status == 200
        assert "filename=" in lock.headers["Content-Disposition"]
        assert format == "environment" or load(lock.body.decode()).digest == before.json["digest"]

    assert [command["tool"] for command in build["share"]] == ["docker", "podman", "apptainer", "conda"]
    docker_client.images.pull(reference)
    try:
        command = ["python", "-c", "import ipykernel; print(ipykernel.__file__)"]
        out = docker_client.containers.run(reference, command, remove=True, network_mode="none")
        assert out.startswith(b"/opt/env/lib/python3")
    finally:
        docker_client.images.remove(reference, force=True)


async def test_an_unreachable_registry_does_not_hide_the_report(api: Api, rattler_prefix: Path) -> None:
    """The snapshot has the contents of the environment, and the reason why the plan is not compared."""
    body = {"prefix": str(rattler_prefix), "reference": "127.0.0.1:1/nobody/home"}
    answer = await api("POST", "condabuild/snapshots", body)
    assert answer.status == 200, answer.body
    check(answer.json, "Snapshot")
    plan = answer.json["plan"]
    assert (plan["compared"], plan["unavailable"]["code"]) == (False, "registry_unreachable")
    assert plan["packages_changed"] == plan["packages"] == len(answer.json["conda"])


async def test_a_snapshot_for_the_docker_engine_has_its_steps_and_an_estimate(api: Api, rattler_prefix: Path) -> None:
    """The snapshot has the plan for the requested engine, with the same values as a build."""
    body = {"prefix": str(rattler_prefix), "engine": "docker", "installer": "conda", "base": "debian:12"}
    answer = await api("POST", "condabuild/snapshots", body)
    assert answer.status == 200, answer.body
    check(answer.json, "Snapshot")
    plan = answer.json["plan"]
    assert (plan["engine"], plan["compared"], plan["bytes_to_push"]) == ("docker", False, 0)
    assert plan["bytes_total"] == sum(layer["size"] for layer in plan["layers"]) > 1_000_000
    assert "FROM docker.io/library/debian:12" in plan["steps"]
    assert any("conda create" in step for step in plan["steps"])
    assert "finds out during the build" in plan["summary"]


async def test_the_server_answers_during_a_snapshot(
    api: Api, rattler_prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process of the snapshot is stopped at its start. Other requests are answered before it continues."""
    gone, slow = tmp_path / "go", tmp_path / "python"
    os.mkfifo(gone)
    slow.write_text(f'#!/bin/sh\nread _ < "{gone}"\nexec "{sys.executable}" "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    released = threading.Event()

    def release() -> None:
        released.set()
        gone.write_text("go\n")

    rescue = threading.Timer(20, release)  # a server that waits for the snapshot would wait for ever
    rescue.start()
    snapshot = asyncio.ensure_future(api("POST", "condabuild/snapshots", {"prefix": str(rattler_prefix)}))
    try:
        for _ in range(20):
            assert (await api("GET", "api/status")).status == 200
        assert not released.is_set()
    finally:
        rescue.cancel()
    await asyncio.to_thread(release)
    assert (await snapshot).status == 200


async def test_fifty_clicks_are_one_build(api: Api, held: dict[str, Any], gate: Gate) -> None:
    """The same request joins a running build. Another destination, option or environment is another build."""
    answers = await asyncio.gather(*(api("POST", "condabuild/builds", held) for _ in range(50)))
    assert sorted(answer.status for answer in answers) == [200] * 49 + [201]
    assert len({answer.json["id"] for answer in answers}) == 1
    await asyncio.to_thread(gate.wait)
    assert len({os.getsid(process.pid) for process in building()}) == 1
    for more in ({"reference": held["reference"] + "-2"}, {"variables": True}):
        answer = await api("POST", "condabuild/builds", {**held, **more})
        assert answer.status == 201, more
    gate.opened.set()
    for build in (await api("GET", "condabuild/builds")).json["builds"]:
        assert (await api.ended(build["id"]))["state"] == "finished"


async def test_an_existing_image_is_not_built_again(api: Api, tmp_path: Path, small_base: str, registry: str) -> None:
    """As long as the image, the environment and the base are the same, the same request gets the same build."""
    small = SmallPrefix(tmp_path / "small")
    small.add("numbers", files={"share/numbers.txt": b"1"})
    base = f"{registry}/server/base:{tmp_path.name}"
    put_base(base)
    body = {"prefix": str(small.path), "base": base, "push": True, "reference": f"{registry}/server/{tmp_path.name}"}

    async def built(**more: Any) -> tuple[int, str]:
        answer = await api("POST", "condabuild/builds", {**body, **more})
        build = await api.ended(answer.json["id"])
        assert build["state"] == "finished", build
        return answer.status, build["id"]

    first = await built()
    assert first[0] == 201
    assert await built() == (200, first[1])
    again = await built(again=True)
    assert again[0] == 201
    assert await built() == (200, again[1])
    (small.path / "notes.txt").write_text("more")
    changed = await built()
    assert changed[0] == 201
    put_base(base, b"2")
    rebased = await built()
    assert rebased[0] == 201
    assert await built() == (200, rebased[1])
    remove(f"{registry}/server/{tmp_path.name}:latest")
    assert (await built())[0] == 201


class TestWithASmallQueue:
    """A server that runs one build at a time, and lets two builds wait."""

    @pytest.fixture
    def config(self, server_store: Path, small_base: str) -> dict[str, Any]:
        """The settings."""
        return {
            "store_dir": str(server_store),
            "base_image": small_base,
            "max_concurrent_builds": 1,
            "max_queued_builds": 2,
        }

    async def test_builds_wait_in_order_and_report_their_position(
        self, api: Api, held: dict[str, Any], gate: Gate
    ) -> None:
        """The stream has each change of the position.

        Too many builds are refused. A waiting build that is cancelled never runs.
        """
        ids = []
        for number in range(3):
            answer = await api("POST", "condabuild/builds", {**held, "reference": f"{held['reference']}-{number}"})
            assert answer.status == 201
            ids.append(answer.json["id"])
        refused = await api("POST", "condabuild/builds", {**held, "reference": f"{held['reference']}-3"})
        assert (refused.status, error_of(refused)) == (429, "queue_full")
        builds = (await api("GET", "condabuild/builds")).json["builds"]
        assert [(build["id"], build["state"], build["position"]) for build in builds] == [
            (ids[2], "queued", 2),
            (ids[1], "queued", 1),
            (ids[0], "running", None),
        ]
        told = []

        async def listen() -> None:
            async for message in api.messages(ids[2]):
                if message.event == "build":
                    told.append((message.data["state"], message.data["position"]))

        listening = asyncio.ensure_future(listen())
        await until(lambda: told)
        cancelled = await api("DELETE", f"condabuild/builds/{ids[1]}")
        assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled")
        await until(lambda: len(told) > 1)
        gate.opened.set()
        await asyncio.wait_for(listening, 120)
        assert told == [("queued", 2), ("queued", 1), ("running", None), ("finished", None)]
        messages = [message async for message in api.messages(ids[1])]
        assert [message.data.get("type", message.event) for message in messages] == ["build", "cancelled", "build"]
        assert (await api("GET", f"condabuild/builds/{ids[1]}")).json["started"] is None


async def test_a_cancelled_build_ends_with_all_its_processes(
    api: Api, held: dict[str, Any], gate: Gate, server_store: Path
) -> None:
    """Its readers get the event, none of its processes is left, the store is not damaged, and the next build works."""
    id = (await api("POST", "condabuild/builds", held)).json["id"]
    await asyncio.to_thread(gate.wait)
    (pid,) = {os.getsid(process.pid) for process in building()}
    answer = await api("DELETE", f"condabuild/builds/{id}")
    assert (answer.status, answer.json["state"], answer.json["cancelling"]) == (202, "running", True)
    messages = [message async for message in api.messages(id)]
    assert messages[-2].data["type"] == "cancelled"
    assert (messages[-1].data["state"], messages[-1].data["cancelling"]) == ("cancelled", False)
    assert building(pid) == []
    once_more = await api("DELETE", f"condabuild/builds/{id}")
    assert (once_more.status, once_more.json["state"]) == (200, "cancelled")
    gate.opened.set()
    answer = await api("POST", "condabuild/builds", held)
    assert answer.status == 201
    assert (await api.ended(answer.json["id"]))["state"] == "finished"
    with Store(server_store) as store:
        assert list(store.tmp.iterdir()) == []
    assert [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE] == []


async def test_a_build_that_ignores_signals_is_killed(
    api: Api, held: dict[str, Any], gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build that does not react to a signal is killed after some time, and counts as cancelled."""
    monkeypatch.setattr(supervisor, "CANCEL_SECONDS", 0.2)
    id = (await api("POST", "condabuild/builds", held)).json["id"]
    await asyncio.to_thread(gate.wait)
    (pid,) = {os.getsid(process.pid) for process in building()}
    os.kill(pid, signal.SIGSTOP)
    await api("DELETE", f"condabuild/builds/{id}")
    assert (await api.ended(id))["state"] == "cancelled"
    for _ in range(200):  # a child ends when its input ends
        if not building(pid):
            break
        await asyncio.sleep(0.05)
    assert building(pid) == []


@pytest.mark.parametrize("setting", ["max_build_seconds", "max_build_memory"])
class TestWithALimit:
    """A server with a limit that every build exceeds."""

    @pytest.fixture
    def config(self, server_store: Path, small_base: str, setting: str) -> dict[str, Any]:
        """The settings."""
        return {"store_dir": str(server_store), "base_image": small_base, setting: 1}

    async def test_a_build_that_exceeds_a_limit_is_ended_and_names_the_limit(
        self, api: Api, held: dict[str, Any], setting: str
    ) -> None:
        """The build is failed, and not cancelled. The hint names the setting."""
        id = (await api("POST", "condabuild/builds", held)).json["id"]
        messages = [message async for message in api.messages(id)]
        check(messages[-2].data, "FailedEvent")
        assert messages[-1].data["state"] == "failed"
        assert messages[-1].data["error"]["code"] == "build_limit"
        assert setting in messages[-1].data["error"]["hint"]


async def test_a_build_gets_neither_the_servers_secrets_nor_its_folder(
    api: Api, held: dict[str, Any], gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens of the server are not in its environment. A module in the server's folder is not imported."""
    for name in ("JUPYTERHUB_API_TOKEN", "JUPYTER_TOKEN", "JPY_API_TOKEN"):
        monkeypatch.setenv(name, "secret-of-the-server")
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(tmp_path)
    id = (await api("POST", "condabuild/builds", held)).json["id"]
    await asyncio.to_thread(gate.wait)
    assert building()
    for process in building():
        assert "secret-of-the-server" not in process.environ().values()
        assert process.nice() > psutil.Process().nice()
    gate.opened.set()
    assert (await api.ended(id))["state"] == "finished"


async def test_a_failed_build_has_its_error(api: Api, held: dict[str, Any]) -> None:
    """The error is that of the build, with code and hint."""
    body = {**held, "reference": "127.0.0.1:1/nobody/home", "base": "oci-archive:no/such/base.tar"}
    build = await api.ended((await api("POST", "condabuild/builds", body)).json["id"])
    check(build, "Build")
    assert (build["state"], build["error"]["code"], build["result"]) == ("failed", "base_unavailable", None)
    assert build["error"]["hint"]


async def test_a_build_from_a_lock_file_and_into_an_archive(
    api: Api, rattler_prefix: Path, small_base: str, jp_root_dir: Path
) -> None:
    """The lock file of a snapshot is built unchanged. The archive and the workspace's files are in the root folder.

    The share commands name the archive alone, because a labmate has the file in another folder.
    """
    (jp_root_dir / "notebook.ipynb").write_text("{}")
    digest = (await api("POST", "condabuild/snapshots", {"prefix": str(rattler_prefix)})).json["digest"]
    body = {"lockfile": digest, "base": small_base, "archive": "docker-archive:out.tar", "include": "."}
    build = await api.ended((await api("POST", "condabuild/builds", body)).json["id"])
    assert build["state"] == "finished", build["error"]
    assert build["request"]["lockfile"] == build["result"]["environment"] == digest
    assert (build["request"]["archive"], build["request"]["include"]) == ("docker-archive:out.tar", ".")
    assert (jp_root_dir / "out.tar").stat().st_size > 1_000_000
    assert "docker load --input" in build["share"][0]["text"]
    assert str(jp_root_dir) not in json.dumps(build["share"])
    assert json.dumps(build).count(str(jp_root_dir)) == 1


async def test_the_base_of_the_settings_is_shown(api: Api, rattler_prefix: Path, small_base: str) -> None:
    """A client that repeats the build, or puts the image on another base, starts from the base that the build had."""
    body = {"prefix": str(rattler_prefix), "archive": "shown.tar"}
    build = (await api("POST", "condabuild/builds", body)).json
    assert build["request"]["base"] == small_base
    await api("DELETE", f"condabuild/builds/{build['id']}")
    assert (await api.ended(build["id"]))["state"] in ("cancelled", "finished")
