"""The job `rebase`: puts an image on a new base, with a new configuration and manifest. No layer is built."""

from __future__ import annotations

import time
from collections.abc import Sequence

from jupyter_condabuild.distribution.layer_index import LayerIndex
from jupyter_condabuild.distribution.push import Config, Push
from jupyter_condabuild.distribution.sbom_search import licenses_of_image
from jupyter_condabuild.distribution.sboms import Sboms
from jupyter_condabuild.distribution.statements import Statements
from jupyter_condabuild.engines.layers.assemble import check_depth
from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.events import Finished, Log, Report
from jupyter_condabuild.image.base import resolve
from jupyter_condabuild.image.configuration import Ours, OwnLayer, command, configuration
from jupyter_condabuild.image.layers import ReadyLayer
from jupyter_condabuild.oci.documents import read_document
from jupyter_condabuild.oci.image import LAYER_KEY, Image, ImageConfig, Manifest
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.requests.job_context import open_job
from jupyter_condabuild.requests.others import RebaseRequest
from jupyter_condabuild.sbom.inventory import bill_of
from jupyter_condabuild.trust.receipt import receipt_of
from jupyter_condabuild.trust.vouchers import Vouchers


def run(request: RebaseRequest, report: Report) -> Finished:
    """Puts the image on the new base and pushes it. Layers that the target's registry has are mounted.

    If the image has SBOMs, the result gets SBOMs.

    Raises BadImage if the layers engine did not make the image, BaseUnavailable, RegistryError.
    """
    started = time.monotonic()
    source, target = request.reference, request.result
    assert source
    with open_job(request, report) as job:
        origin, destination = job.repository(source), job.repository(target)
        manifest = origin.manifest(source.target)
        if not isinstance(manifest, Manifest):
            raise BadImage(
                f"{source} is an index of images for several platforms.", "Name one of its images by digest."
            )
        old = ImageConfig.parse(read_document(origin, manifest.config))
        ours = Ours.read(old)
        with job.phase("base"):
            base = resolve(request.base, old.architecture, job)
        own = ours.layers(manifest, old)
        layers = [layer.descriptor for layer in own]
        check_depth(base, len(layers))
        config = configuration(
            base.config,
            base.name,
            base.digest,
            [*base.config.diff_ids, *(layer.diff_id for layer in own)],
            ours.history,
            ours.lockfile,
            variables=ours.variables,
            stale=ours.stale,
        )
        rebased = Manifest.make(config.descriptor, [*base.layers, *layers], manifest.annotations)
        sources = {**base.image.sources, **{layer.digest: origin for layer in layers}}
        image = Image(rebased, config.raw, sources)
        present = {layer.digest for layer in manifest.layers} if origin.location == destination.location else ()
        index = LayerIndex(present=frozenset(present))
        licenses = licenses_of_image(origin, manifest.descriptor.digest)
        titles = {layer.descriptor.digest: layer.title for layer in own}
        with job.phase("push"), Push(destination, index, report) as push, Sboms(destination, report) as sboms:
            if licenses is not None:
                bill = bill_of(rebased, config, ours.lockfile, licenses, titles)
                sboms.write(rebased.descriptor.digest, lambda: bill)
            for descriptor in rebased.layers:
                push.add(descriptor, sources[descriptor.digest])
            push.add(config.descriptor, Config(config.raw))
            push.finish(rebased, target.tag)
            sboms.attach(rebased.descriptor)
        job.store.remember(f"{target.registry}/{target.repository}", rebased.descriptor.digest)
        if Vouchers(job).of_image(origin, manifest):
            job.store.vouch(rebased.descriptor.digest)
            receipt = receipt_of(rebased, target, ours.lockfile, base, _ready(own, origin), _unproved(own))
            Statements.of(receipt, request.signing_key).attach(destination, rebased.descriptor, report)
        else:
            report(Log(f"The image gets no receipt, because nobody whom you trust vouches for {source}."))
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


def _ready(own: Sequence[OwnLayer], origin: Repository) -> list[ReadyLayer]:
    return [ReadyLayer(layer.descriptor, layer.diff_id, origin, layer.title, "reused-remote") for layer in own]


def _unproved(own: Sequence[OwnLayer]) -> list[str]:
    """Returns the titles of the layers that come from no package. The first layer has our own programs."""
    return [layer.title for layer in own[1:] if LAYER_KEY not in layer.descriptor.annotations]
