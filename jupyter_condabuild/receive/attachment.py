"""Attachment: connects a program in a container with this process's terminal, or with its input and output."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from jupyter_condabuild.oci.engine.containers import Container
from jupyter_condabuild.system import terminal as terminal_keys
from jupyter_condabuild.system.terminal import CHUNK


def has_terminal() -> bool:
    """Whether the input and the output of this process are a terminal that gives its keys one by one."""
    return terminal_keys.HAS_KEYS and sys.stdin.isatty() and sys.stdout.isatty()


def attach(container: Container, *, terminal: bool) -> int:
    """Starts the program of a container, passes input and output on until it ends, and returns its exit status.

    Args:
        terminal: whether the program has a terminal. Then every key goes to the program, Ctrl-C too.

    Raises EngineFault, EngineUnavailable.
    """
    socket = container.attach()
    container.start()
    if terminal:
        terminal_keys.pass_keys(socket, container.resize)
        return container.wait()
    threading.Thread(target=_send, args=(socket,), daemon=True).start()
    for kind, data in frames(socket):
        os.write(2 if kind == 2 else 1, data)
    return container.wait()


def _send(socket: Any) -> None:
    """Sends the input of this process, and then its end."""
    with suppress(OSError):
        while data := os.read(0, CHUNK):
            socket.sendall(data)
        socket.shutdown(1)


def frames(socket: Any) -> Iterator[tuple[int, bytes]]:
    """Yields the output of a program without a terminal: 1 or 2 for its standard output or error, and the bytes.

    Source: Engine API, "Attach to a container", stream format: kind, three zeros, the length in four bytes.
    """
    while header := _exactly(socket, 8):
        yield header[0], _exactly(socket, int.from_bytes(header[4:], "big"))


def _exactly(socket: Any, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        if not (chunk := socket.recv(min(size - len(data), CHUNK))):
            return b""
        data += chunk
    return bytes(data)
