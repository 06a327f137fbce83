"""The registries of one build, each opened once, whatever part it plays."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import ExitStack

from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.registry import Registry, Repository, open_registry
from jupyter_condabuild.oci.retry import Patience


class Registries:
    """Registries by name, closed with `stack`; safe to share between threads.

    Args:
        insecure: hosts that may speak plain HTTP or have any certificate.
    """

    def __init__(self, stack: ExitStack, insecure: Collection[str]) -> None:
        self._stack = stack
        self._insecure = insecure
        self._open: dict[tuple[str, bool], Registry] = {}
        self._lock = threading.Lock()

    def repository(self, reference: Reference, *, patient: bool = True) -> Repository:
        """The repository that a reference names; one that is not `patient` tries nothing twice."""
        with self._lock:
            place = reference.registry, patient
            if place not in self._open:
                patience = None if patient else Patience(attempts=1)
                registry = open_registry(reference, self._insecure, patience=patience)
                self._open[place] = self._stack.enter_context(registry)
            return self._open[place].repository(reference.repository)
