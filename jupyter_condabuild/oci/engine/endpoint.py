"""Endpoint: an address at which an engine may listen, and the reason why no engine answers there.

Source: docs.docker.com/engine/reference/commandline/cli (DOCKER_HOST, contexts), podman-system-service(1).
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from jupyter_condabuild.errors import EngineUnavailable
from jupyter_condabuild.files import home_folder
from jupyter_condabuild.system import local_socket, owners

_SCHEMES = ("unix", "tcp", "http", "https", "ssh", "npipe")
_TCP = ("tcp", "http", "https")
_NO_ENGINE_NEEDED = "--push and -o need no engine"


@dataclass(frozen=True)
class Endpoint:
    """The address of an engine, such as ``unix:///var/run/docker.sock``, and docker-py's TLSConfig for it."""

    address: str
    tls: Any = None

    @property
    def exists(self) -> bool:
        """False if the address is a Unix socket or a named pipe that does not exist or is not visible to this user."""
        if self.address.startswith("npipe:"):
            return local_socket.pipe_exists(self.address.removeprefix("npipe:").removeprefix("//"))
        return not self._socket or os.path.exists(self._socket)

    @property
    def _socket(self) -> str:
        scheme, _, path = self.address.partition("://")
        return "/" + path.lstrip("/") if scheme == "unix" else ""

    def probe(self, limit: float) -> None:
        """Connects to the engine and closes the connection, so that the system reports why a connection fails.

        Args:
            limit: seconds to wait for the connection.

        Raises:
            EngineUnavailable: the connection failed. The message names the address and the reason.
        """
        try:
            url = urlsplit(self.address)
            port = url.port
        except ValueError:
            raise self._no_address() from None
        if url.scheme not in _SCHEMES or (url.scheme in _TCP and not url.hostname):
            raise self._no_address()
        if url.scheme in _TCP and port is None:
            raise EngineUnavailable(
                f"The address of the engine {self.address[:200]!r} has no port.",
                "Engines listen at port 2376 with TLS, and at port 2375 without TLS: tcp://host:2376.",
            )
        try:
            if self._socket:
                local_socket.connect(self._socket, limit)
            elif url.scheme == "npipe" and not self.exists:
                raise FileNotFoundError
            elif url.scheme in _TCP:
                socket.create_connection((url.hostname or "", port or 0), timeout=limit).close()
        except PermissionError:
            raise self._denied() from None
        except FileNotFoundError:
            kind = "named pipe" if url.scheme == "npipe" else "socket"
            raise EngineUnavailable(f"No engine listens at {self.address}: the {kind} does not exist.") from None
        except TimeoutError:
            raise self.no_answer(limit) from None
        except ConnectionRefusedError:
            raise EngineUnavailable(
                f"The engine at {self.address} is not running: the connection was refused.",
                f"Start {_the_engine('sudo systemctl start docker')} ({_NO_ENGINE_NEEDED}).",
            ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EngineUnavailable(f"The engine at {self.address} cannot be reached: {reason}.") from None

    def no_answer(self, limit: float) -> EngineUnavailable:
        """Returns the error for an engine that accepts a connection but does not answer within `limit` seconds."""
        return EngineUnavailable(
            f"The engine at {self.address} did not answer within {limit:g} seconds.",
            f"The engine may be starting or overloaded. Check {_the_engine('systemctl status docker')} and try again "
            f"({_NO_ENGINE_NEEDED}).",
        )

    def _no_address(self) -> EngineUnavailable:
        return EngineUnavailable(
            f"{self.address[:200]!r} is not the address of an engine.",
            "Write it as unix:///var/run/docker.sock, npipe:////./pipe/docker_engine, tcp://host:2376 or "
            "ssh://user@host.",
        )

    def _denied(self) -> EngineUnavailable:
        user = owners.user()
        group = ""
        try:
            status = os.stat(self._socket)
            if status.st_mode & stat.S_IWGRP and status.st_gid != 0:
                group = owners.group(status.st_gid)
        except OSError:
            pass
        if not group:
            return EngineUnavailable(
                f"User {user!r} may not use the engine at {self.address}.",
                "Start your own engine with 'systemctl --user start podman.socket', or ask the administrator for "
                f"access ({_NO_ENGINE_NEEDED}).",
            )
        return EngineUnavailable(
            f"User {user!r} may not use the engine at {self.address}: its socket belongs to the group {group!r}.",
            f"Join the group with 'sudo usermod -aG {group} {user}' and log in again ({_NO_ENGINE_NEEDED}).",
        )


def _the_engine(command: str) -> str:
    """Returns what the user looks at: on Linux the engine, with a command, else the program that has an engine."""
    if sys.platform == "linux":
        return f"the engine with '{command}', or Docker Desktop"
    return "Docker Desktop, or the program that has your engine (Colima, Rancher Desktop, OrbStack, Podman)"


def usual_sockets(system: str = sys.platform) -> list[Endpoint]:
    """Returns the addresses at which engines listen by default: Docker's first, then Podman's.

    Args:
        system: the value of `sys.platform` on the system of the engine.

    Source: docs.docker.com/desktop/setup/install/mac-permission-requirements, github.com/abiosoft/colima (docs/FAQ.md),
    docs.rancherdesktop.io (references/rancher-desktop-settings), docs.orbstack.dev/docker, podman-machine-inspect(1).
    """
    if system == "win32":
        pipes = ("docker_engine", "dockerDesktopLinuxEngine", "podman-machine-default")
        return [Endpoint(f"npipe:////./pipe/{pipe}") for pipe in pipes]
    home = home_folder()
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{owners.account()}"
    if system == "darwin":
        paths = [
            "/var/run/docker.sock",
            f"{home}/.docker/run/docker.sock",
            f"{os.environ.get('COLIMA_HOME') or f'{home}/.colima'}/default/docker.sock",
            f"{home}/.config/colima/default/docker.sock",
            f"{home}/.rd/docker.sock",
            f"{home}/.orbstack/run/docker.sock",
            f"{os.environ.get('TMPDIR', '/tmp').rstrip('/')}/podman/podman-machine-default-api.sock",  # noqa: S108
            f"{home}/.local/share/containers/podman/machine/podman.sock",
        ]
    else:
        paths = [
            "/var/run/docker.sock",
            f"{runtime}/docker.sock",
            f"{home}/.docker/run/docker.sock",
            f"{runtime}/podman/podman.sock",
            "/run/podman/podman.sock",
        ]
    return [Endpoint(f"unix://{path}") for path in paths]
