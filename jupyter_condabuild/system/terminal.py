"""The terminal of this process: its keys one by one, and changes of its size."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

CHUNK = 1 << 16

if sys.platform == "win32":
    HAS_KEYS = False

    def pass_keys(socket: Any, resize: Callable[[int, int], None]) -> None:  # noqa: ARG001
        """Raises OSError: a console of Windows gives lines."""
        raise OSError(errno.ENOTSUP, "A console of Windows gives lines")

    def run(words: Sequence[str], environ: Mapping[str, str]) -> int:  # noqa: ARG001
        """Raises OSError, as `pass_keys` does."""
        raise OSError(errno.ENOTSUP, "A console of Windows gives lines")

else:
    import fcntl
    import pty
    import select
    import signal
    import struct
    import termios
    import tty
    from contextlib import closing

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

    def run(words: Sequence[str], environ: Mapping[str, str]) -> int:
        """Runs a command in a terminal of its own, with the keys of this one, and returns its exit status.

        So the command cannot type into the terminal of this process.

        Args:
            environ: all variables of the command.
        """
        pid, descriptor = pty.fork()
        if pid == 0:
            try:
                os.execve(words[0], list(words), dict(environ))  # noqa: S606
            finally:
                os._exit(127)
        with closing(_Terminal(descriptor)) as terminal:
            pass_keys(terminal, terminal.resize)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return status if status >= 0 else 128 - status

    class _Terminal:
        """The side of a terminal at which a user sits, with the methods of a socket that `pass_keys` needs."""

        def __init__(self, descriptor: int) -> None:
            self._descriptor = descriptor

        def fileno(self) -> int:
            return self._descriptor

        def recv(self, size: int) -> bytes:
            try:
                return os.read(self._descriptor, size)
            except OSError:  # the command has ended
                return b""

        def sendall(self, data: bytes) -> None:
            while data:
                data = data[os.write(self._descriptor, data) :]

        def resize(self, lines: int, columns: int) -> None:
            fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

        def close(self) -> None:
            os.close(self._descriptor)
