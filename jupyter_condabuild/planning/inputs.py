"""From a request to a plan: snapshot, drift, lock file, layers. Builds nothing, writes nothing but temporary files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_condabuild.conda.complete import complete
from jupyter_condabuild.conda.drift import Drift, drift
from jupyter_condabuild.conda.environment import Environment
from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.package_cache import PackageCaches, default_folders
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.snapshot import snapshot
from jupyter_condabuild.errors import LockfileError, NotReproducible, PackageError
from jupyter_condabuild.events import Report, Warning, phase
from jupyter_condabuild.image.base import PLATFORMS, host_architecture
from jupyter_condabuild.planning.layer_plan import Plan, plan
from jupyter_condabuild.planning.scan import Look
from jupyter_condabuild.requests.build import BuildRequest

IRREPRODUCIBLE = frozenset(
    (
        *("modified-files", "missing-files", "untracked-files", "editable-install", "local-install"),
        *("pip-without-hash", "pip-without-record", "conda-without-hash", "conda-overwritten-by-pip"),
        *("taken-from-prefix", "post-link-script"),
    )
)
"""Warnings that --strict refuses."""


@dataclass(frozen=True)
class Prepared:
    """What will be built. `environment` and `drift` are None for a lock file alone.

    `bytecode` says whether noarch Python packages, and what lies above the packages, get bytecode. `unlockable` are
    packages of the environment that no archive can be named for, by dist.
    """

    lockfile: Lockfile
    plan: Plan
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


def prepare(
    request: BuildRequest,
    work: Path,
    report: Report,
    seen: Look | None = None,
    verified: Mapping[str, str] | None = None,
) -> Prepared:
    """Everything before the first layer.

    `seen` is the environment, where it was looked at already; `verified` is what an earlier build found to be as
    recorded.

    Raises PrefixError, LockfileError, PackageError, and NotReproducible under --strict.
    """
    environment, changes, urls = None, None, {}
    if request.prefix:
        with phase(report, "snapshot", since=seen.since if seen else None):
            environment = seen.environment if seen else snapshot(Path(request.prefix))
            changes = drift(environment, seen.listing if seen else None, verified)
            urls = {record.dist: record.url for record in environment.records if record.url}
        found = lock(environment)
    else:
        found = load(Path(request.lockfile))
    if found.platform not in PLATFORMS:
        raise LockfileError(
            f"The environment is for {found.platform}; container images need linux-64 or linux-aarch64.",
            "Make a lock file for Linux: conda-lock -p linux-64, or pixi with platforms = ['linux-64'].",
        )
    with phase(report, "lock"):
        sources = PackageSources(PackageCaches(_folders(environment)), urls)
        found, unlockable = complete(found, sources, work / "lock")
        if unlockable and environment is None:
            raise next(iter(unlockable.values()))
    if environment is None and found.pip and request.engine == "layers":
        names = ", ".join(package.name for package in found.pip)
        raise LockfileError(
            f"The lock file has pip packages ({names}), and pip's files are taken from an environment.",
            "Install the lock file into an environment and build from that, or use --engine docker, which runs pip.",
        )
    warnings = _warnings(request, environment, changes)
    for warning in warnings:
        report(warning)
    refused = [warning.message for warning in warnings if warning.code in IRREPRODUCIBLE]
    if request.strict and refused:
        raise NotReproducible(f"The environment cannot be reproduced: {' '.join(refused)}")
    with phase(report, "plan"):
        runs_here = PLATFORMS[found.platform] == host_architecture()
        bytecode = request.bytecode and runs_here
        lockable = replace(found, conda=tuple(one for one in found.conda if one.dist not in unlockable))
        planned = plan(lockable, budget=request.layer_budget, bytecode=bytecode, native=runs_here)
    return Prepared(found, planned, sources, bytecode, environment, changes, unlockable, warnings)


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


def _warnings(request: BuildRequest, environment: Environment | None, changes: Drift | None) -> tuple[Warning, ...]:
    warnings = list(environment.warnings) if environment else []
    if changes is not None:
        warnings += changes.warnings
    if environment:
        scripts = [record.name for record in environment.records if _has_post_link(record.raw.get("files") or ())]
        if scripts:
            warnings.append(
                Warning(
                    "post-link-script",
                    f"{', '.join(scripts)} ran a script when installed; what it made is copied from this environment.",
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
