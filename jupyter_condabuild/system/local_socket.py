"""Addresses of programs on the same machine: Unix sockets, and the named pipes of Windows."""

from __future__ import annotations

import errno
import os
import socket
import sys

_PIPES = "//./pipe/"


def connect(path: str, limit: float) -> None:
    """Connects to a Unix socket and closes the connection.

    Args:
        limit: seconds to wait for the connection.

    Raises OSError; TimeoutError if there is no answer.
    """
    if sys.platform == "win32":
        raise OSError(errno.ENOTSUP, "Windows has named pipes in place of Unix sockets", path)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(limit)
        connection.connect(path)


def pipe_exists(path: str) -> bool:
    """Whether a program listens at a named pipe of Windows, such as ``//./pipe/docker_engine``.

    The list of pipes is read: a pipe that is opened counts as a connection.
    """
    name = path.replace("\\", "/").removeprefix(_PIPES)
    try:
        return sys.platform == "win32" and name.casefold() in map(str.casefold, os.listdir(_PIPES))
    except OSError:
        return False
