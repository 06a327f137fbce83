"""The job of the layers engine: from an environment or a lock file to an image where it was asked to go."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from jupyter_condabuild.distribution import destinations, layer_index
from jupyter_condabuild.distribution.push import GRACE_SECONDS
from jupyter_condabuild.engines.layers.assemble import assemble
from jupyter_condabuild.engines.layers.engine import LayersEngine
from jupyter_condabuild.engines.layers.stacking import contents, stacked
from jupyter_condabuild.engines.layers.upper_layers import remainder
from jupyter_condabuild.engines.result import BuildResult
from jupyter_condabuild.errors import BlobGone
from jupyter_condabuild.events import Finished, Report, Warning, phase
from jupyter_condabuild.image.base import Base, host_architecture, resolve
from jupyter_condabuild.image.configuration import command, runtime_layer
from jupyter_condabuild.image.layers import ReadyLayer, Stack
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registries import Registries
from jupyter_condabuild.planning import verified_packages
from jupyter_condabuild.planning.inputs import prepare
from jupyter_condabuild.planning.scan import Look
from jupyter_condabuild.planning.shared_paths import contested_layer
from jupyter_condabuild.requests.build import BuildRequest


def build(request: BuildRequest, report: Report, seen: Look | None) -> BuildResult:
    """Builds the image and brings it where it was asked to go. Raises CondaBuildError of any kind.

    `seen` is the environment, where there is one.
    """
    try:
        return _build(request, report, seen, trusting=True)
    except BlobGone as error:
        report(Warning("blob-gone", error.message, "Registries are now asked for each layer, and nothing is assumed."))
        return _build(request, report, None, trusting=False)


def _build(request: BuildRequest, report: Report, seen: Look | None, *, trusting: bool) -> BuildResult:
    """`trusting` what the manifests in registries say that these have."""
    started = time.monotonic()
    with ExitStack() as stack:
        store = stack.enter_context(Store(Path(request.store_dir)))
        work = stack.enter_context(store.folder())
        registries = Registries(stack, request.insecure_registries)

        def find_base(architecture: str) -> Base:
            return resolve(request.base, architecture, registries, store, stack, work, request.docker_host)

        # registries are far away: they are asked while the environment is read
        beside = ThreadPoolExecutor(2, thread_name_prefix="ask")
        stack.callback(beside.shutdown, wait=False, cancel_futures=True)
        asked_base = beside.submit(find_base, host_architecture())
        asked_places = beside.submit(destinations.open_places, request, store, registries, report, trusting=trusting)
        asked: tuple[Future[Any], ...] = (asked_base, asked_places)
        stack.callback(lambda: wait(asked, GRACE_SECONDS))
        prepared = prepare(request, work, report, seen, verified_packages.read(store, request.prefix))
        if prepared.drift is not None:
            verified_packages.keep(store, request.prefix, prepared.drift.verified)
        with phase(report, "base"):
            here = prepared.architecture == host_architecture()
            base = asked_base.result() if here else find_base(prepared.architecture)
            places = asked_places.result()
        push = stack.enter_context(places.push(report)) if request.push else None

        def ready(layer: ReadyLayer) -> None:
            if push:
                push.add(layer.descriptor, layer.source)

        with phase(report, "layers"):
            if push:
                for descriptor in base.layers:
                    push.add(descriptor, base.image.sources[descriptor.digest])
            runtime = runtime_layer(store, request.compression_level)
            ready(runtime)
            contested = layer_index.contested_in(places.known, prepared.plan)
            if contested is None:
                contested = contested_layer(prepared, report)
            planned = [*prepared.plan.layers, *contested]
            engine = LayersEngine(
                store,
                places.known_of(planned, store),
                prepared.sources,
                request.compression_level,
                report,
                ready,
                live=prepared.environment is not None,
                registry_first=request.push,
            )
            packages = engine.make(planned, prepared.lockfile)
            rest = remainder(request, prepared, packages.unavailable, store, work, report)
            for layer in rest:
                ready(layer)
        above = Stack((runtime, *packages.layers, *rest))
        if request.stack:
            above = stacked(places, base, above.layers, lambda: contents(prepared, packages.layers), store, report)
            for layer in above.layers:
                ready(layer)
        notes = layer_index.plan_notes(prepared.plan, contested) if not packages.unavailable else {}
        image = assemble(base, above, prepared, request, notes)
        pushed = destinations.deliver(image, request, places, push, store, report)
        finished = Finished(
            reference=request.reference,
            digest=str(image.manifest.descriptor.digest),
            size=image.size,
            bytes_pushed=pushed,
            layers=len(above.layers),
            layers_reused=sum(layer.state.startswith("reused") for layer in above.layers),
            seconds=round(time.monotonic() - started, 3),
            archive=request.archive,
            environment=prepared.lockfile.digest,
            command=tuple(command(prepared.lockfile)),
            stale=above.stale,
        )
    report(finished)
    sources = prepared.environment.pip if prepared.environment else ()
    outside = tuple(str(one.editable_source) for one in sources if one.editable_source)
    return BuildResult(finished, image, above.layers, str(base.named or ""), outside)
