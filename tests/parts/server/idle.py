"""A reader that gets no event for 75 seconds, behind a proxy that drops silent connections after 60 real seconds."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from tests.parts.jupyter_process import TOKEN, Home, Server
from tests.parts.registry.faults import Relay
from tests.parts.server.script import Script

PATIENCE = 60.0
"""The seconds without a byte from the server after which the proxy ends a connection: nginx's default."""

COMMENTS = 5
"""A comment comes every 15 seconds, so this is 75 seconds without an event."""


class ImpatientProxy(Relay):
    """A relay that ends a connection if the server sends nothing for some time."""

    def _pass(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        if direction == "received":
            source.settimeout(PATIENCE)
        super()._pass(source, sink, direction)


@dataclass(frozen=True)
class Idled:
    """The result of the reader.

    Attributes:
        comments: the seconds after which each comment came.
        line: the event after the last comment.
        silence: the seconds after which the proxy ended another connection, on which the server sent nothing.
    """

    comments: tuple[float, ...]
    line: str
    silence: float


def idle(home: Home) -> Idled:
    """Follows a silent build until its next event."""
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
        connection.sendall(b"GET /api/status HTTP/1.1\r\n")  # and no more: the server waits for the rest of the request
        assert connection.recv(1) == b""
        return time.monotonic() - started
