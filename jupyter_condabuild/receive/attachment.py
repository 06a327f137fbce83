"""Attachment: connects a program in a container with this process's terminal, or with its input and output."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from jupyter_condabuild.oci.engine.containers import Container

_CHUNK = 1 << 16


def has_terminal() -> bool:
    """Whether both the input and the output of this process are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def attach(container: Container, *, terminal: bool) -> int:
    """Starts the program of a container, passes input and output on until it ends, and returns its exit status.

    Args:
        terminal: whether the program has a terminal. Then every key goes to the program, Ctrl-C too.

    Raises EngineFault, EngineUnavailable.
    """
    stream = container.attach()
    socket = getattr(stream, "_sock", stream)
    container.start()
    if terminal:
        with _raw(container):
            _pass_keys(socket)
        return container.wait()
    threading.Thread(target=_send, args=(socket,), daemon=True).start()
    for kind, data in _frames(socket):
        os.write(2 if kind == 2 else 1, data)
    return container.wait()


@contextmanager
def _raw(container: Container) -> Iterator[None]:
    """Gives every key to the program, and tells it the size of the terminal whenever that changes."""

    def resize(*_: object) -> None:
        size = os.get_terminal_size()
        container.resize(size.lines, size.columns)

    before = termios.tcgetattr(0)
    handler = signal.signal(signal.SIGWINCH, resize)
    try:
        tty.setraw(0)
        resize()
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)


def _pass_keys(socket: Any) -> None:
    sources: list[Any] = [socket, 0]
    while socket in sources:
        for ready in select.select(sources, [], [])[0]:
            data = socket.recv(_CHUNK) if ready is socket else os.read(0, _CHUNK)
            if not data:
                sources.remove(ready)
            elif ready is socket:
                os.write(1, data)
            else:
                socket.sendall(data)


def _send(socket: Any) -> None:
    """Sends the input of this process, and then its end."""
    with suppress(OSError):
        while data := os.read(0, _CHUNK):
            socket.sendall(data)
        socket.shutdown(1)


def _frames(socket: Any) -> Iterator[tuple[int, bytes]]:
    """Yields the output of a program without a terminal: 1 or 2 for its standard output or error, and the bytes.

    Source: Engine API, "Attach to a container", stream format: kind, three zeros, the length in four bytes.
    """
    while header := _exactly(socket, 8):
        yield header[0], _exactly(socket, int.from_bytes(header[4:], "big"))


def _exactly(socket: Any, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        if not (chunk := socket.recv(min(size - len(data), _CHUNK))):
            return b""
        data += chunk
    return bytes(data)
