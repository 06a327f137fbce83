"""A real JupyterHub with its proxy, as processes of the tests; its users, their servers, tokens and browsers."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil

from jupyter_condabuild.server.history import BuildHistory
from tests.conftest import missing
from tests.parts.jupyter_process import LIMIT, until

ROOT = Path(__file__).parents[2]

CONFIGURATION = """
import json
from pathlib import Path

given = json.loads(Path({given!r}).read_text())
c.JupyterHub.bind_url = given["url"]
c.JupyterHub.hub_port = given["hub_port"]
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.allow_all = True
c.JupyterHub.services = [{{"name": "tests", "api_token": given["token"]}}]
c.JupyterHub.load_roles = [{{
    "name": "tests",
    "services": ["tests"],
    "scopes": ["admin:users", "admin:servers", "tokens", "list:users", "read:users:activity", "delete:servers"],
}}]
c.ConfigurableHTTPProxy.command = given["proxy"]
c.ConfigurableHTTPProxy.api_url = given["proxy_api"]
c.ConfigurableHTTPProxy.check_running_interval = 1
# Servers tell the hub their last activity each second, so that a test of the culler is short.
c.Spawner.environment = {{"JUPYTERHUB_ACTIVITY_INTERVAL": "1", **given["environ"]}}
c.Spawner.args = ["--allow-root"]
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = given["homes"] + "/{{username}}"
"""
"""The configuration of the hub. A test can add lines."""


def free_ports(count: int) -> list[int]:
    """Returns ports of loopback that nothing uses."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


@dataclass
class Hub:
    """A running hub. The requests of `api` have the rights of a service that may start, stop and watch servers."""

    folder: Path
    url: str
    token: str
    process: subprocess.Popen[bytes]
    api: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        """Makes the client of the hub's API."""
        headers = {"Authorization": f"token {self.token}"}
        self.api = httpx.Client(base_url=f"{self.url}/hub/api/", headers=headers, timeout=LIMIT)

    def answers(self) -> bool:
        """Returns whether the hub answers through its proxy. Fails if the hub has ended."""
        assert self.process.poll() is None, self.log
        try:
            return self.api.get("").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def log(self) -> str:
        """The log of the hub, its proxy and all servers."""
        return (self.folder / "hub.log").read_text()

    def home(self, user: str) -> Path:
        """Returns the home folder of a user."""
        return self.folder / "homes" / user

    def build_process(self, user: str, id: str) -> int:
        """Returns the number of a build's process."""
        history = BuildHistory(self.home(user) / ".local/share/jupyter/condabuild/history.sqlite")
        try:
            pid = history.get(id).pid
        finally:
            history.close()
        assert pid
        return pid

    def start(self, *users: str) -> None:
        """Makes the users that do not exist yet, and starts the servers of all of them."""
        for user in users:
            assert self.api.post(f"users/{user}").status_code in (201, 409)
            assert self.api.post(f"users/{user}/server").status_code in (201, 202), self.log
        for user in users:
            until(partial(self._is_ready, user))

    def _is_ready(self, user: str) -> bool:
        return bool(self.server(user).get("ready"))

    def stop(self, user: str) -> None:
        """Ends the user's server."""
        assert self.api.delete(f"users/{user}/server").status_code in (202, 204), self.log
        until(lambda: not self.server(user))

    def server(self, user: str) -> dict[str, Any]:
        """Returns what the hub knows of the user's server; empty if the server does not run."""
        answer = self.api.get(f"users/{user}", params={"include_stopped_servers": "false"})
        servers: dict[str, dict[str, Any]] = answer.raise_for_status().json()["servers"]
        return servers.get("", {})

    def last_activity(self, user: str) -> datetime:
        """Returns when the user's server was last in use, as the hub knows it."""
        return datetime.fromisoformat(self.server(user)["last_activity"])

    def issue(self, user: str, *scopes: str) -> str:
        """Returns a new token of the user with these scopes."""
        answer = self.api.post(f"users/{user}/tokens", json={"scopes": scopes, "note": "a test"})
        return str(answer.raise_for_status().json()["token"])

    def client(self, user: str, *scopes: str, of: str = "") -> httpx.Client:
        """Returns a client of the user's server, with a token of the same user (or of the user `of`) with scopes.

        Without scopes, the token may access the servers of its owner.
        """
        owner = of or user
        token = self.issue(owner, *(scopes or (f"access:servers!user={owner}",)))
        headers = {"Authorization": f"token {token}"}
        return httpx.Client(base_url=f"{self.url}/user/{user}/", headers=headers, timeout=LIMIT)

    def browser(self, user: str) -> httpx.Client:
        """Returns a client that has the cookies of a person who logged in and opened the server."""
        client = httpx.Client(base_url=f"{self.url}/user/{user}/", follow_redirects=True, timeout=LIMIT)
        form = client.get(f"{self.url}/hub/login").raise_for_status().text
        (xsrf,) = re.findall(r'name="_xsrf" value="([^"]+)"', form)
        client.post(f"{self.url}/hub/login", data={"username": user, "password": "any", "_xsrf": xsrf})
        client.get("lab").raise_for_status()
        return client

    @property
    def proxy(self) -> Path:
        """The file with the number of the proxy's process. The hub writes it at each start of the proxy."""
        return self.folder / "jupyterhub-proxy.pid"


def messages(client: httpx.Client, id: str, last: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the number and the data of each event of a build after the event `last`."""
    with client.stream("GET", f"condabuild/builds/{id}/events", headers={"Last-Event-ID": str(last)}) as response:
        assert response.status_code == 200, response.read()
        number = 0
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            elif name == "data" and number:
                yield number, json.loads(value)
                number = 0


def ended(client: httpx.Client, id: str) -> dict[str, Any]:
    """Waits for the end of a build, and returns the build."""
    *_, (_, last) = messages(client, id)
    assert last["type"] in ("finished", "failed", "cancelled"), last
    found: dict[str, Any] = client.get(f"condabuild/builds/{id}").raise_for_status().json()
    return found


@contextmanager
def running_hub(folder: Path, environ: dict[str, str], more: str = "") -> Iterator[Hub]:
    """Runs a hub with its proxy on free ports of loopback until it has answered, and ends them and all servers.

    Args:
        folder: the files of the hub, and the home folders of its users.
        environ: the variables of all servers.
        more: lines for the configuration.
    """
    proxy = ROOT / "node_modules/.bin/configurable-http-proxy"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if not proxy.exists() or not shutil.which("node", path=path):
        missing("configurable-http-proxy is not installed: scripts/venv installs it")
    (folder / "homes").mkdir(parents=True)
    port, hub_port, api = free_ports(3)
    given = {
        "url": f"http://127.0.0.1:{port}",
        "hub_port": hub_port,
        "proxy_api": f"http://127.0.0.1:{api}",
        "proxy": [str(proxy)],
        "token": secrets.token_hex(16),
        "environ": environ,
        "homes": str(folder / "homes"),
    }
    (folder / "given.json").write_text(json.dumps(given))
    configuration = folder / "jupyterhub_config.py"
    configuration.write_text(CONFIGURATION.format(given=str(folder / "given.json")) + more)
    kept = {name: os.environ[name] for name in ("DOCKER_HOST", "TMPDIR") if name in os.environ}
    variables = {"PATH": path, "HOME": str(folder), "LC_ALL": "C.UTF-8", "NO_COLOR": "1", **kept}
    with (folder / "hub.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "--config", configuration],
            cwd=folder,
            env=variables,
            stdout=log,
            stderr=log,
        )
        hub = Hub(folder, str(given["url"]), str(given["token"]), process)
        try:
            until(hub.answers)
            yield hub
        finally:
            hub.api.close()
            # At its end, the hub stops the servers and the proxy, but not a proxy that it just starts again.
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT)
            for other in psutil.process_iter(["cmdline"]):
                if str(api) in (other.info["cmdline"] or ()) and str(proxy) in other.info["cmdline"]:
                    other.kill()
