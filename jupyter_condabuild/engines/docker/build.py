"""The docker engine: a Dockerfile and its context, built by a Docker or Podman Engine with a registry as the cache."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.distribution.destinations import cache_references, throttled, write_archive
from jupyter_condabuild.engines.docker import context
from jupyter_condabuild.engines.docker.installers import installer
from jupyter_condabuild.engines.docker.progress import Steps
from jupyter_condabuild.engines.docker.recipe import Wanted
from jupyter_condabuild.errors import BaseUnavailable, CondaBuildError, EngineFault
from jupyter_condabuild.events import Finished, Log, Progress, Report, Warning
from jupyter_condabuild.image.base import resolve
from jupyter_condabuild.image.configuration import (
    LABEL_BASE_LAYERS,
    LABEL_ENGINE,
    LABEL_VARIABLES,
    command,
    image_labels,
)
from jupyter_condabuild.oci import builder
from jupyter_condabuild.oci.builder import BuildOptions, Kind, NoBuildKit
from jupyter_condabuild.oci.credentials import has_login
from jupyter_condabuild.oci.daemon import Daemon
from jupyter_condabuild.oci.image import ImageConfig, Manifest, Reference
from jupyter_condabuild.planning.inputs import Inputs, read_inputs
from jupyter_condabuild.requests.build import BuildRequest
from jupyter_condabuild.requests.job_context import JobContext


def build(request: BuildRequest, job: JobContext) -> Finished:
    """Builds the image of a request with an engine, and brings it to its destinations.

    Raises CondaBuildError of any kind. A build that fails leaves no image and no container.
    """
    started = time.monotonic()
    inputs = read_inputs(request, job)
    with job.phase("base"):
        daemon = job.keep(Daemon.connect(job.docker_host or None))
        kind = _builder(daemon, job.report)
        base = _base(request, inputs, daemon, job)
        network = builder.network(daemon)
        caches = _pull_private(request, daemon, kind, job)
    with job.phase("layers"):
        parts = context.collect(request, inputs, job, shares_host=network == "host")
        name = str(request.reference)
        if not (request.load or request.push):
            name = f"condabuild/build:{uuid.uuid4().hex}"
            job.keep(_forgetting(daemon, name))
        steps = Steps(job.report)
        environment = inputs.environment
        wanted = Wanted(
            str(base.reference),
            installer(request.installer),
            str(request.installer_image or ""),
            variables=dict(environment.variables) if environment and request.variables else {},
        )
        labels, platform = _labels(inputs, request, base), f"linux/{inputs.architecture}"
        options = BuildOptions(name, labels, caches, network, platform, _plain(request, base))

        def run(kind: Kind) -> str:
            """One build by one builder; what the engine says of a failure may hold credentials of a channel."""
            made = context.make_recipe(inputs, parts, replace(wanted, mounts=kind != "classic"))
            archived = job.scratch / "context.tar.gz"
            context.write(made, parts, archived, job.report)
            try:
                return builder.build(daemon, archived, options, kind, steps, throttled(job.report, "context"))
            except NoBuildKit:
                raise
            except EngineFault as error:
                raise EngineFault(scrub(error.message), _HINT) from None

        try:
            identity = run(kind)
        except NoBuildKit:
            job.report(_no_buildkit(daemon))
            identity = run("classic")
    result = _deliver(request, inputs, daemon, identity, name, job)
    layers = steps.layers
    finished = replace(
        result,
        environment=inputs.lockfile.digest,
        command=tuple(command(inputs.lockfile)),
        layers=len(layers),
        layers_reused=sum(layers.values()),
        seconds=round(time.monotonic() - started, 3),
    )
    job.report(finished)
    return finished


@contextmanager
def _forgetting(daemon: Daemon, name: str) -> Iterator[None]:
    """Takes the name from the image at the end; an image without a name is the engine's to remove."""
    yield
    builder.forget(daemon, name)


_HINT = (
    "The step's own words are above. If a package could not be downloaded: can the engine reach its channel? Packages "
    "of a channel that needs a login are fetched beforehand only where the environment's records hold the login."
)


def _builder(daemon: Daemon, report: Report) -> Kind:
    kind = builder.builder_of(daemon)
    if kind == "classic":
        report(_no_buildkit(daemon))
    else:
        report(Log(f"Building with {daemon.name}{' (BuildKit)' if kind == 'buildkit' else ''}."))
    return kind


def _no_buildkit(daemon: Daemon) -> Warning:
    return Warning(
        "no-buildkit",
        f"{daemon.name} has no BuildKit; its classic builder is used: no cache of packages, steps one after another.",
        "Docker has BuildKit since 18.09.",
    )


@dataclass(frozen=True)
class _Base:
    """The base image as a FROM line names it, pinned to a digest where it lies in a registry."""

    reference: Reference
    title: str
    layers: int | None = None

    @property
    def labels(self) -> dict[str, str]:
        found = {"org.opencontainers.image.base.name": self.title}
        if self.reference.digest:
            found["org.opencontainers.image.base.digest"] = str(self.reference.digest)
        return found if self.layers is None else {**found, LABEL_BASE_LAYERS: str(self.layers)}


def _base(request: BuildRequest, inputs: Inputs, daemon: Daemon, job: JobContext) -> _Base:
    location = request.base
    if location.kind == "docker-daemon":
        if daemon.image_id(location.name) is None:
            raise BaseUnavailable(f"The engine has no image {location.name[:200]}.")
        return _Base(location.reference, location.name)
    try:
        found = resolve(location, inputs.architecture, job)
    except BaseUnavailable:
        if location.is_file or daemon.image_id(location.name) is None:
            raise
        return _Base(location.reference, location.name)
    layers = len(found.config.diff_ids)
    if found.repository is None:
        name = f"condabuild/base:{found.digest.hex[:12]}"
        daemon.load(found.image, name)
        return _Base(Reference.parse(name), found.name, layers)
    reference = location.reference
    pinned = Reference(reference.registry, reference.repository, digest=found.digest)
    if has_login(pinned) and daemon.image_id(str(pinned)) is None:
        daemon.pull(str(pinned))
    return _Base(pinned, found.name, layers)


def _installer_image(request: BuildRequest) -> Reference:
    return request.installer_image or Reference.parse(installer(request.installer).image)


def _pull_private(request: BuildRequest, daemon: Daemon, kind: Kind, job: JobContext) -> list[str]:
    """The images to take for a cache. BuildKit cannot log in: an image that needs a login is pulled before the build.

    The classic builder and Podman use only images that the engine has.
    """
    image = _installer_image(request)
    if request.pull or (has_login(image) and daemon.image_id(str(image)) is None):
        daemon.pull(str(image))
    caches = []
    for cache in cache_references(request, job):
        if kind != "buildkit" or has_login(cache):
            try:
                if not daemon.pull(str(cache)):
                    continue
            except CondaBuildError as error:
                job.report(Log(f"Not used as a cache: {cache} ({scrub(error.message)})"))
                continue
        caches.append(str(cache))
    return caches


def _labels(inputs: Inputs, request: BuildRequest, base: _Base) -> dict[str, str]:
    environment = inputs.environment
    labels = image_labels(inputs.lockfile)
    labels |= {LABEL_ENGINE: "docker", **base.labels}
    if environment and request.variables and environment.variables:
        labels[LABEL_VARIABLES] = json.dumps(sorted(environment.variables))
    return labels


def _plain(request: BuildRequest, base: _Base) -> bool:
    """Whether each registry that the build reads from may speak plain HTTP."""
    image = _installer_image(request)
    return all(
        context.is_plain(reference.registry, request.insecure_registries) for reference in (image, base.reference)
    )


def _deliver(
    request: BuildRequest, inputs: Inputs, daemon: Daemon, identity: str, name: str, job: JobContext
) -> Finished:
    digest, size, pushed = identity, builder.image_size(daemon, name), 0
    if request.push:
        with job.phase("push"):
            assert request.reference
            found, sent = builder.push(daemon, request.reference, _pushing(job.report))
            digest = str(found)
            repository = job.repository(request.reference)
            manifest = repository.manifest(digest)
            if isinstance(manifest, Manifest):
                size = manifest.config.size + sum(layer.size for layer in manifest.layers)
                diff_ids = ImageConfig.parse(b"".join(repository.read(manifest.config))).diff_ids
                layers = zip(manifest.layers, diff_ids, strict=False)
                pushed = sum(layer.size for layer, diff_id in layers if diff_id.hex[:12] in sent)
    if request.archive:
        with job.phase("export"):
            image = job.keep(daemon.export(name, job.scratch)).image(inputs.architecture)
            write_archive(image, request, job.report)
            if not request.push:
                digest, size = str(image.manifest.descriptor.digest), image.size
    return Finished(str(request.reference or ""), digest, size, pushed, 0, 0, 0.0, request.archive_name)


def _pushing(report: Report) -> builder.Pushing:
    sizes: dict[str, tuple[int, int]] = {}
    last = 0.0

    def moved(layer: str, complete: int, total: int) -> None:
        nonlocal last
        sizes[layer] = (min(complete, total) if total else complete, total or complete)
        now = time.monotonic()
        if now - last >= 0.1:
            last = now
            report(Progress("push", sum(one for one, _ in sizes.values()), sum(all for _, all in sizes.values())))

    return moved
