"""The job `base`: a dated image of the environment, made each night, whose layers builds reuse.

In a repository it has the tags ``base-YYYYMMDD``, and ``latest-base`` for the newest. With the layers engine a night
that changed no package makes a new configuration and a new manifest: the image is rebased, nothing is built.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.distribution.destinations import LATEST
from jupyter_condabuild.errors import BadImage, RegistryError, RegistryNotFound, UsageError
from jupyter_condabuild.events import Event, Finished, Log, Report, Warning
from jupyter_condabuild.image.configuration import Ours
from jupyter_condabuild.jobs import build, rebase
from jupyter_condabuild.jobs.lock import lock_report
from jupyter_condabuild.oci.image import Digest, ImageConfig, Manifest, Reference
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.planning.inputs import read_lockfile
from jupyter_condabuild.requests.build import BaseRequest, BuildRequest
from jupyter_condabuild.requests.job_context import open_job
from jupyter_condabuild.requests.others import RebaseRequest
from jupyter_condabuild.text import listed


@dataclass(frozen=True)
class Refreshed:
    """What a night did: the dated image, whether it was only rebased, the tag that was rebased, and what went."""

    reference: str
    digest: str
    rebased: bool
    moved: str
    removed: tuple[str, ...]
    bytes_pushed: int

    def summary(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return asdict(self)

    def text(self) -> str:
        """A few lines."""
        how = "the same packages on a newer system, nothing rebuilt" if self.rebased else "built"
        lines = [f"{self.reference} and :{LATEST}: {how}", f"  digest  {self.digest}"]
        if self.moved:
            lines.append(f"  {self.moved} lies on the new system, too")
        if self.removed:
            lines.append(f"  removed {listed(self.removed)}")
        return "\n".join(lines)


def run(request: BaseRequest, report: Report) -> Refreshed:
    """Makes the base of today (UTC); see `refresh`."""
    return refresh(request, f"{datetime.now(UTC):%Y%m%d}", report)


def refresh(request: BaseRequest, day: str, report: Report) -> Refreshed:
    """Makes the base of a day, moves ``latest-base`` to it, and removes dated bases beyond those that are kept.

    Args:
        request: its reference names the repository, and a tag that is rebased as well where there is such an image and
            the engine is layers.
        day: such as 20261124.

    Raises as the jobs `build` and `rebase`, and UsageError for packages to leave out that are not there.
    """
    if not re.fullmatch(r"\d{8}", day):
        raise UsageError("A base has a date of eight digits.")
    reference = request.reference
    assert reference
    dated = replace(reference, tag=f"base-{day}", digest=None)
    latest = replace(dated, tag=LATEST)
    with open_job(request, report) as job:
        prefix = request.prefix
        lockfile = lock_report(prefix, report).lockfile if prefix else read_lockfile(request, report)
        if request.without:
            lockfile = _without(lockfile, request.without)
            file = job.scratch / "conda-lock.yml"
            file.write_text(dump(lockfile))
            request = replace(request, prefix=None, lockfile=file)
        repository = job.repository(reference)
        layers = request.engine == "layers"
        rebased = layers and _digest_inside(repository, LATEST) == lockfile.digest
        if rebased:
            done = _rebased(request, latest, dated, report)
        else:
            caches = (latest,) if repository.head(LATEST) else ()
            done = build.run(_build_request(request, dated, caches), _quiet(report)).event
        manifest = repository.manifest(dated.tag)
        repository.push_manifest(manifest, LATEST)
        moved = ""
        if layers and reference.tag != LATEST and _digest_inside(repository, reference.tag):
            _rebased(request, reference, reference, report)
            moved = str(reference)
            report(Log(f"{moved} lies on the new system, too."))
        removed = _prune(repository, request.keep, report)
        if removed:
            report(Log(f"Removed {listed(removed)}."))
    report(done)
    return Refreshed(str(dated), done.digest, rebased, moved, tuple(removed), done.bytes_pushed)


def _build_request(request: BaseRequest, reference: Reference, caches: tuple[Reference, ...]) -> BuildRequest:
    """The build of a dated base: a push, without the user's folder, on the newest image of the installer."""
    asked = {name: value for name, value in request.to_json().items() if name in BuildRequest.options()}
    wanted = {"reference": str(reference), "push": True, "pull": True, "include": ""}
    cache_from = [str(cache) for cache in (*caches, *request.cache_from)]
    return BuildRequest.parse({**asked, **wanted, "cache_from": cache_from})


def _without(lockfile: Lockfile, names: Collection[str]) -> Lockfile:
    """The lock file without some packages of it."""
    known = {package.name for package in lockfile.conda} | {package.name for package in lockfile.pip}
    if unknown := sorted(set(names) - known):
        raise UsageError(f"The environment has no {listed(unknown)}.", "Leave out packages that it has.")
    conda = [package for package in lockfile.conda if package.name not in names]
    pip = [package for package in lockfile.pip if package.name not in names]
    return of_packages(lockfile.platform, conda, pip, lockfile.requested)


def _rebased(request: BaseRequest, source: Reference, target: Reference, report: Report) -> Finished:
    wanted = RebaseRequest(
        reference=source,
        base=request.base,
        target=target,
        store_dir=request.store_dir,
        insecure_registries=request.insecure_registries,
        docker_host=request.docker_host,
    )
    return rebase.run(wanted, _quiet(report))


def _quiet(report: Report) -> Report:
    """The same without the event that ends a build: this is one of several steps."""

    def forward(event: Event) -> None:
        if not isinstance(event, Finished):
            report(event)

    return forward


def _digest_inside(repository: Repository, tag: str) -> str:
    """The lock file's digest in an image of the layers engine; empty where there is no such image."""
    try:
        manifest = repository.manifest(tag)
        if not isinstance(manifest, Manifest):
            return ""
        return Ours.read(ImageConfig.parse(b"".join(repository.read(manifest.config)))).lockfile.digest
    except (RegistryNotFound, BadImage):
        return ""


def _prune(repository: Repository, keep: int, report: Report) -> list[str]:
    """Removes old dated tags. A manifest that another tag has, too, stays: deleting it would take that tag as well."""
    tags = repository.tags()
    old = dated(tags)[keep:]
    if not old:
        return []
    kept = {_head(repository, tag) for tag in tags if tag not in old}
    removed = []
    for tag in old:
        digest = _head(repository, tag)
        if digest is None or digest in kept:
            continue
        try:
            repository.delete(digest)
        except RegistryNotFound:
            continue
        except RegistryError as error:
            hint = "Allow deletion in the registry, or let it expire tags itself."
            report(Warning("base-not-removed", f"Old bases stay: {error.message}", hint))
            break
        removed.append(tag)
    return removed


def dated(tags: Iterable[str]) -> list[str]:
    """The tags of dated bases, newest first."""
    return sorted((tag for tag in tags if re.fullmatch(r"base-\d{8}", tag)), reverse=True)


def _head(repository: Repository, tag: str) -> Digest | None:
    found = repository.head(tag)
    return found.digest if found else None
