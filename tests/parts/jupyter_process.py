"""A Jupyter server as its own process, which tests start, kill and start again with the same home folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

T = TypeVar("T")

LIMIT = 120.0
"""The longest wait for anything, in seconds."""

TOKEN = "a-token-for-tests"


def until(condition: Callable[[], T]) -> T:
    """Waits until the condition is true, and returns its value."""
    deadline = time.monotonic() + LIMIT
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition was not true in time"
        time.sleep(0.02)
    return value


@dataclass
class Home:
    """A user's home folder, with the settings for every server in it."""

    path: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """The folder of the extension's history."""
        return self.path / ".local/share/jupyter/condabuild"

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables of a server."""
        kept = {
            name: os.environ[name] for name in ("PATH", "PYTHONPATH", "DOCKER_HOST", "TMPDIR") if name in os.environ
        }
        settings = {f"CONDABUILD_{name.upper()}": value for name, value in self.settings.items()}
        return {**kept, "HOME": str(self.path), "JUPYTER_NO_CONFIG": "1", "LC_ALL": "C.UTF-8", **settings}


class Server:
    """A running server; a context manager that ends it."""

    def __init__(self, home: Home, *arguments: str, extension: str = "jupyter_condabuild") -> None:
        """Starts the server with arguments and with one extension."""
        self._log = (home.path / "server.log").open("ab")
        self.home = home
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ServerApp.port=0"]
        command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={home.path}"]
        command += [f"--ServerApp.jpserver_extensions={{'{extension}': True}}", *arguments]
        self.process = subprocess.Popen(command, env=home.environ, stdout=self._log, stderr=self._log)
        about = home.path / f".local/share/jupyter/runtime/jpserver-{self.process.pid}.json"

        def listening() -> Any:
            assert self.process.poll() is None, self.log
            try:
                return json.loads(about.read_text())
            except (OSError, ValueError):
                return None

        self._url = until(listening)["url"]
        self.client = self.another_client()

    def another_client(self) -> httpx.Client:
        """Returns a client that has logged in, for one thread."""
        return httpx.Client(base_url=self._url, headers={"Authorization": f"token {TOKEN}"}, timeout=LIMIT)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end(signal.SIGTERM)

    def end(self, number: signal.Signals) -> None:
        """Ends the server by a signal, and waits for its end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(LIMIT)
        self.client.close()
        self._log.close()

    @property
    def log(self) -> str:
        """The log of the servers in this home folder."""
        return (self.home.path / "server.log").read_text()

    @property
    def memory(self) -> int:
        """The memory of the server in bytes, without its children."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def post(self, body: dict[str, Any]) -> httpx.Response:
        """Requests a build."""
        return self.client.post("condabuild/builds", json=body)

    def build(self, id: str) -> Any:
        """Returns a build."""
        return self.client.get(f"condabuild/builds/{id}").raise_for_status().json()

    def messages(self, id: str, last: int = 0) -> Iterator[tuple[str, str, Any]]:
        """Yields event name, id and data of a build's messages, to the end."""
        headers = {"Last-Event-ID": str(last)}
        with self.client.stream("GET", f"condabuild/builds/{id}/events", headers=headers) as response:
            fields: dict[str, str] = {}
            for line in response.iter_lines():
                if not line and fields:
                    yield fields.get("event", "message"), fields.get("id", ""), json.loads(fields["data"])
                    fields = {}
                name, colon, value = line.partition(": ")
                if colon and name:
                    fields[name] = value

    def ended(self, id: str) -> Any:
        """Waits for the end of a build, and checks that every event came once."""
        *messages, last = self.messages(id)
        ids = [int(id) for _, id, _ in messages if id]
        assert ids == list(range(1, len(ids) + 1))
        assert last[0] == "build"
        return last[2]


def of_build(pid: int) -> list[psutil.Process]:
    """Returns the processes of a build's session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def latencies(servers: Sequence[Server], wanted: Callable[[int], bool]) -> list[list[float]]:
    """Returns the sorted times of GET /api/status in seconds, for each server.

    Requests are sent to each server in turn, as long as `wanted` accepts their number.
    """
    taken: list[list[float]] = [[] for _ in servers]
    while wanted(len(taken[0])):
        for server, seconds in zip(servers, taken, strict=True):
            started = time.perf_counter()
            server.client.get("api/status").raise_for_status()
            seconds.append(time.perf_counter() - started)
    return [sorted(seconds) for seconds in taken]


def percentile(taken: list[float], share: float) -> float:
    """Returns a percentile of sorted values."""
    return taken[min(len(taken) - 1, int(len(taken) * share))]
