"""The build of the layers engine: from an environment or a lock file to an image at its destinations."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TYPE_CHECKING

from jupyter_condabuild import progress
from jupyter_condabuild.distribution.destinations import deliver, open_destination, replaced_platforms
from jupyter_condabuild.distribution.push import GRACE_SECONDS, Push
from jupyter_condabuild.distribution.rates import Rates
from jupyter_condabuild.distribution.sboms import Sboms
from jupyter_condabuild.distribution.statements import Statements
from jupyter_condabuild.engines.layers.assemble import assemble
from jupyter_condabuild.engines.layers.audit import Audit
from jupyter_condabuild.engines.layers.engine import LayersEngine
from jupyter_condabuild.engines.layers.upper_layers import upper_layers
from jupyter_condabuild.engines.layers.work import work
from jupyter_condabuild.engines.result import BuildResult
from jupyter_condabuild.errors import BlobGone
from jupyter_condabuild.events import Finished, Warning
from jupyter_condabuild.image import kept_images
from jupyter_condabuild.image.apt_label import packages_in
from jupyter_condabuild.image.base import Base, resolve
from jupyter_condabuild.image.configuration import command, runtime_layer
from jupyter_condabuild.image.layers import LayerStack, ReadyLayer
from jupyter_condabuild.image.platforms import host_architecture
from jupyter_condabuild.oci.image import LAYER_KEY, Image, ImageConfig
from jupyter_condabuild.planning import verified_packages
from jupyter_condabuild.planning.inputs import Inputs, read_inputs
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.planning.link_scripts import report_link_scripts
from jupyter_condabuild.planning.scan import Scan
from jupyter_condabuild.planning.shared_paths import contested_layer, paths_of
from jupyter_condabuild.requests.build import BuildRequest
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.trust.receipt import receipt_of

if TYPE_CHECKING:
    from jupyter_condabuild.sbom.bill import Bill

_SCRIPTS_THERE = (
    "The scripts are for another platform, and cannot run here. Write a lock file (lock --platform), and build with "
    "--lockfile FILE --engine docker, which runs the scripts."
)


def build(request: BuildRequest, job: JobContext, scan: Scan | None, *, of_several: bool = False) -> BuildResult:
    """Builds the image of a request and delivers it to its destinations.

    If a registry lacks a blob that its own manifests name, the build runs a second time and asks for each blob.

    Args:
        scan: the scan of the environment, if there is one already.
        of_several: whether the image is one of several, for which the caller makes an index. It then gets no name.

    Raises CondaBuildError of any kind.
    """
    try:
        return _build(request, job, scan, trusting=True, of_several=of_several)
    except BlobGone as error:
        hint = "The build starts again, and asks the registries for each layer."
        job.report(Warning("blob-gone", error.message, hint))
        return _build(request, job, None, trusting=False, of_several=of_several)


def _build(
    request: BuildRequest, job: JobContext, scan: Scan | None, *, trusting: bool, of_several: bool
) -> BuildResult:
    """Runs one attempt. With `trusting`, the blobs that the manifests of a registry name count as present there."""
    started = time.monotonic()
    with ExitStack() as attempt:
        # Registries answer slowly, so that the requests run while the environment is read.
        threads = ThreadPoolExecutor(2, thread_name_prefix="ask")
        attempt.callback(threads.shutdown, wait=False, cancel_futures=True)
        base_future = threads.submit(resolve, request.base, host_architecture(), job)
        destination_future = threads.submit(
            open_destination, request, job, trusting=trusting, present=not request.again, of_several=of_several
        )
        attempt.callback(lambda: wait((base_future, destination_future), GRACE_SECONDS))
        verified = verified_packages.read(job.store, request.prefix) if request.prefix else {}
        inputs = read_inputs(request, job, scan, verified, of_base=True)
        if request.prefix and inputs.drift is not None:
            verified_packages.keep(job.store, request.prefix, inputs.drift.verified)
        with job.phase("base"):
            is_native = inputs.architecture == host_architecture()
            base = base_future.result() if is_native else resolve(request.base, inputs.architecture, job)
            if request.apt:
                from jupyter_condabuild.image.added_packages import with_packages  # most builds need none

                base = with_packages(base, request.apt, job)
            destination = destination_future.result()
        push = attempt.enter_context(destination.push(job)) if request.push else None
        if push and request.reference and not of_several:
            for warning in replaced_platforms(destination.index.named, request.reference, {inputs.architecture}):
                job.report(warning)

        steps = None
        if not of_several and request.load and not request.push:
            # After a push, the engine pulls the image, and would download the layers of the steps again.
            from jupyter_condabuild.engines.layers.steps import Steps, in_steps

            steps = attempt.enter_context(Steps(job)) if in_steps(request, job) else None

        def ready(layer: ReadyLayer) -> None:
            if push:
                push.add(layer.descriptor, layer.source, layer.title)
            if steps:
                steps.add(layer)

        def begin(missing: Sequence[PlannedLayer], found: Mapping[str, ReadyLayer]) -> None:
            job.progress.plan(work(request, inputs, base, destination, missing, found))
            if steps:
                steps.begin(base, runtime, planned, missing)

        with job.phase("layers"):
            if push:
                for descriptor in base.layers:
                    push.add(descriptor, base.image.sources[descriptor.digest])
            runtime = runtime_layer(job.store, request.compression_level)
            ready(runtime)
            contested = _contested(request, inputs, job)
            planned = [*inputs.plan.layers, *contested]
            engine = LayersEngine(
                job,
                destination.index_of(planned, job.store),
                inputs.sources,
                request.compression_level,
                ready,
                live=inputs.environment is not None,
                registry=request.destination.registry if request.destination else "",
                compiling=inputs.compiling,
                planned=begin,
                growing=lambda layer, path: push.growing(layer.key, path, layer.size) if push else None,
                abandoned=lambda layer: push.abandon(layer.key) if push else None,
            )
            making = time.monotonic()
            packages = engine.make(planned, inputs.lockfile)
            audit = attempt.enter_context(Audit(inputs, request.compression_level, job))
            audit.start(engine.reuse.adopted)
            upper = upper_layers(request, inputs, packages.unavailable, job)
            for layer in upper:
                job.progress.done(progress.making(layer.title))
                ready(layer)
            making = time.monotonic() - making
        above = LayerStack((runtime, *packages.layers, *upper))
        if request.stack:
            from jupyter_condabuild.engines.layers.current_image import current_image  # most builds need none
            from jupyter_condabuild.engines.layers.stacking import contents, stacked

            above = stacked(
                lambda: current_image(request, destination, job),
                base,
                above.layers,
                lambda: contents(inputs, packages.layers),
                job,
            )
            for layer in above.layers:
                ready(layer)
        image = assemble(base, above, inputs, request)
        sboms = None
        if push and (request.again or not destination.has(image.manifest)):
            sboms = attempt.enter_context(Sboms(push.repository, job.report, push.places))
            sboms.write(image.manifest.descriptor.digest, lambda: _bill(image, inputs, above))
        audit.finish(time.monotonic() - started)
        statements = _statements(image, request, inputs, base, above, sboms) if push else None
        before_load = steps.finish if steps else None
        pushed = deliver(image, request, destination, push, statements, job, inputs.private, before_load)
        _keep_rates(started, making, [*packages.layers, *upper], planned, engine, push, job)
    kept_images.keep(image, job.store)
    job.progress.finish()
    finished = Finished(
        reference=str(request.reference or ""),
        digest=str(image.manifest.descriptor.digest),
        size=image.size,
        bytes_pushed=pushed,
        layers=len(above.layers),
        layers_reused=sum(layer.state.startswith("reused") for layer in above.layers),
        seconds=round(time.monotonic() - started, 3),
        archive=request.archive_name,
        environment=inputs.lockfile.digest,
        command=tuple(command(inputs.lockfile)),
        stale=above.stale,
        sent=_sent(push, base, above) if push else None,
    )
    if not of_several:
        job.report(finished)
    return BuildResult(finished, image, above.layers, str(base.named or ""))


def _sent(push: Push, base: Base, above: LayerStack) -> dict[str, int]:
    """Returns where the pushed bytes came from, see `events.Finished`."""
    origins = {"reused-remote": "copied", "reused-local": "store"}
    sent = dict.fromkeys(("base", "copied", "store", "made"), 0)
    known = {layer.digest: ("base", layer.size) for layer in base.layers}
    for layer in above.layers:
        known.setdefault(layer.descriptor.digest, (origins.get(layer.state, "made"), layer.descriptor.size))
    for digest in push.uploaded & known.keys():
        origin, size = known[digest]
        sent[origin] += size
    sent["made"] += push.bytes_pushed - sum(sent.values())  # the configuration
    return sent


def _keep_rates(
    started: float,
    making: float,
    layers: Sequence[ReadyLayer],
    planned: Sequence[PlannedLayer],
    engine: LayersEngine,
    push: Push | None,
    job: JobContext,
) -> None:
    """Keeps how fast this build was, for the estimate of the next one.

    Args:
        started: when the build started, as a value of `time.monotonic`.
        making: the seconds in which packages were fetched and the layers were made.
    """
    built = [layer.descriptor for layer in layers if layer.state == "built"]
    keys = {descriptor.annotations.get(LAYER_KEY) for descriptor in built}
    sizes = [descriptor.size for descriptor in built if LAYER_KEY in descriptor.annotations]
    archives = sum(layer.size for layer in planned if layer.key in keys)
    fetching = engine.fetching if engine.fetched else 0.0
    before = Rates.read(job.store)
    rates = before.with_build(sum(descriptor.size for descriptor in built), making - fetching)
    rates = rates.with_archives(sum(sizes), archives).with_fetch(engine.fetched, fetching)
    if push:
        rates = rates.with_push(push.repository.host, push.bytes_pushed, push.seconds)
    busy = max(making if rates.build != before.build else fetching, push.seconds if push else 0.0)
    rates.with_overhead(time.monotonic() - started - busy).keep(job.store)


def _bill(image: Image, inputs: Inputs, above: LayerStack) -> Bill:
    from jupyter_condabuild.sbom.inputs import licenses_of  # a build whose image has its SBOMs needs none of them
    from jupyter_condabuild.sbom.inventory import bill_of

    titles = {layer.descriptor.digest: layer.title for layer in above.layers}
    config = ImageConfig.parse(image.config)
    return bill_of(image.manifest, config, inputs.contents, licenses_of(inputs), titles)


def _statements(
    image: Image, request: BuildRequest, inputs: Inputs, base: Base, above: LayerStack, sboms: Sboms | None
) -> Statements:
    """Makes the statements of the image. Raises SigningFailed."""
    assert request.reference
    digest, added = str(base.digest), packages_in(base.config)
    receipt = receipt_of(
        image.manifest, request.reference, inputs.lockfile, base.name, digest, above.layers, added=added
    )
    return Statements.of(receipt, request.signing_key, sboms)


def _contested(request: BuildRequest, inputs: Inputs, job: JobContext) -> list[PlannedLayer]:
    """Returns the layer of the paths that several packages bring, in a list; an empty list if it is not needed.

    Says which packages of a lock file have a script. Raises NotReproducible if the request is strict.
    """
    site_packages = inputs.lockfile.site_packages
    paths = paths_of(inputs.plan, inputs.environment, inputs.sources, site_packages)
    if inputs.environment is None:
        dists = [package.dist for package in inputs.lockfile.conda]
        advice = _SCRIPTS_THERE if inputs.other else ""
        report_link_scripts(paths, dists, job.report, strict=request.strict, advice=advice)
    return contested_layer(inputs.plan, paths, site_packages, job.report, inputs.sources)
