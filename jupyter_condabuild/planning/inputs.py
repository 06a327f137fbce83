"""From a request to the inputs of a build: snapshot, drift, lock file, plan of layers. Writes only temporary files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_condabuild.conda.complete import complete
from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.package_cache import PackageCaches, default_folders
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.prefix.drift import Drift, drift
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import LockfileError, NotReproducible, PackageError, UsageError
from jupyter_condabuild.events import Log, Report, Warning
from jupyter_condabuild.image.platforms import PLATFORMS, host_architecture
from jupyter_condabuild.planning.layer_plan import LayerPlan, plan_layers
from jupyter_condabuild.planning.scan import Scan
from jupyter_condabuild.requests.build import PlanRequest, SourceRequest
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import listed

IRREPRODUCIBLE = frozenset(
    (
        *("modified-files", "missing-files", "untracked-files", "editable-install", "local-install"),
        *("pip-without-hash", "pip-without-record", "conda-without-hash", "conda-overwritten-by-pip"),
        *("taken-from-prefix", "post-link-script"),
    )
)
"""Warnings that --strict refuses."""


@dataclass(frozen=True)
class Inputs:
    """Everything that a build is made from. `environment` and `drift` are None for a lock file alone.

    `bytecode` says whether noarch Python packages, and the layers above the packages, get bytecode. `unlockable` are
    the packages of the environment for which no archive can be named, by dist, each with the reason.
    """

    lockfile: Lockfile
    plan: LayerPlan
    sources: PackageSources
    bytecode: bool
    environment: Environment | None
    drift: Drift | None
    unlockable: Mapping[str, PackageError]
    warnings: tuple[Warning, ...]

    @property
    def architecture(self) -> str:
        """GOARCH name of the processor that the environment is for."""
        return PLATFORMS[self.lockfile.platform]


def read_inputs(
    request: PlanRequest, job: JobContext, scan: Scan | None = None, verified: Mapping[str, str] | None = None
) -> Inputs:
    """Reads the environment or lock file of a request, and plans the layers.

    Args:
        scan: the environment, where it was read already.
        verified: the fingerprints of packages whose files an earlier build found to be as recorded, by dist.

    Raises PrefixError, LockfileError, PackageError, and NotReproducible under --strict.
    """
    environment, changes, urls = None, None, {}
    if request.prefix:
        with job.phase("snapshot", since=scan.since if scan else None):
            environment = scan.environment if scan else snapshot(request.prefix)
            changes = drift(environment, scan.listing if scan else None, verified)
            urls = {record.dist: record.url for record in environment.records if record.url}
        found = lock(environment)
    else:
        found = read_lockfile(request, job.report)
    if request.platform not in ("", found.platform):
        raise UsageError(
            f"The environment is for {found.platform}, not for {request.platform}.",
            "Make a lock file for the other platform, and build with --lockfile.",
        )
    if found.platform not in PLATFORMS:
        raise LockfileError(
            f"The environment is for {found.platform}; container images need linux-64 or linux-aarch64.",
            "Make a lock file for Linux: conda-lock -p linux-64, or pixi with platforms = ['linux-64'].",
        )
    with job.phase("lock"):
        sources = PackageSources(PackageCaches(_folders(environment)), urls)
        found, unlockable = complete(found, sources, job.folder())
        if unlockable and environment is None:
            raise next(iter(unlockable.values()))
    if environment is None and found.pip and request.engine == "layers":
        names = listed([package.name for package in found.pip])
        raise LockfileError(
            f"The lock file has pip packages ({names}), and pip's files are taken from an environment.",
            "Install the lock file into an environment and build from that, or use --engine docker, which runs pip.",
        )
    warnings = _warnings(request, environment, changes)
    for warning in warnings:
        job.report(warning)
    refused = [warning.message for warning in warnings if warning.code in IRREPRODUCIBLE]
    if request.strict and refused:
        raise NotReproducible(f"The environment cannot be reproduced: {' '.join(refused)}")
    with job.phase("plan"):
        runs_here = PLATFORMS[found.platform] == host_architecture()
        bytecode = request.bytecode and runs_here
        lockable = replace(found, conda=tuple(one for one in found.conda if one.dist not in unlockable))
        planned = plan_layers(lockable, budget=request.layer_budget, bytecode=bytecode, native=runs_here)
    return Inputs(found, planned, sources, bytecode, environment, changes, unlockable, warnings)


def read_lockfile(request: SourceRequest, report: Report) -> Lockfile:
    """The lock file that a request names; where the file is for several platforms, the report tells the chosen one.

    Raises LockfileError.
    """
    assert request.lockfile
    found = load(request.lockfile, request.platform)
    if len(found.platforms) > 1:
        report(Log(f"{request.lockfile} is for {listed(found.platforms)}: {found.platform} is taken."))
    return found


def _folders(environment: Environment | None) -> Iterator[Path]:
    """The package caches that the records name, then the usual ones."""
    folders: dict[Path, None] = {}
    if environment:
        for record in environment.records:
            if record.extracted_package_dir:
                folders.setdefault(Path(record.extracted_package_dir).parent)
    yield from folders
    yield from (
        folder for folder in default_folders(environment.prefix if environment else None) if folder not in folders
    )


def _warnings(request: PlanRequest, environment: Environment | None, changes: Drift | None) -> tuple[Warning, ...]:
    warnings = list(environment.warnings) if environment else []
    if changes is not None:
        warnings += changes.warnings
    if environment:
        scripts = [record.name for record in environment.records if _has_post_link(record.raw.get("files") or ())]
        if scripts:
            warnings.append(
                Warning(
                    "post-link-script",
                    f"{listed(scripts)} ran a script when installed; what it made is copied from this environment.",
                    "Such files belong to no package, and nobody can prove that they come out the same elsewhere.",
                )
            )
    if request.engine == "docker" and not request.bytecode:
        warnings.append(
            Warning(
                "bytecode-of-installer",
                f"With the docker engine {request.installer} decides whether packages get bytecode; what is copied "
                "from the environment gets none.",
                "The layers engine leaves it out (--engine layers --no-bytecode).",
            )
        )
    return tuple(warnings)


def _has_post_link(files: Iterable[str]) -> bool:
    return any(path.startswith("bin/.") and path.endswith("-post-link.sh") for path in files)
