"""The extension on a real JupyterHub: its routes behind the proxy, who may use them, and builds without a server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hub.real_hub import Hub, ended, messages, running_hub
from tests.parts.gate import Gate
from tests.parts.jupyter_process import of_build, until
from tests.ui.browser import play


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, small_base: str) -> Iterator[Hub]:
    """A hub with the servers of two users."""
    folder = tmp_path_factory.mktemp("hub")
    with running_hub(folder / "hub", {"CONDABUILD_BASE_IMAGE": small_base}) as hub:
        hub.start("alice", "bob")
        yield hub


@pytest.fixture
def gate(registry: str) -> Iterator[Gate]:
    """A closed gate in front of the registry."""
    with Gate(registry) as gate:
        yield gate


def asked(prefix: Path, registry: str) -> dict[str, Any]:
    """Returns the request for a build that is pushed to a new repository."""
    return {"prefix": str(prefix), "push": True, "reference": f"{registry}/hub/{uuid.uuid4().hex}:one"}


def test_a_person_builds_behind_the_proxy_with_cookies(hub: Hub, rattler_prefix: Path, registry: str) -> None:
    """The cookies of the hub are enough to read; a request that writes also needs the token against forgery (XSRF).

    A stream of events passes the proxy as it is written, and the build runs to its end.
    """
    with closing(hub.browser("alice")) as person:
        assert person.get("condabuild/status", params={"probes": "false"}).status_code == 200
        body = asked(rattler_prefix, registry)
        forged = person.post("condabuild/builds", json=body)
        assert (forged.status_code, forged.json()["code"]) == (403, "forbidden")
        (xsrf,) = [one.value for one in person.cookies.jar if one.name == "_xsrf" and one.path == "/user/alice/"]
        made = person.post("condabuild/builds", json=body, headers={"X-XSRFToken": str(xsrf)})
        assert made.status_code == 201, made.text
        assert made.headers["Location"].startswith("/user/alice/condabuild/builds/")
        build = ended(person, made.json()["id"])
        assert build["state"] == "finished", build
        assert build["result"]["reference"] == body["reference"]


def test_the_panel_of_a_hubs_user(hub: Hub, kernel_prefix: Path, registry: str) -> None:
    """In Chromium: a login at the hub, the panel below /user/NAME/, and a build during which the proxy restarts."""
    home = hub.home("alice")
    spec = home / ".local/share/jupyter/kernels/demo/kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [str(kernel_prefix / "bin/python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "demo", "language": "python"}))
    kernel = {"name": "demo", "display_name": "demo", "language": "python"}
    notebook = {"cells": [], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (home / "analysis.ipynb").write_text(json.dumps(notebook))
    # Otherwise JupyterLab displays a question about news above the panel.
    settings = home / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false"}')
    variables = {"CONDABUILD_UI_HUB": hub.url, "CONDABUILD_UI_PROXY": str(hub.proxy)}
    play("hub", CONDABUILD_UI_REGISTRY=registry, **variables)


def test_only_a_token_with_the_scope_of_the_server_is_accepted(hub: Hub) -> None:
    """A token of the user without access:servers is refused, and so is the token of another user, with a hint."""
    with hub.client("alice") as own:
        assert own.get("condabuild/builds").status_code == 200
    for scopes, owner in ((("read:users!user=alice",), "alice"), (("access:servers!user=bob",), "bob")):
        with hub.client("alice", *scopes, of=owner) as refused:
            for answer in (refused.get("condabuild/builds"), refused.post("condabuild/builds", json={})):
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), answer.text
                assert "access:servers" in answer.json()["hint"]


def test_a_stream_continues_after_a_restart_of_the_proxy(hub: Hub, rattler_prefix: Path, gate: Gate) -> None:
    """The stream breaks with the proxy. A reader that connects again gets the events after its last one, each once."""
    with hub.client("alice") as client:
        id = client.post("condabuild/builds", json=asked(rattler_prefix, gate.host)).json()["id"]
        gate.wait()
        seen: list[int] = []
        try:
            for number, _ in messages(client, id):
                seen.append(number)
                if number == 1:
                    os.kill(int(hub.proxy.read_text()), signal.SIGKILL)
        except httpx.TransportError:
            pass
        assert seen
        assert seen[0] == 1
        until(lambda: _state(client, id) == "running")
        gate.opened.set()
        seen += [number for number, _ in messages(client, id, seen[-1])]
        assert seen == list(range(1, len(seen) + 1))
        assert _state(client, id) == "finished"


def _state(client: httpx.Client, id: str) -> str:
    """Returns the state of a build. Empty while the proxy does not lead to the server."""
    try:
        answer = client.get(f"condabuild/builds/{id}")
    except httpx.TransportError:
        return ""
    return str(answer.json()["state"]) if answer.status_code == 200 else ""


def test_a_server_that_starts_again_finds_its_build(hub: Hub, rattler_prefix: Path, gate: Gate) -> None:
    """A build runs on without its server, where the hub ends the server alone.

    Where the hub ends all processes of the user, as with a pod, the next server says that the build was interrupted.
    """
    with hub.client("alice") as client:
        ids = [client.post("condabuild/builds", json=asked(rattler_prefix, gate.host)).json()["id"] for _ in "12"]
        gate.wait()
        seen, _ = next(iter(messages(client, ids[0])))
        pids = [hub.build_process("alice", id) for id in ids]
        hub.stop("alice")
        os.killpg(pids[1], signal.SIGKILL)
        until(lambda: not of_build(pids[1]))
        hub.start("alice")
        assert _state(client, ids[0]) == "running"
        gate.opened.set()
        numbers = [number for number, _ in messages(client, ids[0], seen)]
        assert numbers == list(range(seen + 1, seen + 1 + len(numbers)))
        assert _state(client, ids[0]) == "finished"
        lost = ended(client, ids[1])
        assert lost["state"] == "interrupted"
        assert "Build again" in lost["error"]["hint"]


def test_the_culler_ends_an_idle_server_but_not_one_that_builds(hub: Hub, rattler_prefix: Path, gate: Gate) -> None:
    """A build that runs is activity, also if no browser is open. After its end, the server is idle, too."""
    command = [sys.executable, "-m", "jupyterhub_idle_culler", f"--url={hub.url}/hub/api", "--timeout=3"]
    environ = {**os.environ, "JUPYTERHUB_API_TOKEN": hub.token}
    with hub.client("alice") as client:
        id = client.post("condabuild/builds", json=asked(rattler_prefix, gate.host)).json()["id"]
        gate.wait()
    asked_at = datetime.now(UTC)
    with subprocess.Popen([*command, "--cull-every=1"], env=environ) as culler:
        try:
            until(lambda: not hub.server("bob"))
            until(lambda: hub.last_activity("alice") - asked_at > timedelta(seconds=5))
            assert of_build(hub.build_process("alice", id))
            gate.opened.set()
            until(lambda: not hub.server("alice"))
        finally:
            culler.terminate()
