"""A Jupyter server with the extension in the process of the test, and its client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp
from pytest_jupyter.jupyter_server import *  # noqa: F403
from tornado.httpclient import AsyncHTTPClient
from traitlets.config import Config

from tests.parts.gate import Gate

LIMIT = 120.0
"""The longest wait for anything, in seconds."""

LAST = ("finished", "failed", "cancelled")


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Message:
    """A server-sent event."""

    data: Any
    event: str = "message"
    id: str = ""


@dataclass
class Api:
    """A client of the extension's routes. `headers` are the headers of a user who has logged in."""

    app: ServerApp
    client: AsyncHTTPClient
    port: int
    base: str
    headers: dict[str, str] = field(default_factory=dict)

    async def __call__(self, method: str, path: str, body: object = None, **options: Any) -> Answer:
        """Sends a request and returns any response. `body` is sent as JSON unless it is bytes."""
        options = {"headers": self.headers, "request_timeout": LIMIT, **options}
        if method in ("POST", "PUT", "PATCH"):
            options["body"] = body if isinstance(body, bytes) else json.dumps(body)
        response = await self.client.fetch(
            f"{self.base}{path}", method=method, raise_error=False, follow_redirects=False, **options
        )
        return Answer(response.code, response.body or b"", response.headers)

    @asynccontextmanager
    async def stream(self, id: str, last: int | None = None) -> AsyncIterator[asyncio.StreamReader]:
        """Returns the raw bytes of a build's events, with the head of the response."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)
        head = [f"GET {self.base}condabuild/builds/{id}/events HTTP/1.0", f"Host: localhost:{self.port}"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        if last is not None:
            head.append(f"Last-Event-ID: {last}")
        writer.write("\r\n".join([*head, "", ""]).encode())
        try:
            yield reader
        finally:
            writer.close()

    async def messages(self, id: str, last: int | None = None) -> AsyncIterator[Message]:
        """Returns the messages of a build until the end of the stream, without comments."""
        async with self.stream(id, last) as reader:
            status = await reader.readline()
            assert b" 200 " in status, status
            while await reader.readline() != b"\r\n":
                pass
            async for message in parsed(reader):
                yield message

    async def ended(self, id: str) -> dict[str, Any]:
        """Returns the build after its end."""
        last: Any = None
        async with asyncio.timeout(LIMIT):
            async for message in self.messages(id):
                last = message
        assert last.event == "build"
        return last.data


async def parsed(reader: asyncio.StreamReader) -> AsyncIterator[Message]:
    """Parses server-sent events as in the specification. A cut event does not count."""
    fields: dict[str, str] = {}
    while line := await asyncio.wait_for(reader.readline(), LIMIT):
        text = line.decode().removesuffix("\n")
        if not text and fields:
            yield Message(json.loads(fields["data"]), fields.get("event", "message"), fields.get("id", ""))
            fields = {}
        name, colon, value = text.partition(": ")
        if colon and name:
            fields[name] = value


async def until(condition: Callable[[], Awaitable[Any] | Any]) -> Any:
    """Waits until the condition is true, and returns its value."""
    async with asyncio.timeout(LIMIT):
        while True:
            value = condition()
            value = await value if asyncio.iscoroutine(value) else value
            if value:
                return value
            await asyncio.sleep(0.01)


@pytest.fixture
def jp_server_cleanup(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """The fixture of pytest-jupyter, for tests with a server."""
    yield
    app = ServerApp.instance()
    jp_asyncio_loop.run_until_complete(app._cleanup())
    app.kernel_manager.context.destroy()
    ServerApp.clear_instance()


@pytest.fixture(scope="session")
def server_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer store for the builds of all tests, so that each layer is built once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def config(server_store: Path, small_base: str) -> dict[str, Any]:
    """The settings of the extension. A module with other settings has a fixture with this name.

    A client may name the base of the settings, although the base lies outside of the root folder.
    """
    return {"store_dir": str(server_store), "base_image": small_base}


@pytest.fixture
def jp_server_config(config: dict[str, Any]) -> Config:
    """The configuration of the server."""
    return Config({"ServerApp": {"jpserver_extensions": {"jupyter_condabuild": True}}, "CondaBuild": config})


@pytest.fixture
def api(
    jp_server_cleanup: None,
    jp_serverapp: ServerApp,
    http_server_client: AsyncHTTPClient,
    jp_http_port: int,
    jp_base_url: str,
    jp_auth_header: dict[str, str],
) -> Api:
    """A client that has logged in with a token."""
    return Api(jp_serverapp, http_server_client, jp_http_port, jp_base_url, dict(jp_auth_header))


@pytest.fixture
def gate(registry: str) -> Iterator[Gate]:
    """A closed gate in front of the registry."""
    with Gate(registry) as gate:
        yield gate


@pytest.fixture
def held(rattler_prefix: Path, small_base: str, gate: Gate, tmp_path: Path) -> dict[str, Any]:
    """The request for a build that stops at the gate."""
    reference = f"{gate.host}/server/{tmp_path.name}:one"
    return {"prefix": str(rattler_prefix), "base": small_base, "push": True, "reference": reference}


@pytest.fixture
def kernelspec(jp_data_dir: Path, kernel_prefix: Path) -> str:
    """The name of a kernelspec whose kernels run in `kernel_prefix`."""
    folder = jp_data_dir / "kernels" / "analysis"
    folder.mkdir(parents=True)
    argv = [str(kernel_prefix / "bin/python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Analysis", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    return "analysis"
