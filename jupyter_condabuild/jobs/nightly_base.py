"""The job `base`: a dated image of the environment, made each night. Builds reuse its layers.

A dated image has the tag ``base-YYYYMMDD``. The newest also has the tag ``latest-base``. If no package has changed
since the last base, the layers engine only rebases the image: it makes a configuration and a manifest, and no layer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.logins import variables
from jupyter_condabuild.distribution.destinations import LATEST
from jupyter_condabuild.errors import BadImage, RegistryError, RegistryNotFound, UsageError
from jupyter_condabuild.events import Event, Finished, Log, Report, Warning
from jupyter_condabuild.image.configuration import Ours
from jupyter_condabuild.jobs import build, rebase
from jupyter_condabuild.jobs.lock import lock_report
from jupyter_condabuild.oci.documents import read_document
from jupyter_condabuild.oci.image import INDEXES, Digest, ImageConfig, Manifest, Reference
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.referrers import detach
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.oci.tag_list import tags_of
from jupyter_condabuild.planning.default_platforms import for_default_platforms
from jupyter_condabuild.planning.inputs import read_lockfile
from jupyter_condabuild.requests.build import BaseRequest, BuildRequest
from jupyter_condabuild.requests.job_context import open_job
from jupyter_condabuild.requests.others import RebaseRequest
from jupyter_condabuild.text import listed


@dataclass(frozen=True)
class BaseResult:
    """The result of the job `base`.

    `reference` and `digest` are those of the dated image. `rebased` says that no layer was built. `moved` is the other
    image that was rebased; empty if there is none. `removed` has the tags that were deleted.
    """

    reference: str
    digest: str
    rebased: bool
    moved: str
    removed: tuple[str, ...]
    bytes_pushed: int

    def summary(self) -> dict[str, Any]:
        """Returns the result as a JSON object."""
        return asdict(self)

    def text(self) -> str:
        """Returns the result in a few lines."""
        how = "rebased on the current base image, no layer built" if self.rebased else "built"
        lines = [f"{self.reference} and :{LATEST}: {how}", f"  digest  {self.digest}"]
        if self.moved:
            lines.append(f"  rebased {self.moved}")
        if self.removed:
            lines.append(f"  removed {listed(self.removed)}")
        return "\n".join(lines)


def run(request: BaseRequest, report: Report) -> BaseResult:
    """Makes the base of the current day (UTC). Raises the errors of `refresh`."""
    return refresh(request, f"{datetime.now(UTC):%Y%m%d}", report)


def refresh(request: BaseRequest, day: str, report: Report) -> BaseResult:
    """Makes the base of a day, moves ``latest-base`` to it, and removes old dated bases.

    Args:
        request: its reference names the repository. If the engine is layers and the reference's tag has an image of the
            layers engine, this image is rebased, too.
        day: the date, such as 20261124.

    Raises the errors of the jobs `build` and `rebase`, and UsageError if a package to leave out is not in the
    environment.
    """
    request = for_default_platforms(request)
    if not re.fullmatch(r"\d{8}", day):
        raise UsageError("The date of a base must have eight digits.")
    reference = request.reference
    assert reference
    dated = replace(reference, tag=f"base-{day}", digest=None)
    latest = replace(dated, tag=LATEST)
    with open_job(request, report) as job:
        lockfiles = _lockfiles(request, report)
        if request.without:
            [lockfile] = lockfiles
            written = lockfile.choices.urls
            lockfile = _without(lockfile, request.without)
            lockfiles = [lockfile]
            file = job.scratch / "conda-lock.yml"
            file.write_text(dump(_with_variables(lockfile, written)))
            request = replace(request.parts[0], prefix=None, lockfile=file, environment="", category=())
        repository = job.repository(reference).for_pushing()
        layers = request.engine == "layers"
        current = {lockfile.digest for lockfile in lockfiles}
        rebased = layers and bool(current) and _digests_inside(repository, LATEST) == current
        if rebased:
            done = _rebased(request, latest, dated, report)
        else:
            caches = (latest,) if repository.head(LATEST) else ()
            done = build.run(_build_request(request, dated, caches), _quiet(report)).event
        manifest = repository.manifest(dated.tag)
        repository.push_manifest(manifest, LATEST)
        moved = ""
        if layers and reference.tag != LATEST and _digests_inside(repository, reference.tag):
            _rebased(request, reference, reference, report)
            moved = str(reference)
            report(Log(f"Rebased {moved}."))
        removed = _prune(repository, request.keep, report)
        if removed:
            report(Log(f"Removed {listed(removed)}."))
    report(done)
    return BaseResult(str(dated), done.digest, rebased, moved, tuple(removed), done.bytes_pushed)


def _lockfiles(request: BaseRequest, report: Report) -> list[Lockfile]:
    """Returns the lock file for each platform; none if an environment is solved again for several.

    Such a solution can be another one each time, so that only a build shows whether it has changed.

    Raises UsageError for packages that are left out of several platforms.
    """
    if len(request.parts) > 1 and request.without:
        raise UsageError(
            "--without leaves packages out of a base for one platform, not for several.",
            "Leave out --without, or name one --platform.",
        )
    if request.lockfile:
        return [read_lockfile(request.lockfile, part, report, other=True) for part in request.parts]
    assert request.prefix
    return [lock_report(request.prefix, report).lockfile] if len(request.parts) == 1 else []


def _build_request(request: BaseRequest, reference: Reference, caches: tuple[Reference, ...]) -> BuildRequest:
    """Returns the request that builds a dated base: a push, with the newest installer and without a user's folder."""
    options = {name: value for name, value in request.to_json().items() if name in BuildRequest.options()}
    changed = {"reference": str(reference), "push": True, "pull": True, "include": ""}
    cache_from = [str(cache) for cache in (*caches, *request.cache_from)]
    return BuildRequest.parse({**options, **changed, "cache_from": cache_from})


def _without(lockfile: Lockfile, names: Collection[str]) -> Lockfile:
    """Returns the lock file without some packages. Raises UsageError if it does not have one of them."""
    known = {package.name for package in lockfile.conda} | {package.name for package in lockfile.pip}
    if unknown := sorted(set(names) - known):
        raise UsageError(
            f"These packages are not in the environment: {listed(unknown)}.",
            "Give --without the names of packages in the environment.",
        )
    conda = [package for package in lockfile.conda if package.name not in names]
    pip = [package for package in lockfile.pip if package.name not in names]
    return of_packages(lockfile.platform, conda, pip, lockfile.requested)


def _with_variables(lockfile: Lockfile, written: Mapping[str, str]) -> Lockfile:
    """Returns the lock file with variables in place of logins, as its file has them. A login in clear is left out."""
    conda = [
        replace(package, url=url) if variables(url := written.get(package.url, "")) else package
        for package in lockfile.conda
    ]
    return of_packages(lockfile.platform, conda, lockfile.pip, lockfile.requested)


def _rebased(request: BaseRequest, source: Reference, target: Reference, report: Report) -> Finished:
    options = {name: value for name, value in request.to_json().items() if name in RebaseRequest.options()}
    rebase_request = RebaseRequest.parse({**options, "reference": str(source), "target": str(target)})
    return rebase.run(rebase_request, _quiet(report))


def _quiet(report: Report) -> Report:
    """Returns a `Report` without `Finished` events: a build or a rebase is only one step of this job."""

    def forward(event: Event) -> None:
        if not isinstance(event, Finished):
            report(event)

    return forward


def _digests_inside(repository: Repository, tag: str) -> set[str]:
    """Returns the digests of the lock files in the images of a tag; empty if the layers engine did not make them."""
    try:
        found = repository.manifest(tag)
        names = [str(image.digest) for image in found.images] if isinstance(found, Index) else []
        documents = [repository.manifest(name) for name in names] or [found]
        manifests = [document for document in documents if isinstance(document, Manifest)]
        configs = [ImageConfig.parse(read_document(repository, manifest.config)) for manifest in manifests]
        return {Ours.read(config).lockfile.digest for config in configs}
    except (RegistryNotFound, BadImage):
        return set()


def _prune(repository: Repository, keep: int, report: Report) -> list[str]:
    """Deletes old dated bases, and returns their tags.

    A manifest that has another tag, or that is in the index of another tag, is kept: a registry deletes all tags of a
    manifest with it.
    """
    tags = tags_of(repository)
    old = dated(tags)[keep:]
    if not old:
        return []
    kept = {digest for tag in tags if tag not in old for digest in _digests(repository, tag)}
    removed = []
    for tag in old:
        digests = _digests(repository, tag)
        if not digests or digests[0] in kept:
            continue
        try:
            for digest in digests:
                if digest not in kept:
                    _delete(repository, digest)
        except RegistryError as error:
            hint = "Allow deletion in the registry, or let the registry remove old tags."
            report(Warning("base-not-removed", f"The old bases are not removed: {error.message}", hint))
            break
        removed.append(tag)
    return removed


def _delete(repository: Repository, digest: Digest) -> None:
    """Deletes a manifest and what belongs to it. Raises RegistryError."""
    with suppress(RegistryNotFound):
        repository.delete(digest)
    with suppress(RegistryError):  # the base itself is removed
        detach(repository, digest)


def dated(tags: Iterable[str]) -> list[str]:
    """Returns the tags of dated bases, newest first."""
    return sorted((tag for tag in tags if re.fullmatch(r"base-\d{8}", tag)), reverse=True)


def _digests(repository: Repository, tag: str) -> list[Digest]:
    """Returns the digest of a tag and, if it has an index, those of its images; empty if there is no such tag."""
    descriptor = repository.head(tag)
    if descriptor is None:
        return []
    document = repository.manifest(str(descriptor.digest)) if descriptor.media_type in INDEXES else None
    images = document.images if isinstance(document, Index) else ()
    return [descriptor.digest, *(image.digest for image in images)]
