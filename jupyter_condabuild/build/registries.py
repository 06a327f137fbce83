"""The registries of one build, each opened once, whatever part it plays."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import ExitStack

from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.registry import Registry, Repository, open_registry


class Registries:
    """Registries by name, closed with `stack`; safe to share between threads.

    Args:
        insecure: hosts that may speak plain HTTP or have any certificate.
    """

    def __init__(self, stack: ExitStack, insecure: Collection[str]) -> None:
        self._stack = stack
        self._insecure = insecure
        self._open: dict[str, Registry] = {}
        self._lock = threading.Lock()

    def repository(self, reference: Reference) -> Repository:
        """The repository that a reference names."""
        with self._lock:
            if reference.registry not in self._open:
                self._open[reference.registry] = self._stack.enter_context(open_registry(reference, self._insecure))
            return self._open[reference.registry].repository(reference.repository)
