"""A new base under an image of ours: new configuration and manifest, no layer rebuilt, none of ours moved."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from jupyter_condabuild.distribution.push import Config, Push
from jupyter_condabuild.engines.layers.assemble import check_stack
from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.events import Finished, Report, phase
from jupyter_condabuild.image.base import resolve
from jupyter_condabuild.image.configuration import Ours, command, configuration
from jupyter_condabuild.oci.image import Image, ImageConfig, Manifest, Reference
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registries import Registries
from jupyter_condabuild.requests.others import RebaseRequest


def rebase(request: RebaseRequest, report: Report) -> Finished:
    """Puts the image on the new base and pushes it; layers that the target's registry has are mounted.

    Raises BadImage for an image that is not ours, BaseUnavailable and RegistryError.
    """
    started = time.monotonic()
    source = Reference.parse(request.reference)
    target = Reference.parse(request.result)
    with ExitStack() as stack:
        store = stack.enter_context(Store(Path(request.store_dir)))
        work = stack.enter_context(store.folder())
        registries = Registries(stack, request.insecure_registries)
        origin, destination = registries.repository(source), registries.repository(target)
        manifest = origin.manifest(source.target)
        if not isinstance(manifest, Manifest):
            raise BadImage(
                f"{source} is an index of images for several platforms.", "Name one of its images by digest."
            )
        old = ImageConfig.parse(b"".join(origin.read(manifest.config)))
        ours = Ours.read(old)
        with phase(report, "base"):
            base = resolve(
                request.base,
                old.architecture,
                registries,
                store,
                stack,
                work,
                request.docker_host,
            )
        layers = manifest.layers[ours.base_layers :]
        check_stack(base, len(layers))
        config = configuration(
            base.config,
            base.name,
            base.digest,
            [*base.config.diff_ids, *old.diff_ids[ours.base_layers :]],
            ours.history,
            ours.lockfile,
            variables=ours.variables,
            stale=ours.stale,
        )
        rebased = Manifest.make(config.descriptor, [*base.layers, *layers], manifest.annotations)
        sources = {**base.image.sources, **{layer.digest: origin for layer in layers}}
        image = Image(rebased, config.raw, sources)
        same = (source.registry, source.repository) == (target.registry, target.repository)
        present = [layer.digest for layer in manifest.layers] if same else []
        with phase(report, "push"), Push(destination, present, report) as push:
            for descriptor in rebased.layers:
                push.add(descriptor, sources[descriptor.digest])
            push.add(config.descriptor, Config(config.raw))
            push.finish(rebased, target.tag)
        store.remember(f"{target.registry}/{target.repository}", rebased.descriptor.digest)
    result = Finished(
        reference=str(target),
        digest=str(rebased.descriptor.digest),
        size=image.size,
        bytes_pushed=push.bytes_pushed,
        layers=len(layers),
        layers_reused=len(layers),
        seconds=round(time.monotonic() - started, 3),
        environment=ours.lockfile.digest,
        command=tuple(command(ours.lockfile)),
    )
    report(result)
    return result
