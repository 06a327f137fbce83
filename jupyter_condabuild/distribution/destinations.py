"""The destinations of an image: a registry, an engine, an archive; and the layers that registries have already."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jupyter_condabuild.distribution.blob_places import BlobPlaces
from jupyter_condabuild.distribution.layer_index import LayerIndex, current_digest, look_up
from jupyter_condabuild.distribution.layer_pool import LayerPool
from jupyter_condabuild.distribution.moved_tag import warn_if_moved
from jupyter_condabuild.distribution.push import Config, Push
from jupyter_condabuild.distribution.statements import Statements
from jupyter_condabuild.errors import CondaBuildError, RegistryError
from jupyter_condabuild.events import Log, Progress, Report, Warning
from jupyter_condabuild.image.platforms import PLATFORMS, host_architecture, name_of
from jupyter_condabuild.oci.image import LAYER_PACKAGES, Descriptor, Image, Manifest, Reference
from jupyter_condabuild.oci.index import Index, platform_of
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.oci.tag_list import tags_of
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.progress import EXPORTING, LOADING, JobProgress
from jupyter_condabuild.requests.build import BuildRequest, PlanRequest
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import listed
from jupyter_condabuild.trust.vouchers import Vouchers

if TYPE_CHECKING:
    from jupyter_condabuild.oci.archive import Kind
    from jupyter_condabuild.oci.archive import Progress as Moved


@dataclass(frozen=True)
class Destination:
    """The repository of the image, if the request names one, and the layers that registries have already.

    `index` has the layers of the repository and of the caches. `tag` is the image's tag in the repository. `pool` is
    the lab's layer pool; None if there is none in the registry of the repository. `of_several` says that the image is
    one of several, for which somebody else makes an index: it then gets no tag, and goes to no engine and no archive.
    `places` are the repositories of the registry to which this machine has pushed blobs.
    `before` is what the tag had at first, see `current_digest`; None for one of several images.
    """

    index: LayerIndex
    repository: Repository | None = None
    tag: str = ""
    pool: LayerPool | None = None
    of_several: bool = False
    places: BlobPlaces | None = None
    before: str | None = None

    def has(self, manifest: Manifest) -> bool:
        """Whether the tag has this image now. One of several images can also be in the index that the tag has."""
        named = self.index.named
        if isinstance(named, Index) and self.of_several:
            return any(one.digest == manifest.descriptor.digest for one in named.images)
        return named is not None and named.raw == manifest.raw

    def push(self, job: JobContext) -> Push:
        """Returns a push to the repository."""
        assert self.repository
        pool = self.pool.repository.name if self.pool else ""
        return Push(self.repository, self.index, job.report, job.progress, pool, self.places)

    def index_of(self, planned: Sequence[PlannedLayer], store: Store, *, hints: bool = False) -> LayerIndex:
        """Returns the index with the pool's layers, for planned layers that neither the index nor the store has.

        Args:
            hints: whether layers of the pool count for which nobody vouches.
        """
        if not self.pool:
            return self.index
        missing = [layer for layer in planned if not self.index.vouched(layer.key) and not store.built(layer.key)]
        return self.index.with_claims(self.pool.look_up(missing, hints=hints))


def open_destination(
    request: PlanRequest, job: JobContext, *, trusting: bool = True, present: bool = True, of_several: bool = False
) -> Destination:
    """Reads the manifests that may name reusable layers, in the registries of a request.

    Args:
        trusting: whether a layer counts as present because a manifest of the registry names it. If false, no
            manifest is read.
        present: whether blobs that the destination's own manifests name are used without a request for each blob.
        of_several: see `Destination`.

    Raises RegistryError if the destination does not answer or refuses.
    """
    targets: list[tuple[Repository, str]] = []
    repository, tag, places = None, "", None
    if reference := request.destination:
        repository, tag = job.repository(reference).for_pushing(), reference.tag
        targets.append((repository, tag))
        places = BlobPlaces(job.store, repository.host)
        previous = job.store.previous(f"{reference.registry}/{reference.repository}")
        if previous:
            targets.append((repository, str(previous)))
    if not trusting:
        before = None if of_several else current_digest(reference, job)
        return Destination(LayerIndex(), repository, tag, of_several=of_several, places=places, before=before)
    architecture = PLATFORMS.get(request.platform, host_architecture())
    vouchers = Vouchers(job)
    targets += [(job.repository(cache), cache.target) for cache in request.cache_from]
    index = look_up(targets, repository, tag, vouchers, architecture)
    if repository and index.current is None and (base := newest(repository)):
        index = look_up([*targets, (repository, base)], repository, tag, vouchers, architecture)
    if not present:
        index = replace(index, present=frozenset())
    before = str(index.named.descriptor.digest) if index.named else ""
    pool = _pool(request, repository, vouchers, job)
    return Destination(index, repository, tag, pool, of_several, places, None if of_several else before)


def _pool(request: PlanRequest, repository: Repository | None, vouchers: Vouchers, job: JobContext) -> LayerPool | None:
    reference = request.layer_pool
    if not (reference and repository):
        return None
    if reference.registry == repository.host:
        return LayerPool(job.repository(reference, patient=False), vouchers, job.report)
    job.report(
        Warning(
            "layer-pool-elsewhere",
            f"The layer pool is in {reference.registry}, but the image goes to {repository.host}.",
            f"Layers can be shared only within one registry: set layer_pool to a repository of {repository.host}.",
        )
    )
    return None


def replaced_platforms(named: Manifest | Index | None, reference: Reference, built: Set[str]) -> Iterator[Warning]:
    """Yields a warning if the name loses images for other platforms.

    Args:
        named: what the name has before the push.
        built: the processors of the images that it gets, as GOARCH names.
    """
    images = named.images if isinstance(named, Index) else ()
    if lost := [name_of(image) for image in images if platform_of(image)[1] not in built]:
        yield Warning(
            "platforms-replaced",
            f"The name {reference} has images for {listed(lost)}, too. They no longer have this name afterwards.",
            "To keep them, add --append-platform, or build for these platforms, too.",
        )


LATEST = "latest-base"
"""The tag of a repository's newest maintained base (see `jobs.nightly_base`)."""


def newest(repository: Repository) -> str:
    """Returns the tag of a repository's newest dated base; empty if there is none or the tags cannot be listed."""
    try:
        tags = tags_of(repository)
    except RegistryError:
        return ""
    return max((tag for tag in tags if re.fullmatch(r"base-\d{8}", tag)), default="")


def cache_references(request: PlanRequest, job: JobContext) -> tuple[Reference, ...]:
    """Returns the images whose steps the docker engine may reuse, each by its digest.

    They are the images of `cache_from`, the image that the destination has now, and the newest dated base. An engine
    takes the steps of such an image without a check, so an image that nobody vouches for is left out, and reported.
    """
    references = list(request.cache_from)
    if reference := request.destination:
        references.append(reference)
        if tag := newest(job.repository(reference)):
            references.append(Reference(reference.registry, reference.repository, tag))
    vouchers = Vouchers(job)
    return tuple(filter(None, (_vouched(reference, vouchers, job) for reference in dict.fromkeys(references))))


def _vouched(reference: Reference, vouchers: Vouchers, job: JobContext) -> Reference | None:
    repository = job.repository(reference)
    try:
        manifest = repository.manifest(reference.target)
        if isinstance(manifest, Index):
            manifest = repository.manifest(str(manifest.select(host_architecture()).digest))
    except CondaBuildError:  # no image, or no answer: the engine would find nothing either
        return None
    if isinstance(manifest, Index) or not vouchers.of_image(repository, manifest):
        job.report(Log(f"Not used as a cache: {reference}. Nobody whom you trust vouches for it."))
        return None
    return Reference(reference.registry, reference.repository, digest=manifest.descriptor.digest)


def deliver(
    image: Image,
    request: BuildRequest,
    destination: Destination,
    push: Push | None,
    statements: Statements | None,
    job: JobContext,
    private: Set[str] = frozenset(),
    before_load: Callable[[], None] | None = None,
) -> int:
    """Delivers the image to every destination of the request. Returns the number of bytes that were pushed.

    Args:
        statements: attached to an image that is pushed.
        private: the dists of packages whose layers are never published to the layer pool.
        before_load: called before the image is loaded into the engine.

    Raises RegistryError, EngineUnavailable, EngineFault, StoreError.
    """
    pushed = 0
    if push:
        with job.phase("push"):
            _finish(image, request, destination, push, job)
            if statements and destination.repository and (push.sent_manifest or statements.is_signed):
                statements.attach(destination.repository, image.manifest.descriptor, job.report)
            if destination.pool and destination.repository:
                signed = statements.receipt.to_bytes() if statements and statements.is_signed else b""
                shared = [layer for layer in push.new_layers if private.isdisjoint(_dists(layer))]
                destination.pool.publish(shared, destination.repository, signed)
            pushed = push.bytes_pushed
    if request.load and not destination.of_several:
        with job.phase("load"):
            if before_load:
                before_load()
            load(image, request, job)
    if request.archive and not destination.of_several:
        with job.phase("export"):
            write_archive(image, request, job.progress)
    return pushed


def _dists(layer: Descriptor) -> list[str]:
    return layer.annotations.get(LAYER_PACKAGES, "").split()


def write_archive(image: Image, request: BuildRequest, progress: JobProgress) -> None:
    """Writes the archive of a request. Raises StoreError, the errors of `sif.writer.write`, and those of the layers."""
    assert request.archive
    name = str(request.reference) if request.reference else ""
    if request.archive.kind == "sif":
        from jupyter_condabuild.oci.sif import writer

        writer.write(image, name, request.archive.path, progress.of(EXPORTING))
        return
    from jupyter_condabuild.oci import archive

    kind: Kind = "docker-archive" if request.archive.kind == "docker-archive" else "oci-archive"
    archive.write(image, name, request.archive.path, kind, progress.of(EXPORTING))


def _finish(image: Image, request: BuildRequest, destination: Destination, push: Push, job: JobContext) -> None:
    manifest, reference = image.manifest, request.reference
    assert reference
    push.add(manifest.config, Config(image.config), "configuration")
    push.wait()
    if request.again or not destination.has(manifest):
        warn_if_moved(reference, destination.before, current_digest(reference, job), manifest.descriptor.digest, job)
        push.finish(manifest, "" if destination.of_several else destination.tag)
    job.store.remember(f"{reference.registry}/{reference.repository}", manifest.descriptor.digest)
    job.store.vouch(manifest.descriptor.digest)


def load(image: Image, request: BuildRequest, job: JobContext) -> None:
    """Loads the image into the engine.

    If the image was pushed, the engine pulls the layers that it does not have. If the pull fails, or if the image was
    not pushed, the image is sent to the engine. Then the engine needs no step images any more (see
    `oci.engine.step_images`), and they are removed.
    """
    from jupyter_condabuild.oci.engine.daemon import Daemon  # a push needs no engine

    name = str(request.reference)
    with Daemon.connect(job.docker_host or None) as daemon:
        if request.push:
            try:
                if daemon.pull(name):
                    return
            except CondaBuildError as error:
                job.report(
                    Log(f"The engine cannot pull from the registry, so the image is sent to it: {error.message}")
                )
        daemon.load(image, name, job.progress.of(LOADING))
        from jupyter_condabuild.oci.engine.step_images import remove_steps  # a push needs none of it

        with suppress(CondaBuildError):  # the next build removes them
            remove_steps(daemon)
    if request.reference:
        job.store.remember(loaded(request.reference), image.manifest.descriptor.digest)


def loaded(reference: Reference) -> str:
    """Returns the name under which the store remembers the image that was last sent to an engine as `reference`."""
    return f"docker-daemon:{reference}"


def throttled(report: Report, subject: str) -> Moved:
    """Returns a function that reports progress: at most ten events a second, and always the last one."""
    last = 0.0

    def moved(complete: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 0.1 or complete == total:
            last = now
            report(Progress(subject, complete, total))

    return moved
