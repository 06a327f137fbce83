"""Where an image goes: a registry, an engine, an archive; and what those places have already."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jupyter_condabuild.distribution.layer_index import Known, look_up
from jupyter_condabuild.distribution.layer_pool import LayerPool
from jupyter_condabuild.distribution.push import Config, Push
from jupyter_condabuild.errors import CondaBuildError, RegistryError
from jupyter_condabuild.events import Log, Progress, Report, Warning, phase
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.daemon import Daemon
from jupyter_condabuild.oci.image import Image, Reference
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registries import Registries
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.requests.build import BuildRequest


@dataclass(frozen=True)
class Places:
    """The destination, if it is a registry, and the layers that it and the caches have."""

    known: Known
    destination: Repository | None = None
    tag: str = ""
    pool: LayerPool | None = None

    def push(self, report: Report) -> Push:
        """A push to the destination."""
        assert self.destination
        return Push(self.destination, self.known.present, report, self.pool)

    def known_of(self, planned: Sequence[PlannedLayer], store: Store) -> Known:
        """What is known of a plan's layers; the pool is asked for those that neither a registry nor the store has."""
        if not self.pool:
            return self.known
        missing = [layer for layer in planned if layer.key not in self.known.layers and not store.built(layer.key)]
        return replace(self.known, layers={**self.known.layers, **self.pool.look_up(missing)})


def open_places(
    request: BuildRequest, store: Store, registries: Registries, report: Report, *, trusting: bool = True
) -> Places:
    """Reads the manifests that may name layers of ours, in the registries that a request names.

    Without `trusting`, no word of theirs is taken for what they have. Raises RegistryError for a destination that
    cannot be asked.
    """
    targets: list[tuple[Repository, str]] = []
    destination, tag = None, ""
    if request.push:
        reference = Reference.parse(request.reference)
        destination, tag = registries.repository(reference), reference.tag
        targets.append((destination, tag))
        previous = store.previous(f"{reference.registry}/{reference.repository}")
        if previous:
            targets.append((destination, str(previous)))
    if not trusting:
        return Places(Known({}, frozenset()), destination, tag)
    for text in request.cache_from:
        cache = Reference.parse(text)
        targets.append((registries.repository(cache), cache.target))
    known = look_up(targets, destination, tag)
    if destination and known.current is None and (base := newest(destination)):
        known = look_up([*targets, (destination, base)], destination, tag)
    return Places(known, destination, tag, _pool(request, destination, registries, report))


def _pool(
    request: BuildRequest, destination: Repository | None, registries: Registries, report: Report
) -> LayerPool | None:
    if not (request.layer_pool and destination):
        return None
    reference = Reference.parse(request.layer_pool)
    if reference.registry == destination.host:
        return LayerPool(registries.repository(reference, patient=False), report)
    report(
        Warning(
            "layer-pool-elsewhere",
            f"The layer pool is in {reference.registry}, and the image goes to {destination.host}.",
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


def cache_names(request: BuildRequest, registries: Registries) -> tuple[str, ...]:
    """The images that the docker engine may take steps from: those named, the one before, the newest dated base."""
    names = list(request.cache_from)
    if request.push:
        reference = Reference.parse(request.reference)
        found = newest(registries.repository(reference))
        names += [request.reference, *([f"{reference.registry}/{reference.repository}:{found}"] if found else [])]
    return tuple(dict.fromkeys(names))


def deliver(
    image: Image, request: BuildRequest, places: Places, push: Push | None, store: Store, report: Report
) -> int:
    """Brings the image to its places and returns the bytes that were pushed.

    Raises RegistryError, EngineUnavailable, EngineFault and the StoreErrors.
    """
    pushed = 0
    if push:
        with phase(report, "push"):
            _finish(image, request, places, push, store)
            pushed = push.bytes_pushed
    if request.load:
        with phase(report, "load"):
            _load(image, request, report)
    if request.archive:
        with phase(report, "export"):
            moved = throttled(report, "export")
            archive.write(image, request.reference, request.archive_path, request.archive_kind, moved)
    return pushed


def _finish(image: Image, request: BuildRequest, places: Places, push: Push, store: Store) -> None:
    manifest = image.manifest
    push.add(manifest.config, Config(image.config))
    push.wait()
    if places.known.current is None or places.known.current.raw != manifest.raw:
        push.finish(manifest, places.tag)
    reference = Reference.parse(request.reference)
    store.remember(f"{reference.registry}/{reference.repository}", manifest.descriptor.digest)


def _load(image: Image, request: BuildRequest, report: Report) -> None:
    """An engine that can reach the registry pulls what it lacks; any other gets the whole image."""
    with Daemon.connect(request.docker_host or None) as daemon:
        if request.push:
            try:
                if daemon.pull(request.reference):
                    return
            except CondaBuildError as error:
                report(Log(f"The engine cannot pull from the registry, so it is given the image: {error.message}"))
        daemon.load(image, request.reference, throttled(report, "load"))


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
