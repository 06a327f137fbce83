"""The build of the docker engine: a Docker or Podman Engine builds a Dockerfile, with a registry as the cache."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_condabuild.conda.contents import package_paths
from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.distribution.blob_places import BlobPlaces
from jupyter_condabuild.distribution.destinations import cache_references, throttled, write_archive
from jupyter_condabuild.distribution.layer_index import current_digest
from jupyter_condabuild.distribution.moved_tag import warn_if_moved
from jupyter_condabuild.distribution.sboms import Sboms
from jupyter_condabuild.distribution.statements import Statements
from jupyter_condabuild.engines.docker import context
from jupyter_condabuild.engines.docker.build_tools import check_build_tools
from jupyter_condabuild.engines.docker.installers import installer
from jupyter_condabuild.engines.docker.progress import Steps
from jupyter_condabuild.engines.docker.recipe import Wanted
from jupyter_condabuild.engines.layers.places import variables_of
from jupyter_condabuild.errors import BaseUnavailable, CondaBuildError, EngineFault
from jupyter_condabuild.events import Finished, Log, Report, Warning, log_to
from jupyter_condabuild.image.added_packages import with_packages
from jupyter_condabuild.image.apt_label import LABEL_APT, packages_in
from jupyter_condabuild.image.base import refuse_environment, resolve
from jupyter_condabuild.image.configuration import (
    BASE_DIGEST,
    BASE_NAME,
    LABEL_BASE_LAYERS,
    LABEL_ENGINE,
    LABEL_VARIABLES,
    command,
    image_labels,
)
from jupyter_condabuild.oci.documents import read_document
from jupyter_condabuild.oci.engine import builder
from jupyter_condabuild.oci.engine.builder import BuildOptions, Kind, NoBuildKit
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.engine.faults import engine_errors
from jupyter_condabuild.oci.image import ImageConfig, Manifest, Reference
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.oci.logins.credentials import has_login
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.planning.inputs import Inputs, read_inputs
from jupyter_condabuild.planning.link_scripts import report_link_scripts
from jupyter_condabuild.progress import EXPORTING, JobProgress, making, sending
from jupyter_condabuild.requests.build import BuildRequest
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.sbom.inputs import licenses_of
from jupyter_condabuild.sbom.inventory import bill_of
from jupyter_condabuild.trust import ssh
from jupyter_condabuild.trust.receipt import receipt_of

_IMAGE = "image"
"""The name of the image in the progress of a build."""


def build(request: BuildRequest, job: JobContext) -> Finished:
    """Builds the image of a request with an engine, and delivers it to its destinations.

    A build that fails leaves no image and no container.

    Raises CondaBuildError of any kind.
    """
    started = time.monotonic()
    if request.push and request.signing_key:  # the engine makes the image visible before the receipt is signed
        ssh.sign(b"", request.signing_key)
    before = current_digest(request.destination, job)
    inputs = read_inputs(request, job, of_base=True)
    if inputs.environment is None:
        check_build_tools(inputs.lockfile, job.report)
        packages = inputs.lockfile.conda
        paths = package_paths(packages, inputs.sources, inputs.lockfile.site_packages)
        dists = [package.dist for package in packages]
        report_link_scripts(paths, dists, job.report, installer=request.installer, strict=request.strict)
    with job.phase("base"):
        daemon = job.keep(Daemon.connect(job.docker_host or None))
        kind = _builder(daemon, job.report)
        base = _with_packages(_base(request, inputs, daemon, job), request, inputs, job)
        network = builder.network(daemon)
        caches = _pull_private(request, daemon, kind, job)
    with job.phase("layers"):
        parts = context.collect(request, inputs, job, shares_host=network == "host")
        name = str(request.reference)
        if not (request.load or request.push):
            name = f"condabuild/build:{uuid.uuid4().hex}"
            job.keep(_temporary_name(daemon, name))
        steps = Steps(job.report, job.progress.of(making(_IMAGE)))
        environment = inputs.environment
        wanted = Wanted(
            str(base.reference),
            installer(request.installer),
            str(request.installer_image or ""),
            variables=variables_of(environment, inputs.own) if environment and request.variables else {},
            added=sorted(set(request.apt)) if base.added else (),
        )
        labels, platform = _labels(inputs, request, base), f"linux/{inputs.architecture}"
        options = BuildOptions(name, labels, caches, network, platform, _plain(request, base))

        def run(kind: Kind) -> str:
            """Runs one build with one builder, and returns the id of the image.

            The engine's message about a failure can contain the credentials of a channel, so they are removed.
            """
            made = context.make_recipe(inputs, parts, replace(wanted, mounts=kind != "classic"))
            archived = job.scratch / "context.tar.gz"
            context.write(made, parts, archived, job.report, base.added)
            steps.number = len(re.findall(r"^(?:FROM|RUN|COPY|ADD) ", made.dockerfile, re.MULTILINE))
            job.progress.plan(_work(request, inputs))
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
    job.progress.done(making(_IMAGE))
    result = _deliver(request, inputs, daemon, identity, name, before, job)
    layers = steps.layers
    finished = replace(
        result,
        environment=inputs.lockfile.digest,
        command=tuple(command(inputs.lockfile)),
        layers=len(layers),
        layers_reused=sum(layers.values()),
        seconds=round(time.monotonic() - started, 3),
    )
    job.progress.finish()
    job.report(finished)
    return finished


@contextmanager
def _temporary_name(daemon: Daemon, name: str) -> Iterator[None]:
    """Removes the name of the image at the end. The engine's own clean-up removes an image without a name."""
    yield
    builder.forget(daemon, name)


_HINT = (
    "The output of the step is above. If a package could not be downloaded, check that the engine can reach its "
    "channel. This machine downloads the packages of a channel with a login only if your settings, the lock file or "
    "the environment's records contain the login."
)


def _builder(daemon: Daemon, report: Report) -> Kind:
    """Returns the builder of an engine, and reports it."""
    kind = builder.builder_of(daemon)
    if kind == "classic":
        report(_no_buildkit(daemon))
    else:
        report(Log(f"Building with {daemon.name}{' (BuildKit)' if kind == 'buildkit' else ''}."))
    return kind


def _no_buildkit(daemon: Daemon) -> Warning:
    return Warning(
        "no-buildkit",
        f"{daemon.name} has no BuildKit, so its classic builder builds the image. It has no cache of packages.",
        "Docker has BuildKit since 18.09.",
    )


@dataclass(frozen=True)
class _Base:
    """The base image.

    Args:
        reference: the reference in the FROM line. It has a digest if the image is in a registry.
        title: the name of the image for people.
        layers: the number of its layers, if it is known.
        apt: the label with the packages of Debian that are added to it; empty for none.
        added: the layer with these packages; None if the base has all of them.
    """

    reference: Reference
    title: str
    layers: int | None = None
    apt: str = ""
    added: Path | None = None

    @property
    def labels(self) -> dict[str, str]:
        labels = {BASE_NAME: self.title}
        if self.reference.digest:
            labels[BASE_DIGEST] = str(self.reference.digest)
        if self.apt:
            labels[LABEL_APT] = self.apt
        return labels if self.layers is None else {**labels, LABEL_BASE_LAYERS: str(self.layers)}


def _base(request: BuildRequest, inputs: Inputs, daemon: Daemon, job: JobContext) -> _Base:
    """Finds the base image, and loads or pulls it if the builder cannot get it by itself.

    Raises BaseUnavailable, or RegistryError or EngineFault from the load or the pull.
    """
    location = request.base
    if location.kind == "docker-daemon":
        if daemon.image_id(location.name) is None:
            raise BaseUnavailable(f"The engine has no image {location.name[:200]}.")
        return _of_engine(location, daemon)
    try:
        found = resolve(location, inputs.architecture, job)
    except BaseUnavailable:
        if location.kind != "registry" or daemon.image_id(location.name) is None:
            raise
        return _of_engine(location, daemon)
    layers = len(found.config.diff_ids)
    if found.repository is None:
        name = f"condabuild/base:{found.digest.hex[:12]}"
        daemon.load(found.image, name)
        return _Base(Reference.parse(name), found.name, layers)
    reference = location.reference
    pinned = Reference(reference.registry, reference.repository, digest=found.digest)
    if has_login(pinned, log_to(job.report)) and daemon.image_id(str(pinned)) is None:
        daemon.pull(str(pinned))
    return _Base(pinned, found.name, layers)


def _with_packages(base: _Base, request: BuildRequest, inputs: Inputs, job: JobContext) -> _Base:
    """Returns a base with the packages of Debian that a request adds. The layers of the base are read here.

    They are installed here, not by apt in the builder: so both engines give the same files, and nothing else is needed
    from the network of the builder.

    Raises the errors of `resolve` and of `with_packages`.
    """
    if not request.apt:
        return base
    bare = resolve(request.base, inputs.architecture, job)
    found = with_packages(bare, request.apt, job)
    layers = found.layers
    added = job.store.path(layers[-1].digest) if len(layers) > len(bare.layers) else None
    return replace(base, layers=len(layers), apt=found.config.runtime["Labels"][LABEL_APT], added=added)


def _of_engine(location: ImageLocation, daemon: Daemon) -> _Base:
    """Returns an image that the engine has. Raises BaseUnavailable, EngineFault."""
    with engine_errors(f"looking for {location.name}", daemon.where):
        config = daemon.client.inspect_image(location.name).get("Config") or {}
    refuse_environment(location, config.get("Labels") or {})
    return _Base(location.reference, location.name)


def _installer_image(request: BuildRequest) -> Reference:
    return request.installer_image or Reference.parse(installer(request.installer).image)


def _pull_private(request: BuildRequest, daemon: Daemon, kind: Kind, job: JobContext) -> list[str]:
    """Pulls the images that the builder cannot pull, and returns the images that it can use as a cache.

    BuildKit cannot log in, so images that need a login are pulled before the build. The classic builder and Podman use
    only images that the engine has, so all cache images are pulled for them.
    """
    image = _installer_image(request)
    if request.pull or (has_login(image, log_to(job.report)) and daemon.image_id(str(image)) is None):
        daemon.pull(str(image))
    caches = []
    for cache in cache_references(request, job):
        if kind != "buildkit" or has_login(cache, log_to(job.report)):
            try:
                if not daemon.pull(str(cache)):
                    continue
            except CondaBuildError as error:
                job.report(Log(f"Not used as a cache: {cache} ({scrub(error.message)})"))
                continue
        caches.append(str(cache))
    return caches


def _work(request: BuildRequest, inputs: Inputs) -> dict[str, int]:
    """Returns the items of a build. Only the engine knows the sizes of its steps: they count as the packages."""
    size = max(sum(package.size or 0 for package in inputs.lockfile.conda), 1)
    items = {making(_IMAGE): size}
    if request.push:
        items[sending(_IMAGE)] = size
    if request.archive:
        items[EXPORTING] = size
    return items


def _labels(inputs: Inputs, request: BuildRequest, base: _Base) -> dict[str, str]:
    environment = inputs.environment
    labels = image_labels(inputs.lockfile)
    labels |= {LABEL_ENGINE: "docker", **base.labels}
    if environment and request.variables and environment.variables:
        labels[LABEL_VARIABLES] = json.dumps(sorted(environment.variables))
    return labels


def _plain(request: BuildRequest, base: _Base) -> bool:
    """Returns whether the build may use plain HTTP for all registries that it reads."""
    image = _installer_image(request)
    return all(
        context.is_plain(reference.registry, request.insecure_registries) for reference in (image, base.reference)
    )


def _deliver(
    request: BuildRequest, inputs: Inputs, daemon: Daemon, identity: str, name: str, before: str | None, job: JobContext
) -> Finished:
    """Pushes the image and writes its archive, as the request says.

    Args:
        identity: the id of the image in the engine.
        name: the name of the image in the engine.
        before: what the name in the registry had at the start, see `current_digest`.
    """
    digest, size, pushed = identity, builder.image_size(daemon, name), 0
    if request.push:
        with job.phase("push"):
            assert request.reference
            now = current_digest(request.reference, job)
            found, sent = builder.push(daemon, request.reference, _pushing(job.progress, size))
            warn_if_moved(request.reference, before, now, found, job)
            digest = str(found)
            repository = job.repository(request.reference)
            manifest = repository.manifest(digest)
            if isinstance(manifest, Manifest):
                size = manifest.config.size + sum(layer.size for layer in manifest.layers)
                config = ImageConfig.parse(read_document(repository, manifest.config))
                layers = zip(manifest.layers, config.diff_ids, strict=False)
                pushed = sum(layer.size for layer, diff_id in layers if diff_id.hex[:12] in sent)
                _attach_statements(manifest, config, request, inputs, repository, job)
    if request.archive:
        with job.phase("export"):
            image = job.keep(daemon.export(name, job.scratch)).image(inputs.architecture)
            write_archive(image, request, job.progress)
            if not request.push:
                digest, size = str(image.manifest.descriptor.digest), image.size
    return Finished(str(request.reference or ""), digest, size, pushed, 0, 0, 0.0, request.archive_name)


def _attach_statements(
    manifest: Manifest,
    config: ImageConfig,
    request: BuildRequest,
    inputs: Inputs,
    repository: Repository,
    job: JobContext,
) -> None:
    """Attaches the receipt and the SBOMs to an image in a registry. Which layer has a package is not known here."""
    assert request.reference
    digest, labels = manifest.descriptor.digest, config.runtime.get("Labels") or {}
    job.store.vouch(digest)
    base, base_digest = labels.get(BASE_NAME, ""), labels.get(BASE_DIGEST, "")
    receipt = receipt_of(
        manifest, request.reference, inputs.lockfile, base, base_digest, engine="docker", added=packages_in(config)
    )
    with Sboms(repository, job.report, BlobPlaces(job.store, repository.host)) as sboms:
        sboms.write(digest, lambda: bill_of(manifest, config, inputs.contents, licenses_of(inputs), {}))
        statements = Statements.of(receipt, request.signing_key, sboms)
        statements.attach(repository, manifest.descriptor, job.report)


def _pushing(progress: JobProgress, size: int) -> builder.Pushing:
    """Returns a function that records the progress of a push.

    Args:
        size: the size of the image in bytes, without compression, as the engine counts.
    """
    sent: dict[str, int] = {}

    def moved(layer: str, complete: int, total: int) -> None:
        sent[layer] = min(complete, total) if total else complete
        progress.reached(sending(_IMAGE), sum(sent.values()), size)

    return moved
