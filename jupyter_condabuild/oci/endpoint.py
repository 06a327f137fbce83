"""Where an engine may listen: the addresses to try, and why one of them does not answer.

Source: docs.docker.com/engine/reference/commandline/cli (DOCKER_HOST, contexts), podman-system-service(1).
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyter_condabuild.errors import EngineUnavailable

_SCHEMES = ("unix", "tcp", "http", "https", "ssh", "npipe")
_NO_ENGINE_NEEDED = "--push and -o need no engine"


@dataclass(frozen=True)
class Endpoint:
    """An address of an engine, and docker-py's TLSConfig for it."""

    address: str
    tls: Any = None

    @property
    def exists(self) -> bool:
        """False for a socket that is not there, or that cannot be seen."""
        return not self._socket or os.path.exists(self._socket)

    @property
    def _socket(self) -> str:
        scheme, _, path = self.address.partition("://")
        return "/" + path.lstrip("/") if scheme == "unix" else ""

    def probe(self, limit: float) -> None:
        """Connects and closes again, within `limit` seconds, so that what is wrong is known by the system's own error.

        Raises:
            EngineUnavailable: names the address, the reason and the remedy.
        """
        url = urlsplit(self.address)
        if url.scheme not in _SCHEMES:
            raise EngineUnavailable(
                f"{self.address[:200]!r} is not the address of an engine.",
                "Write it as unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host.",
            )
        try:
            if self._socket:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(limit)
                    connection.connect(self._socket)
            elif url.scheme in ("tcp", "http", "https"):
                socket.create_connection((url.hostname or "", url.port or 2375), timeout=limit).close()
        except PermissionError:
            raise self._denied() from None
        except FileNotFoundError:
            raise EngineUnavailable(f"No engine listens at {self.address}: there is no such socket.") from None
        except TimeoutError:
            raise self.mute(limit) from None
        except ConnectionRefusedError:
            raise EngineUnavailable(
                f"The engine at {self.address} is not running: the connection was refused.",
                f"Start it: 'sudo systemctl start docker', or Docker Desktop ({_NO_ENGINE_NEEDED}).",
            ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EngineUnavailable(f"The engine at {self.address} cannot be reached: {reason}.") from None

    def mute(self, limit: float) -> EngineUnavailable:
        """The error for an engine that accepts connections, and says nothing for `limit` seconds."""
        return EngineUnavailable(
            f"The engine at {self.address} did not answer within {limit:g} seconds.",
            f"It may be starting or overloaded: see 'systemctl status docker' and try again ({_NO_ENGINE_NEEDED}).",
        )

    def _denied(self) -> EngineUnavailable:
        user = _user(os.geteuid())
        group = ""
        try:
            found = os.stat(self._socket)
            if found.st_mode & stat.S_IWGRP and found.st_gid != 0:
                group = _group(found.st_gid)
        except OSError:
            pass
        if not group:
            return EngineUnavailable(
                f"User {user!r} may not use the engine at {self.address}.",
                f"Start your own ('systemctl --user start podman.socket') or ask for access ({_NO_ENGINE_NEEDED}).",
            )
        return EngineUnavailable(
            f"User {user!r} may not use the engine at {self.address}: its socket is for the group {group!r}.",
            f"Join the group with 'sudo usermod -aG {group} {user}' and log in again ({_NO_ENGINE_NEEDED}).",
        )


def usual_sockets() -> list[Endpoint]:
    """Where engines listen when nobody said otherwise: Docker's sockets, then Podman's."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    paths = [
        "/var/run/docker.sock",
        f"{runtime}/docker.sock",
        str(Path.home() / ".docker/run/docker.sock"),
        f"{runtime}/podman/podman.sock",
        "/run/podman/podman.sock",
    ]
    return [Endpoint(f"unix://{path}") for path in paths]


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
