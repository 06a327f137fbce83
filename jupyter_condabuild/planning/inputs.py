"""Reads the inputs of a build: snapshot, drift, lock file and plan of layers. Writes only temporary files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_condabuild.conda.complete import complete
from jupyter_condabuild.conda.foreign.findings import findings
from jupyter_condabuild.conda.foreign.logins import login_urls
from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.conda.linking.interpreter import Compiling, for_foreign_packages, is_like_ours
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.locking import lock, pip_package, without_editable
from jupyter_condabuild.conda.login_stores import read_logins
from jupyter_condabuild.conda.package_cache import PackageCaches, default_folders
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.platforms import linux_platform
from jupyter_condabuild.conda.prefix.drift import Drift, drift
from jupyter_condabuild.conda.prefix.drift_report import untracked_warnings
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import EnvironmentChanged, LockfileError, NotReproducible, PackageError, PlatformNeeded
from jupyter_condabuild.events import Log, Report, Warning
from jupyter_condabuild.image.platforms import PLATFORMS, runs_here
from jupyter_condabuild.planning.destination import destination_warnings
from jupyter_condabuild.planning.identity import identity
from jupyter_condabuild.planning.layer_plan import LayerPlan, plan_layers
from jupyter_condabuild.planning.link_scripts import has_post_link
from jupyter_condabuild.planning.no_bytecode import no_bytecode
from jupyter_condabuild.planning.own_files.exclusion import Exclusion, editable_warnings
from jupyter_condabuild.planning.own_files.outside_files import check_allowed
from jupyter_condabuild.planning.own_files.selection import OwnFiles, own_files
from jupyter_condabuild.planning.scan import Scan
from jupyter_condabuild.requests.build import BuildRequest, PlanRequest
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.requests.source import LockfileRequest
from jupyter_condabuild.text import agreeing, listed

if TYPE_CHECKING:
    from jupyter_condabuild.planning.carried_files import Carried
    from jupyter_condabuild.planning.other_platform import OtherPlatform
    from jupyter_condabuild.planning.translation import Translated

IRREPRODUCIBLE = frozenset(
    (
        *("modified-files", "missing-files", "untracked-files", "editable-install"),
        *("local-channel", "local-install"),
        *("pip-without-hash", "pip-without-record", "conda-without-hash", "conda-overwritten-by-pip"),
        *("taken-from-prefix", "post-link-script", "clobbered-files", "empty-folders"),
        *("outside-prefix", "dangling-links", "editable-source-missing", "foreign-files", "changes-not-carried"),
    )
)
"""The codes of the warnings that --strict turns into an error."""


@dataclass(frozen=True)
class Inputs:
    """Everything that a build reads before it makes layers.

    `environment` and `drift` are None if the source is a lock file. `bytecode` says whether noarch Python packages, and
    the layers above the packages, get bytecode. `unlockable` maps a package's dist to the reason why no archive of the
    package is known. Such packages occur only if the source is an environment. `own` are the files that belong to no
    package and go into the image. `private` are the dists of the packages that are fetched with a login.

    If the source is for another platform, `translated` has its lock file for the platform of the image, `carried` what
    the image gets besides conda packages, and `environment` and `drift` are None.
    """

    lockfile: Lockfile
    plan: LayerPlan
    sources: PackageSources
    bytecode: bool
    environment: Environment | None
    drift: Drift | None
    unlockable: Mapping[str, PackageError]
    own: OwnFiles
    private: frozenset[str]
    warnings: tuple[Warning, ...]
    translated: Translated | None = None
    carried: Carried | None = None

    @property
    def compiling(self) -> Compiling:
        """The interpreter that compiles modules. For another platform, nothing of that platform runs: our own does."""
        if self.other or not runs_here(self.lockfile.platform):
            return "own" if self.bytecode else "never"
        return "environment" if self.environment else for_foreign_packages()

    @property
    def other(self) -> OtherPlatform | None:
        """The lock file for another platform than the source's, and how it differs; None for the same platform."""
        return self.translated.other if self.translated else None

    @property
    def described(self) -> tuple[Environment | None, Drift | None]:
        """The environment, also of another platform, and those of its files that the image gets; None without one."""
        return _described(self.environment, self.drift, self.translated)

    @property
    def contents(self) -> Lockfile:
        """All packages of the image: those of the lock file, and pip's from outside of the environment."""
        pip = {(package.name, package.version): package for package in self.lockfile.pip}
        for _, item in self.own.outside.distributions:
            pip.setdefault((item.package.name, item.package.version), pip_package(item.package))
        return replace(self.lockfile, pip=tuple(sorted(pip.values())))

    @property
    def architecture(self) -> str:
        """The processor of the environment's platform, as a GOARCH name."""
        return PLATFORMS[self.lockfile.platform]


def read_inputs(
    request: PlanRequest,
    job: JobContext,
    scan: Scan | None = None,
    verified: Mapping[str, str] | None = None,
    *,
    of_base: bool = False,
) -> Inputs:
    """Reads the environment or the lock file of a request, and plans the layers.

    Args:
        scan: the scan of the environment, if it exists already.
        verified: stamps of the packages whose files matched their records in an earlier build, by dist.
        of_base: whether an environment of macOS or Windows is solved again for the platform of the base, if nothing
            names a platform.

    Raises PrefixError, LockfileError, PackageError, UsageError if the request names another platform than the
    environment's, EnvironmentChanged if a build names another identity, PrefixNotAllowed for an editable install
    outside of `allow_prefixes`, SecretsFound if the request is that of a build, and NotReproducible if the request is
    strict and there is a warning of `IRREPRODUCIBLE`.
    """
    environment, changes, urls = None, None, {}
    exclusion = Exclusion(request.exclude)
    if request.prefix:
        with job.phase("snapshot", since=scan.since if scan else None):
            environment = scan.environment if scan else snapshot(request.prefix, request.exclude_editable)
            _check_editable(environment, request.allow_prefixes)
            files, prefix = scan.listing if scan else None, environment.prefix
            changes = drift(environment, files, verified, exclude=lambda name: exclusion(prefix, name))
            urls = {record.dist: record.url for record in environment.records if record.url}
        lockfile = lock(environment)
    else:
        lockfile = read_lockfile(request.lockfile, request, job.report, other=True)
    locked = lockfile
    lockfile = without_editable(locked, request.exclude_editable)
    left_out = [item.package for item in environment.left_out] if environment else set(locked.pip) - set(lockfile.pip)
    excluded = () if changes is None else changes.excluded
    translated: Translated | None = None
    platform = request.platform_of(lockfile)
    if of_base and not platform and not lockfile.platform.startswith("linux-"):
        from jupyter_condabuild.image.base import platform_of  # it imports much, and few builds need it

        if platform := platform_of(request.base, job):
            job.report(Log(f"The image is for {platform}, as its base is. Another one: --platform."))
    if not is_for(lockfile, platform):
        request = replace(request, platform=platform)
        from jupyter_condabuild.planning import translation  # it imports much, and few builds need it

        if environment and changes is not None:
            translated = translation.translate(request, environment, changes, lockfile, job, exclusion)
        else:
            translated = translation.translate_lockfile(request, lockfile, job)
        lockfile, urls = translated.other.lockfile, {}
    if lockfile.platform not in PLATFORMS:
        raise _platform_needed(lockfile.platform, request, job, of_base=of_base)
    with job.phase("lock"):
        logins = read_logins()
        if environment is None:
            urls = login_urls(lockfile, logins, job.report, request.channel_login)
        sources = PackageSources(PackageCaches(_folders(environment)), urls, logins=logins)
        if translated:  # only its lock file counts from here on
            environment, changes = None, None
        known = lockfile
        lockfile, unlockable = complete(lockfile, sources, job.folder(), unverified=environment is None)
        if unlockable and environment is None:
            raise next(iter(unlockable.values()))
    carries = translated is not None and request.engine == "layers"  # the docker engine builds it as any lock file
    if environment is None and not carries and lockfile.pip and request.engine == "layers":
        names = listed([package.name for package in lockfile.pip])
        raise LockfileError(
            f"The lock file has pip packages ({names}). The layers engine copies pip packages only from environments.",
            "Install the lock file into an environment and build from that environment, "
            "or use --engine docker, which runs pip.",
        )
    is_native = runs_here(lockfile.platform)
    # A lock file for another processor, or for Linux on macOS: nothing of it runs here, but our own interpreter may
    # compile for its Python.
    elsewhere = environment is None and not translated and not is_native and request.engine == "layers"
    python = lockfile.python
    is_compiled = is_native or (elsewhere and (python is None or is_like_ours(python)))
    own = translated.own if translated else own_files(request, environment, changes, job.store, job.report, exclusion)
    if isinstance(request, BuildRequest) and request.identity:
        current = identity(lockfile, *_described(environment, changes, translated), own, request)
        if request.identity != current:
            raise EnvironmentChanged(f"The environment {request.prefix} has changed since the build was requested.")
    private = [package.dist for package in lockfile.conda if sources.needs_login(package)]
    warnings = (
        *(translated.warnings if translated else ()),
        *([no_bytecode(python)] if python and elsewhere and request.bytecode and not is_compiled else ()),
        *_warnings(request, known, environment, changes, own.withheld),
        *destination_warnings(request.destination, private),
        *own.warnings,
        *exclusion.warnings(excluded),
        *editable_warnings(request.exclude_editable, sorted(package.name for package in left_out)),
    )
    if own.refusal and not isinstance(request, BuildRequest):
        warnings += (Warning("secrets-found", own.refusal.message, own.refusal.hint),)
    for warning in warnings:
        job.report(warning)
    if own.refusal and isinstance(request, BuildRequest):
        raise own.refusal
    refused = [warning.message for warning in warnings if warning.code in IRREPRODUCIBLE]
    if request.strict and refused:
        raise NotReproducible(f"The environment cannot be reproduced: {' '.join(refused)}")
    with job.phase("plan"):
        bytecode = request.bytecode and (translated.compiles if translated and carries else is_compiled)
        lockable = replace(lockfile, conda=tuple(item for item in lockfile.conda if item.dist not in unlockable))
        # Without bytecode, nobody else's Python may run: the layers of other packages are not compiled either.
        native = bytecode if carries or elsewhere else is_native and (environment is not None or bytecode)
        planned = plan_layers(lockable, budget=request.layer_budget, bytecode=bytecode, native=native)
    made = Inputs(
        lockfile, planned, sources, bytecode, environment, changes, unlockable, own, frozenset(private), warnings
    )
    if not translated:
        return made
    # A plan fetches no wheels, and copies nothing.
    carried = translated.carry(job) if carries and isinstance(request, BuildRequest) else None
    return replace(made, translated=translated, carried=carried)


def _described(
    environment: Environment | None, changes: Drift | None, translated: Translated | None
) -> tuple[Environment | None, Drift | None]:
    if translated and translated.environment.records:
        return translated.environment, translated.selection.drift
    return environment, changes


def is_for(lockfile: Lockfile, platform: str) -> bool:
    """Whether a lock file, as it was read, has what a request for a platform asks for; an empty platform asks nothing.

    A pixi.lock may have names of its own for platforms.
    """
    return platform in ("", lockfile.platform, *lockfile.choices.platforms)


def read_lockfile(
    path: Path | None, request: LockfileRequest, report: Report, *, check: bool = True, other: bool = False
) -> Lockfile:
    """Reads a lock file as a request says, and reports what was chosen from a file that has more.

    Args:
        check: whether a lock file is refused whose packages cannot be in one environment.
        other: whether a file without the platform of the request is read for another of its platforms.

    Raises LockfileError.
    """
    assert path
    lockfile = load(
        path, request.platform, environment=request.environment, categories=request.category, check=check, other=other
    )
    choices = lockfile.choices
    if len(choices.platforms) > 1:
        report(Log(f"{path} is for {listed(choices.platforms)}: {lockfile.platform} is used."))
    if len(choices.environments) > 1:
        names = listed(choices.environments)
        report(Log(f"{path} has the environments {names}: {choices.environment} is used."))
    if choices.left_out:
        text = f"The packages of {path} in {_categories(choices.left_out)} are left out."
        if request.category:
            report(Log(text))
        else:
            hint = (
                "'conda-lock install' leaves them out, too. Name each category that the image needs: --category NAME."
            )
            report(Warning("categories-left-out", text, hint))
    return lockfile


def _categories(names: Sequence[str]) -> str:
    return f"the {agreeing(names, 'category', 'categories')} {listed(names)}"


def _platform_needed(own: str, request: PlanRequest, job: JobContext, *, of_base: bool) -> PlatformNeeded:
    """Returns the error of an environment whose platform no image can have. Its hint names the platform of the base.

    Args:
        of_base: whether the base was asked already, and has no platform.
    """
    from jupyter_condabuild.image.base import platform_of  # it imports much, and few builds need it

    there = "" if of_base else platform_of(request.base, job)
    there = there or (host if (host := linux_platform()) in PLATFORMS else "linux-64")
    return PlatformNeeded(
        f"The environment is for {own}; container images need {' or '.join(PLATFORMS)}.",
        f"Solve the packages again for Linux, and see what changes: --platform {there}.",
        there,
    )


def _check_editable(environment: Environment, allowed: Sequence[str]) -> None:
    for item in environment.pip:
        if item.editable_source:
            check_allowed(item.editable_source, f"The editable install {item.package.name}", allowed)


def _folders(environment: Environment | None) -> Iterator[Path]:
    """Yields the package caches that the records name, then the default package caches."""
    folders: dict[Path, None] = {}
    if environment:
        for record in environment.records:
            if record.extracted_package_dir:
                folders.setdefault(Path(record.extracted_package_dir).parent)
    yield from folders
    yield from (
        folder for folder in default_folders(environment.prefix if environment else None) if folder not in folders
    )


def _warnings(
    request: PlanRequest,
    lockfile: Lockfile,
    environment: Environment | None,
    changes: Drift | None,
    withheld: Collection[str],
) -> tuple[Warning, ...]:
    warnings = list(environment.warnings if environment else findings(lockfile))
    for warning in changes.warnings if changes is not None else ():
        if changes is not None and warning.code == "untracked-files":  # a file that is left out is not copied
            warnings += untracked_warnings(entry for entry in changes.untracked if entry.path not in withheld)
        else:
            warnings.append(warning)
    if environment:
        scripts = [record.name for record in environment.records if has_post_link(record.raw.get("files") or ())]
        if scripts:
            warnings.append(
                Warning(
                    "post-link-script",
                    f"Scripts ran at the installation of {listed(scripts)}. "
                    "The files of the scripts are copied from this environment.",
                    "The files of such a script belong to no package. A script may make different files elsewhere.",
                )
            )
    if request.engine == "docker" and not request.bytecode:
        warnings.append(
            Warning(
                "bytecode-of-installer",
                f"With the docker engine, {request.installer} decides whether packages get bytecode. "
                "Files that are copied from the environment get no bytecode.",
                "The layers engine leaves out all bytecode (--engine layers --no-bytecode).",
            )
        )
    return tuple(warnings)
