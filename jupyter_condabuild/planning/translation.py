"""Translated: everything that is known of an environment of another platform before layers are planned for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jupyter_condabuild.conda.linking.interpreter import is_like_ours
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.prefix.drift import Drift
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.errors import NotCompatible, UsageError
from jupyter_condabuild.events import Log, Warning
from jupyter_condabuild.image.glibc import glibc_of
from jupyter_condabuild.planning.carried_files import Carried, Selection, carry, check_sources, select
from jupyter_condabuild.planning.no_bytecode import no_bytecode
from jupyter_condabuild.planning.other_platform import OtherPlatform, for_platform
from jupyter_condabuild.planning.own_files.exclusion import Exclusion
from jupyter_condabuild.planning.own_files.selection import OwnFiles, own_files
from jupyter_condabuild.requests.build import BuildRequest, PlanRequest
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import listed


@dataclass(frozen=True)
class Translated:
    """An environment of another platform. `compiles` says whether our interpreter can compile for its Python.

    If the source is a lock file, `environment` has no files.
    """

    environment: Environment
    other: OtherPlatform
    selection: Selection
    own: OwnFiles
    compiles: bool
    asked_for_bytecode: bool

    @property
    def warnings(self) -> Iterator[Warning]:
        """Yields what a user should know before the image is made."""
        yield from self.other.warnings
        yield from self.selection.warnings
        python = self.other.lockfile.python
        if python and self.asked_for_bytecode and not self.compiles:
            yield no_bytecode(python)

    def carry(self, job: JobContext) -> Carried | None:
        """Lays out what the image gets besides conda packages; None for a lock file without packages of pip.

        Raises the errors of `carried_files.carry`.
        """
        if not (self.environment.records or self.other.lockfile.pip):
            return None
        return carry(self.environment, self.selection, self.other.lockfile, self.own, job.folder())


def translate(
    request: PlanRequest,
    environment: Environment,
    changes: Drift,
    lockfile: Lockfile,
    job: JobContext,
    exclusion: Exclusion,
) -> Translated:
    """Solves an environment again for the platform of a request, and selects what is carried to it.

    Args:
        exclusion: what the user leaves out.

    Raises UsageError for the docker engine, and the errors of `for_platform`, `select`, `check_sources` and
    `own_files`.
    """
    if request.engine == "docker":
        raise UsageError(
            f"The environment is for {lockfile.platform}, and the docker engine copies files from it.",
            f"Use --engine layers, or write a lock file (lock --platform {request.platform} -o conda-lock.yml) and "
            "build with --lockfile conda-lock.yml --engine docker.",
        )
    other = _solved(request, lockfile, job, environment)
    selection = select(environment, changes, other)
    own = own_files(request, selection.environment, selection.drift, job.store, job.report, exclusion)
    check_sources(own, selection, request.platform)
    return Translated(environment, other, selection, own, _compiles(other), request.bytecode)


def translate_lockfile(request: PlanRequest, lockfile: Lockfile, job: JobContext) -> Translated:
    """Solves a lock file again for the platform of a request.

    Raises the errors of `for_platform`, and NotCompatible if the layers engine cannot make a package of pip.
    """
    other = _solved(request, lockfile, job)
    layers = request.engine == "layers"
    unmade = [package.name for package in other.lockfile.pip if not (package.url.endswith(".whl") and package.sha256)]
    if layers and unmade:
        raise NotCompatible(
            f"There is no wheel with a hash for {request.platform} of {listed(unmade)}, and the layers engine makes "
            "none.",
            f"--engine docker makes them in the image. Or do without: --leave-out {unmade[0]}.",
        )
    environment = Environment(job.folder(), "", lockfile.platform, ())
    selection = Selection(environment, Drift(), {}, ())
    own = own_files(request, None, None, job.store, job.report)
    return Translated(environment, other, selection, own, _compiles(other), layers and request.bytecode)


def _solved(
    request: PlanRequest, lockfile: Lockfile, job: JobContext, environment: Environment | None = None
) -> OtherPlatform:
    with job.phase("lock"):
        other = for_platform(lockfile, request.platform, request, glibc_of(request.base), environment)
    if isinstance(request, BuildRequest):
        for line in other.substitution.text().splitlines():
            job.report(Log(line))
    return other


def _compiles(other: OtherPlatform) -> bool:
    python = other.lockfile.python
    return python is None or is_like_ours(python)
