"""A registry: its name, the user's login for it, and the connections that its repositories share."""

from __future__ import annotations

import re
from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING

from jupyter_condabuild.oci import credentials as logins
from jupyter_condabuild.oci.credentials import Credentials
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.repository import Outcome, Repository
from jupyter_condabuild.oci.tokens import Access

if TYPE_CHECKING:
    from jupyter_condabuild.oci.retry import Patience

__all__ = ["Credentials", "Outcome", "Registry", "Repository", "open_registry"]


def open_registry(
    reference: Reference, insecure: Collection[str] = (), *, patience: Patience | None = None
) -> Registry:
    """The registry that an image's name points to, with the user's own login for it.

    Args:
        insecure: hosts, with or without port, that may speak plain HTTP or have a certificate nobody vouches for.
    """
    host = reference.registry
    name = host.rpartition(":")[0] if re.search(r":[0-9]+$", host) else host
    return Registry(host, insecure=host in insecure or name in insecure, patience=patience)


class Registry:
    """One registry and the connections to it; a context manager, safe to share between threads.

    A registry on this machine (localhost, 127/8, ::1) is spoken to in plain HTTP, any other over TLS. With one that is
    `insecure` TLS is tried without checking the certificate, then plain HTTP.

    Args:
        host: as in an image's name, with its port; ``docker.io`` for Docker Hub.
        credentials: instead of the user's login for Docker or Podman, which is looked for when the registry asks.
        pull_only: refuse whatever would change the registry.
        patience: how often and how long temporary failures are tried again.
    """

    def __init__(
        self,
        host: str,
        *,
        insecure: bool = False,
        credentials: Credentials | None = None,
        pull_only: bool = False,
        patience: Patience | None = None,
    ) -> None:
        # httpx takes 80 ms to import: a command that needs no registry does not pay for it.
        from jupyter_condabuild.oci.retry import Patience
        from jupyter_condabuild.oci.transport import Transport

        def find(repository: str) -> Credentials:
            return logins.find(host, repository) if credentials is None else credentials

        self.host = host
        self._pull_only = pull_only
        self.transport = Transport(host, insecure=insecure, credentials=find, patience=patience or Patience())

    def repository(self, name: str) -> Repository:
        """A repository of this registry; nothing is asked yet. Raises UsageError for what cannot be its name."""
        return Repository(self.transport, name, pull_only=self._pull_only)

    def check(self) -> None:
        """Raises a RegistryError unless the registry answers and lets this user in ("Determining Support")."""
        from jupyter_condabuild.oci.transport import Call

        self.transport.request(Call("GET", "/v2/", Access(""), "get an answer"), {200})

    def close(self) -> None:
        """Closes the connections."""
        self.transport.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
