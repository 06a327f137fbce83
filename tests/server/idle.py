"""A reader that hears nothing for 75 seconds, behind a proxy that drops what is idle for 60: in real time."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from tests.parts.jupyter_process import TOKEN, Home, Server
from tests.parts.registry.faults import Relay
from tests.server.script import Script

PATIENCE = 60.0
"""Seconds without a byte from the server, after which the proxy ends a connection: nginx's default."""

COMMENTS = 5
"""One every 15 seconds: 75 seconds in which nothing happens."""


class ImpatientProxy(Relay):
    """A relay that ends connections when nothing came from the server for a while."""

    def _pass(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        if direction == "received":
            source.settimeout(PATIENCE)
        super()._pass(source, sink, direction)


@dataclass(frozen=True)
class Idled:
    """What came of it.

    `comments` are the seconds after which each comment came, `line` is the event that came after the last one, and
    `silence` the seconds after which the proxy ended another connection, on which the server had nothing to say.
    """

    comments: tuple[float, ...]
    line: str
    silence: float


def idle(home: Home) -> Idled:
    """Follows a build in which nothing happens, until something does."""
    with Script(home.state) as script, Server(home) as server, ThreadPoolExecutor(1) as pool:
        address = f"127.0.0.1:{server.client.base_url.port}"
        with ImpatientProxy(address) as proxy:
            silence = pool.submit(_silence, proxy.host)
            line, comments = "", []
            headers = {"Authorization": f"token {TOKEN}"}
            path = f"condabuild/builds/{script.id}/events"
            started = time.monotonic()
            with (
                httpx.Client(base_url=f"http://{proxy.host}", headers=headers, timeout=2 * PATIENCE) as client,
                client.stream("GET", path) as response,
            ):
                for text in response.iter_lines():
                    if text == ": keepalive":
                        comments.append(time.monotonic() - started)
                        if len(comments) == COMMENTS:
                            script.log(1)
                    if text.startswith("data: ") and '"type": "log"' in text:
                        line = text
                        break
            return Idled(tuple(comments), line, silence.result())


def _silence(host: str) -> float:
    address, _, port = host.rpartition(":")
    with socket.create_connection((address, int(port)), timeout=2 * PATIENCE) as connection:
        started = time.monotonic()
        connection.sendall(b"GET /api/status HTTP/1.1\r\n")  # and no more: the server waits for the rest of it
        assert connection.recv(1) == b""
        return time.monotonic() - started
