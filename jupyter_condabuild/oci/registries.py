"""Opens the registries of a build. Each registry is opened once, even if a build uses it for several purposes."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import ExitStack

from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.logins.credential_helper import Say
from jupyter_condabuild.oci.registry import Registry, Repository, open_registry
from jupyter_condabuild.oci.retry import Patience


class Registries:
    """The open registries of a build. Several threads can share this object.

    Args:
        stack: closes the registries.
        insecure: hosts that may use plain HTTP or a certificate that is not trusted.
        allowed: patterns of the hosts that may be connected to; empty for all.
        say: tells the user that a credential helper is waited for.
    """

    def __init__(
        self, stack: ExitStack, insecure: Collection[str], allowed: Collection[str] = (), say: Say | None = None
    ) -> None:
        self._stack = stack
        self._insecure = insecure
        self._allowed = allowed
        self._say = say
        self._open: dict[tuple[str, bool], Registry] = {}
        self._lock = threading.Lock()

    def repository(self, reference: Reference, *, patient: bool = True) -> Repository:
        """Returns the repository of a reference.

        Args:
            reference: the reference of an image.
            patient: whether requests are repeated after temporary failures.
        """
        with self._lock:
            place = reference.registry, patient
            if place not in self._open:
                patience = None if patient else Patience(attempts=1)
                registry = open_registry(
                    reference, self._insecure, patience=patience, allowed=self._allowed, say=self._say
                )
                self._open[place] = self._stack.enter_context(registry)
            return self._open[place].repository(reference.repository)
