"""Relay: listens where a Jupyter client expects its kernel, and passes every connection on to the kernel elsewhere.

The bytes are passed on as they are, so signatures and encryption stay between the client and the kernel.

Source: jupyter_client's documentation, "Making kernels for Jupyter", connection files.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from jupyter_condabuild.errors import UsageError

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
"""The channels of a kernel. A connection file has the port of each as ``shell_port`` and so on."""

START_SECONDS = 60
"""The time that a kernel has to listen, after a client has connected."""

_RETRY_SECONDS = 0.02
_CHUNK = 1 << 18

Address = str | tuple[str, int]
"""The path of a Unix socket, or a host and a port."""


def addresses(connection: Mapping[str, Any]) -> dict[str, Address]:
    """Returns the address of each channel of a connection file. Raises UsageError for a file that has none."""
    try:
        transport, host = connection["transport"], str(connection["ip"])
        ports = {channel: int(connection[f"{channel}_port"]) for channel in CHANNELS}
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"The connection file is not valid: {error!r}.") from None
    if transport == "ipc":
        return {channel: f"{host}-{port}" for channel, port in ports.items()}
    return {channel: (host, port) for channel, port in ports.items()}


class Relay:
    """Listens at the addresses of a client from the start of the context to its end.

    A connection waits until `connect` has said where the kernel is, and until the kernel listens there.
    """

    def __init__(self, here: Mapping[str, Address]) -> None:
        self._here = here
        self._loop = asyncio.new_event_loop()
        self._there: asyncio.Future[Mapping[str, Address]] = self._loop.create_future()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        """Starts to listen. Raises UsageError if another process listens at an address."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        except OSError as error:
            self.__exit__()
            raise UsageError(f"The client's address for the kernel is in use: {error.strerror or error}.") from None
        return self

    def __exit__(self, *_: object) -> None:
        """Closes all connections."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def connect(self, there: Mapping[str, Address]) -> None:
        """Says where the kernel listens."""
        self._loop.call_soon_threadsafe(self._there.set_result, there)

    async def _listen(self) -> None:
        for channel, address in self._here.items():
            self._servers.append(await _start_server(self._passer(channel), address))

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _passer(self, channel: str) -> Any:
        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                with suppress(OSError, asyncio.CancelledError):  # asyncio logs a server's task that is cancelled
                    reader_there, writer_there = await _open((await asyncio.shield(self._there))[channel])
                    await asyncio.gather(_copy(reader, writer_there), _copy(reader_there, writer))
            finally:
                writer.close()

        return pass_on


async def _start_server(serve: Any, address: Address) -> asyncio.Server:
    if sys.platform != "win32" and isinstance(address, str):
        return await asyncio.start_unix_server(serve, address, limit=_CHUNK)
    assert not isinstance(address, str)  # Windows has none
    return await asyncio.start_server(serve, *address, limit=_CHUNK)


async def _open(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connects to an address as soon as somebody listens there. Raises OSError if nobody does in time."""
    until = asyncio.get_running_loop().time() + START_SECONDS
    while True:
        try:
            if sys.platform != "win32" and isinstance(address, str):
                return await asyncio.open_unix_connection(address, limit=_CHUNK)
            assert not isinstance(address, str)
            return await asyncio.open_connection(*address, limit=_CHUNK)
        except (FileNotFoundError, ConnectionRefusedError):
            if asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(_RETRY_SECONDS)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Passes on what one side sends until its end, and then ends the other side."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
