"""Where an image goes: a registry, an engine, an archive; and what those places have already."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jupyter_condabuild.distribution.layer_index import LayerIndex, look_up
from jupyter_condabuild.distribution.layer_pool import LayerPool
from jupyter_condabuild.distribution.push import Config, Push
from jupyter_condabuild.errors import CondaBuildError, RegistryError
from jupyter_condabuild.events import Log, Progress, Report, Warning
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.daemon import Daemon
from jupyter_condabuild.oci.image import Image, Reference
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.requests.build import BuildRequest, PlanRequest
from jupyter_condabuild.requests.job_context import JobContext


@dataclass(frozen=True)
class Destination:
    """The repository that the image is pushed to, if it is, and the layers that this repository and the caches have."""

    index: LayerIndex
    repository: Repository | None = None
    tag: str = ""
    pool: LayerPool | None = None

    def push(self, report: Report) -> Push:
        """A push to the repository."""
        assert self.repository
        return Push(self.repository, self.index.present, report, self.pool)

    def index_of(self, planned: Sequence[PlannedLayer], store: Store) -> LayerIndex:
        """The index, and the pool's layers for those of a plan that neither the index nor the store has."""
        if not self.pool:
            return self.index
        missing = [layer for layer in planned if layer.key not in self.index.layers and not store.built(layer.key)]
        return replace(self.index, layers={**self.index.layers, **self.pool.look_up(missing)})


def open_destination(
    request: PlanRequest, job: JobContext, *, trusting: bool = True, present: bool = True
) -> Destination:
    """Reads the manifests that may name layers of ours, in the registries that a request names.

    Args:
        trusting: whether a layer that a manifest names counts as a layer that the registry has.
        present: whether, besides, the destination is not asked again for blobs that its own manifests name.

    Raises RegistryError for a destination that cannot be asked.
    """
    targets: list[tuple[Repository, str]] = []
    repository, tag = None, ""
    if reference := request.destination:
        repository, tag = job.repository(reference), reference.tag
        targets.append((repository, tag))
        previous = job.store.previous(f"{reference.registry}/{reference.repository}")
        if previous:
            targets.append((repository, str(previous)))
    if not trusting:
        return Destination(LayerIndex({}, frozenset()), repository, tag)
    targets += [(job.repository(cache), cache.target) for cache in request.cache_from]
    index = look_up(targets, repository, tag)
    if repository and index.current is None and (base := newest(repository)):
        index = look_up([*targets, (repository, base)], repository, tag)
    if not present:
        index = replace(index, present=frozenset())
    return Destination(index, repository, tag, _pool(request, repository, job))


def _pool(request: PlanRequest, repository: Repository | None, job: JobContext) -> LayerPool | None:
    reference = request.layer_pool
    if not (reference and repository):
        return None
    if reference.registry == repository.host:
        return LayerPool(job.repository(reference, patient=False), job.report)
    job.report(
        Warning(
            "layer-pool-elsewhere",
            f"The layer pool is in {reference.registry}, and the image goes to {repository.host}.",
            "Layers are shared within one registry: name a pool for this one in layer_pool.",
        )
    )
    return None


LATEST = "latest-base"
"""The tag of a repository's newest maintained base (`jobs.nightly_base`)."""


def newest(repository: Repository) -> str:
    """The tag of a repository's newest dated base, by its list of tags; empty where it has none or will not say."""
    try:
        tags = repository.tags()
    except RegistryError:
        return ""
    return max((tag for tag in tags if re.fullmatch(r"base-\d{8}", tag)), default="")


def cache_references(request: PlanRequest, job: JobContext) -> tuple[Reference, ...]:
    """The images that the docker engine may take steps from: those named, the one before, the newest dated base."""
    found = list(request.cache_from)
    if reference := request.destination:
        found.append(reference)
        if tag := newest(job.repository(reference)):
            found.append(Reference(reference.registry, reference.repository, tag))
    return tuple(dict.fromkeys(found))


def deliver(image: Image, request: BuildRequest, destination: Destination, push: Push | None, job: JobContext) -> int:
    """Brings the image to its places and returns the bytes that were pushed.

    Raises RegistryError, EngineUnavailable, EngineFault and the StoreErrors.
    """
    pushed = 0
    if push:
        with job.phase("push"):
            _finish(image, request, destination, push, job.store)
            pushed = push.bytes_pushed
    if request.load:
        with job.phase("load"):
            _load(image, request, job)
    if request.archive:
        with job.phase("export"):
            write_archive(image, request, job.report)
    return pushed


def write_archive(image: Image, request: BuildRequest, report: Report) -> None:
    """Writes the archive that a request asks for. Raises StoreError, and what the layers' sources raise."""
    assert request.archive
    kind: archive.Kind = "docker-archive" if request.archive.kind == "docker-archive" else "oci-archive"
    name = str(request.reference) if request.reference else ""
    archive.write(image, name, request.archive.path, kind, throttled(report, "export"))


def _finish(image: Image, request: BuildRequest, destination: Destination, push: Push, store: Store) -> None:
    manifest, reference = image.manifest, request.reference
    assert reference
    push.add(manifest.config, Config(image.config))
    push.wait()
    if request.again or destination.index.current is None or destination.index.current.raw != manifest.raw:
        push.finish(manifest, destination.tag)
    store.remember(f"{reference.registry}/{reference.repository}", manifest.descriptor.digest)


def _load(image: Image, request: BuildRequest, job: JobContext) -> None:
    """An engine that can reach the registry pulls what it lacks; any other gets the whole image."""
    name = str(request.reference)
    with Daemon.connect(job.docker_host or None) as daemon:
        if request.push:
            try:
                if daemon.pull(name):
                    return
            except CondaBuildError as error:
                job.report(Log(f"The engine cannot pull from the registry, so it is given the image: {error.message}"))
        daemon.load(image, name, throttled(job.report, "load"))


def throttled(report: Report, subject: str) -> archive.Progress:
    """Progress events at most ten times a second."""
    last = 0.0

    def moved(complete: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 0.1 or complete == total:
            last = now
            report(Progress(subject, complete, total))

    return moved
