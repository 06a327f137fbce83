"""The docker engine: a Dockerfile and its context, built by a Docker or Podman Engine with a registry as the cache."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.distribution.destinations import cache_names, throttled
from jupyter_condabuild.engines.docker import context
from jupyter_condabuild.engines.docker.installers import installer
from jupyter_condabuild.engines.docker.progress import Steps
from jupyter_condabuild.engines.docker.recipe import Wanted
from jupyter_condabuild.errors import BaseUnavailable, CondaBuildError, EngineFault
from jupyter_condabuild.events import Finished, Log, Progress, Report, Warning, phase
from jupyter_condabuild.image.base import resolve
from jupyter_condabuild.image.configuration import (
    LABEL_BASE_LAYERS,
    LABEL_ENGINE,
    LABEL_VARIABLES,
    command,
    image_labels,
)
from jupyter_condabuild.oci import archive, builder
from jupyter_condabuild.oci.builder import BuildOptions, Kind, NoBuildKit
from jupyter_condabuild.oci.daemon import Daemon
from jupyter_condabuild.oci.image import ImageConfig, Manifest, Reference
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registries import Registries
from jupyter_condabuild.planning.inputs import Prepared, prepare
from jupyter_condabuild.requests.build import BuildRequest


def build(request: BuildRequest, report: Report) -> Finished:
    """Builds the image of a request with an engine, and brings it where it was asked to go.

    Raises CondaBuildError of any kind. A build that fails leaves no image and no container.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        store = stack.enter_context(Store(Path(request.store_dir)))
        work = stack.enter_context(store.folder())
        prepared = prepare(request, work, report)
        with phase(report, "base"):
            daemon = stack.enter_context(Daemon.connect(request.docker_host or None))
            kind = _builder(daemon, report)
            base = _base(request, prepared, daemon, store, stack, work)
            network = builder.network(daemon)
            caches = _pull_private(request, daemon, kind, stack, report)
        with phase(report, "layers"):
            parts = context.collect(request, prepared, work, report, shares_host=network == "host")
            temporary = "" if request.load or request.push else f"condabuild/build:{uuid.uuid4().hex}"
            name = temporary or request.reference
            if temporary:
                stack.callback(builder.forget, daemon, temporary)
            steps = Steps(report)
            environment = prepared.environment
            variables = dict(environment.variables) if environment and request.variables else {}
            wanted = Wanted(
                str(base.reference), installer(request.installer), request.installer_image, variables=variables
            )
            labels, platform = _labels(prepared, request, base), f"linux/{prepared.architecture}"
            options = BuildOptions(name, labels, caches, network, platform, _plain(request, base))

            def run(kind: Kind) -> str:
                made = context.make_recipe(prepared, parts, replace(wanted, mounts=kind != "classic"))
                archived = work / "context.tar.gz"
                context.write(made, parts, archived, report)
                return builder.build(daemon, archived, options, kind, steps, throttled(report, "context"))

            try:
                identity = run(kind)
            except NoBuildKit:
                report(_no_buildkit(daemon))
                identity = run("classic")
            except EngineFault as error:
                raise EngineFault(scrub(error.message), _HINT) from None
        result = _deliver(request, prepared, daemon, identity, name, stack, work, report)
    layers = steps.layers
    finished = replace(
        result,
        environment=prepared.lockfile.digest,
        command=tuple(command(prepared.lockfile)),
        layers=len(layers),
        layers_reused=sum(layers.values()),
        seconds=round(time.monotonic() - started, 3),
    )
    report(finished)
    return finished


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


def _base(
    request: BuildRequest, prepared: Prepared, daemon: Daemon, store: Store, stack: ExitStack, work: Path
) -> _Base:
    kind, colon, rest = request.base.partition(":")
    archived = bool(colon) and kind in ("oci-archive", "docker-archive", "oci")
    if colon and kind == "docker-daemon":
        if daemon.image_id(rest) is None:
            raise BaseUnavailable(f"The engine has no image {rest[:200]}.")
        return _Base(Reference.parse(rest), rest)
    try:
        found = resolve(
            request.base,
            prepared.architecture,
            Registries(stack, request.insecure_registries),
            store,
            stack,
            work,
            request.docker_host,
        )
    except BaseUnavailable:
        if archived or daemon.image_id(request.base) is None:
            raise
        return _Base(Reference.parse(request.base), request.base)
    layers = len(found.config.diff_ids)
    if found.repository is None:
        name = f"condabuild/base:{found.digest.hex[:12]}"
        daemon.load(found.image, name)
        return _Base(Reference.parse(name), found.name, layers)
    reference = Reference.parse(request.base)
    pinned = Reference(reference.registry, reference.repository, digest=found.digest)
    if builder.has_login(pinned) and daemon.image_id(str(pinned)) is None:
        daemon.pull(str(pinned))
    return _Base(pinned, found.name, layers)


def _pull_private(request: BuildRequest, daemon: Daemon, kind: Kind, stack: ExitStack, report: Report) -> list[str]:
    """The images to take for a cache. BuildKit cannot log in: what needs a login is pulled first, with the user's own.

    The classic builder and Podman use only images that the engine has.
    """
    image = Reference.parse(request.installer_image or installer(request.installer).image)
    if request.pull or (builder.has_login(image) and daemon.image_id(str(image)) is None):
        daemon.pull(str(image))
    caches = []
    for text in cache_names(request, Registries(stack, request.insecure_registries)):
        cache = Reference.parse(text)
        if kind != "buildkit" or builder.has_login(cache):
            try:
                if not daemon.pull(str(cache)):
                    continue
            except CondaBuildError as error:
                report(Log(f"Not used as a cache: {cache} ({scrub(error.message)})"))
                continue
        caches.append(str(cache))
    return caches


def _labels(prepared: Prepared, request: BuildRequest, base: _Base) -> dict[str, str]:
    environment = prepared.environment
    labels = image_labels(prepared.lockfile)
    labels |= {LABEL_ENGINE: "docker", **base.labels}
    if environment and request.variables and environment.variables:
        labels[LABEL_VARIABLES] = json.dumps(sorted(environment.variables))
    return labels


def _plain(request: BuildRequest, base: _Base) -> bool:
    """Whether each registry that the build reads from may speak plain HTTP."""
    image = Reference.parse(request.installer_image or installer(request.installer).image)
    return all(
        context.is_plain(reference.registry, request.insecure_registries) for reference in (image, base.reference)
    )


def _deliver(
    request: BuildRequest,
    prepared: Prepared,
    daemon: Daemon,
    identity: str,
    name: str,
    stack: ExitStack,
    work: Path,
    report: Report,
) -> Finished:
    digest, size, pushed = identity, builder.image_size(daemon, name), 0
    if request.push:
        with phase(report, "push"):
            reference = Reference.parse(request.reference)
            found, sent = builder.push(daemon, reference, _pushing(report))
            digest = str(found)
            repository = Registries(stack, request.insecure_registries).repository(reference)
            manifest = repository.manifest(digest)
            if isinstance(manifest, Manifest):
                size = manifest.config.size + sum(layer.size for layer in manifest.layers)
                diff_ids = ImageConfig.parse(b"".join(repository.read(manifest.config))).diff_ids
                layers = zip(manifest.layers, diff_ids, strict=True)
                pushed = sum(layer.size for layer, diff_id in layers if diff_id.hex[:12] in sent)
    if request.archive:
        with phase(report, "export"):
            saved = stack.enter_context(daemon.export(name, work))
            image = saved.image(prepared.architecture)
            moved = throttled(report, "export")
            archive.write(image, request.reference, request.archive_path, request.archive_kind, moved)
            if not request.push:
                digest, size = str(image.manifest.descriptor.digest), image.size
    return Finished(request.reference, digest, size, pushed, 0, 0, 0.0, request.archive)


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
