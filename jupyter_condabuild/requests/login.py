"""The requests of the commands `login` and `logout`. A password is never part of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jupyter_condabuild.errors import BadReference, UsageError
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.requests.build import JobRequest
from jupyter_condabuild.requests.option import Request, option


@dataclass(frozen=True, kw_only=True)
class LogoutRequest(Request):
    """A registry whose login is removed. Its address and its path are left out: a login is for the whole registry."""

    label: ClassVar[str] = "The logout request"

    registry: str = option(
        "",
        "the registry, such as registry.lab.org, or docker.io for Docker Hub (default: the setting registry)",
        metavar="REGISTRY",
        setting="registry",
    )

    def __post_init__(self) -> None:
        """Raises UsageError if there is no registry, and BadReference if the text is not a host."""
        if not self.registry:
            raise UsageError(f"{self.label} names no registry.", "Give its name: registry.lab.org, or docker.io.")
        object.__setattr__(self, "registry", _host(self.registry))


@dataclass(frozen=True, kw_only=True)
class LoginRequest(LogoutRequest, JobRequest):
    """A registry and the user name of a login. The password comes from the terminal or from standard input."""

    label: ClassVar[str] = "The login request"

    user: str = option("", "the user name (default: ask for it)", "-u", "--user", metavar="NAME")
    password_stdin: bool = option(False, "read the password from standard input", "--password-stdin")


def _host(text: str) -> str:
    """Returns the registry of a host, an address or a repository. Raises BadReference, UsageError."""
    head = text.strip().rpartition("://")[2].partition("/")[0]
    if "@" in head:
        raise UsageError("The name of the registry has a login before it.", "Give the user name with --user NAME.")
    host = Reference.parse(f"{head}/any/any").registry
    if host == "docker.io" and head not in ("docker.io", "index.docker.io", "hub.docker.com"):
        raise BadReference(f"{text[:300]!r} is not the name of a registry: a registry has a dot or a port in its name.")
    return host
