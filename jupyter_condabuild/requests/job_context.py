"""JobContext: what one job works with: the local store, a scratch folder, the registries, the engine and the report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jupyter_condabuild import events
from jupyter_condabuild.errors import from_os_error
from jupyter_condabuild.events import PhaseName, Report
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registries import Registries
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.requests.build import JobRequest

T = TypeVar("T")


@dataclass(frozen=True)
class JobContext:
    """Made once for a job; whatever it opens is closed when the job ends.

    `scratch` is a folder on the store's disk that is removed at the end. `docker_host` is the engine's address, empty
    for the usual one.
    """

    store: Store
    scratch: Path
    registries: Registries
    report: Report
    docker_host: str
    _open: ExitStack

    def keep(self, opened: AbstractContextManager[T]) -> T:
        """Enters a context manager, which is left when the job ends."""
        return self._open.enter_context(opened)

    def phase(self, name: PhaseName, since: float | None = None) -> AbstractContextManager[None]:
        """Reports the start and the end of a phase; see `events.phase`."""
        return events.phase(self.report, name, since)

    def repository(self, reference: Reference, *, patient: bool = True) -> Repository:
        """The repository that a reference names; without `patient` nothing is tried twice."""
        return self.registries.repository(reference, patient=patient)

    def folder(self) -> Path:
        """A new folder in the scratch folder. Raises StoreError."""
        try:
            return Path(tempfile.mkdtemp(dir=self.scratch))
        except OSError as error:
            raise from_os_error(error, "making a work folder", self.scratch) from None


@contextmanager
def open_job(request: JobRequest, report: Report) -> Iterator[JobContext]:
    """What a job of this request works with. Raises StoreError where the local store cannot be used."""
    with ExitStack() as opened:
        store = opened.enter_context(Store(request.store_dir))
        scratch = opened.enter_context(store.folder())
        registries = Registries(opened, request.insecure_registries)
        yield JobContext(store, scratch, registries, report, request.docker_host, opened)
