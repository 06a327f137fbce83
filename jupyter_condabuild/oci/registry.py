"""Registry: the name of a registry, the user's login for it, and the connections that its repositories share."""

from __future__ import annotations

import re
from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING

from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.logins import credentials as logins
from jupyter_condabuild.oci.logins.credential_helper import Say
from jupyter_condabuild.oci.logins.credentials import Credentials
from jupyter_condabuild.oci.repository import Outcome, Repository
from jupyter_condabuild.oci.tokens import Access

if TYPE_CHECKING:
    from jupyter_condabuild.oci.retry import Patience

__all__ = ["Credentials", "Outcome", "Registry", "Repository", "open_registry"]


def open_registry(
    reference: Reference,
    insecure: Collection[str] = (),
    *,
    patience: Patience | None = None,
    allowed: Collection[str] = (),
    credentials: Credentials | None = None,
    say: Say | None = None,
) -> Registry:
    """Returns the registry of a reference, with the user's own login for it if no other login is given.

    Args:
        reference: the reference of an image.
        insecure: hosts, with or without port, that may use plain HTTP or a certificate that is not trusted.
        patience: how often and how long requests are repeated after temporary failures.
        allowed: patterns of the hosts that may be connected to; empty for all.
        credentials: the login to use; None for the login that the user has kept.
        say: tells the user that a credential helper is waited for.
    """
    host = reference.registry
    name = host.rpartition(":")[0] if re.search(r":[0-9]+$", host) else host
    return Registry(
        host,
        insecure=host in insecure or name in insecure,
        patience=patience,
        allowed=allowed,
        credentials=credentials,
        say=say,
    )


class Registry:
    """A registry and the connections to it. It is a context manager, and several threads can share it.

    Connections to a registry on this machine (localhost, 127.0.0.0/8, ::1) use plain HTTP, all others use TLS. For an
    `insecure` registry, TLS is tried first without verifying the certificate, then plain HTTP.

    Args:
        host: the registry as in a reference, with its port; ``docker.io`` for Docker Hub.
        insecure: whether plain HTTP or a certificate that is not trusted is allowed.
        credentials: the login to use. None for the user's login for Docker or Podman, which is read when the registry
            requires a login.
        pull_only: whether every operation that changes the registry is refused.
        patience: how often and how long requests are repeated after temporary failures.
        allowed: patterns of the hosts that may be connected to; empty for all.
        say: tells the user that a credential helper is waited for.
    """

    def __init__(
        self,
        host: str,
        *,
        insecure: bool = False,
        credentials: Credentials | None = None,
        pull_only: bool = False,
        patience: Patience | None = None,
        allowed: Collection[str] = (),
        say: Say | None = None,
    ) -> None:
        # The import of httpx takes 80 ms. Commands that use no registry do not import it.
        from jupyter_condabuild.oci.retry import Patience
        from jupyter_condabuild.oci.transport import Transport

        def find(repository: str) -> Credentials:
            return logins.find(host, repository, say=say) if credentials is None else credentials

        self.host = host
        self._pull_only = pull_only
        self.transport = Transport(
            host, insecure=insecure, credentials=find, patience=patience or Patience(), allowed=allowed
        )

    def repository(self, name: str) -> Repository:
        """Returns a repository without making a request. Raises UsageError if `name` cannot be a repository's name."""
        return Repository(self.transport, name, pull_only=self._pull_only)

    def check(self) -> bool:
        """Asks the registry for a response ("Determining Support"), and returns whether it asked for a login.

        Raises RegistryError if the registry does not answer or refuses the user's login.
        """
        from jupyter_condabuild.oci.transport import Call

        self.transport.request(Call("GET", "/v2/", Access(""), "get a response"), {200})
        return self.transport.asks_for_login

    def close(self) -> None:
        """Closes the connections."""
        self.transport.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
