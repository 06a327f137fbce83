"""JobContext: the resources of one job: the local store, a scratch folder, registries, the engine and the report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jupyter_condabuild import events
from jupyter_condabuild.errors import from_os_error
from jupyter_condabuild.events import PhaseName, Report, log_to
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registries import Registries
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.progress import JobProgress
from jupyter_condabuild.requests.build import JobRequest

T = TypeVar("T")


@dataclass(frozen=True)
class JobContext:
    """The resources of one job. Everything that the job opens here is closed when the job ends.

    `scratch` is a folder on the disk of the store. It is removed when the job ends. `docker_host` is the engine's
    address; if it is empty, the default address is used. `debian_mirrors` are URLs. `trusted_repositories` are patterns
    of repository names, and `trusted_signers` is a file of allowed signers (ssh-keygen(1)): see `trust.vouchers`.
    `progress` is the progress of the whole job.
    """

    store: Store
    scratch: Path
    registries: Registries
    report: Report
    docker_host: str
    debian_mirrors: tuple[str, ...]
    trusted_repositories: tuple[str, ...]
    trusted_signers: Path | None
    progress: JobProgress
    _stack: ExitStack

    def keep(self, context: AbstractContextManager[T]) -> T:
        """Enters a context manager and returns its value. The context manager exits when the job ends."""
        return self._stack.enter_context(context)

    def phase(self, name: PhaseName, since: float | None = None) -> AbstractContextManager[None]:
        """Reports the start and the end of a phase; see `events.phase`."""
        return events.phase(self.report, name, since)

    def repository(self, reference: Reference, *, patient: bool = True) -> Repository:
        """Returns the repository that a reference names. Without `patient`, a failed request is not repeated."""
        return self.registries.repository(reference, patient=patient)

    def folder(self) -> Path:
        """Makes a new folder in the scratch folder and returns its path. Raises StoreError."""
        try:
            return Path(tempfile.mkdtemp(dir=self.scratch))
        except OSError as error:
            raise from_os_error(error, "making a work folder", self.scratch) from None


@contextmanager
def open_job(request: JobRequest, report: Report) -> Iterator[JobContext]:
    """Opens the resources of a job. Raises StoreError if the local store cannot be used."""
    with ExitStack() as stack:
        store = stack.enter_context(Store(request.store_dir))
        scratch = stack.enter_context(store.folder())
        say = log_to(report)
        registries = Registries(stack, request.insecure_registries, request.allowed_registries, say)
        yield JobContext(
            store,
            scratch,
            registries,
            report,
            request.docker_host,
            request.debian_mirrors,
            request.trusted_repositories,
            request.trusted_signers,
            JobProgress(report),
            stack,
        )
