"""The terminal of this process: its keys one by one, and changes of its size."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Any

CHUNK = 1 << 16

if sys.platform == "win32":
    HAS_KEYS = False

    def pass_keys(socket: Any, resize: Callable[[int, int], None]) -> None:  # noqa: ARG001
        """Raises OSError: a console of Windows gives lines."""
        raise OSError(errno.ENOTSUP, "A console of Windows gives lines")

else:
    import select
    import signal
    import termios
    import tty

    HAS_KEYS = True
    """Whether a terminal gives its keys one by one."""

    def pass_keys(socket: Any, resize: Callable[[int, int], None]) -> None:
        """Sends each key to a socket, Ctrl-C too, and writes what comes from the socket, until the other side ends.

        Args:
            resize: called with the number of lines and columns, at the start and whenever that changes.
        """

        def resized(*_: object) -> None:
            size = os.get_terminal_size()
            resize(size.lines, size.columns)

        before = termios.tcgetattr(0)
        handler = signal.signal(signal.SIGWINCH, resized)
        try:
            tty.setraw(0)
            resized()
            _pass(socket)
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
            signal.signal(signal.SIGWINCH, handler)

    def _pass(socket: Any) -> None:
        sources: list[Any] = [socket, 0]
        while socket in sources:
            for ready in select.select(sources, [], [])[0]:
                data = socket.recv(CHUNK) if ready is socket else os.read(0, CHUNK)
                if not data:
                    sources.remove(ready)
                elif ready is socket:
                    os.write(1, data)
                else:
                    socket.sendall(data)
