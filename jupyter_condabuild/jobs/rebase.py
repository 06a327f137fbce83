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
from jupyter_condabuild.events import Finished, Log, Report
from jupyter_condabuild.image.base import resolve
from jupyter_condabuild.image.configuration import command, configuration
from jupyter_condabuild.image.layers import ReadyLayer
from jupyter_condabuild.image.own_image import OwnImage
from jupyter_condabuild.oci.image import LAYER_KEY, Image, Manifest
from jupyter_condabuild.requests.job_context import open_job
from jupyter_condabuild.requests.others import RebaseRequest
from jupyter_condabuild.sbom.inventory import bill_of
from jupyter_condabuild.trust.receipt import receipt_of
from jupyter_condabuild.trust.vouchers import Vouchers


def run(request: RebaseRequest, report: Report) -> Finished:
    """Puts the image on the new base and pushes it. Layers that the target's registry has are mounted.

    If the image has SBOMs, the result gets SBOMs. If somebody whom the user trusts vouches for the image, the result
    gets a receipt. A receipt that cannot be signed ends the job before the result is visible.

    Raises BadImage if the layers engine did not make the image, BaseUnavailable, RegistryError, SigningFailed.
    """
    started = time.monotonic()
    source, target = request.reference, request.result
    assert source
    with open_job(request, report) as job:
        origin, destination = job.repository(source), job.repository(target)
        image = OwnImage.named(source, origin)
        manifest, ours, own = image.manifest, image.ours, image.layers
        with job.phase("base"):
            base = resolve(request.base, image.config.architecture, job)
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
        size = Image(rebased, config.raw, sources).size
        present = {layer.digest for layer in manifest.layers} if origin.location == destination.location else ()
        index = LayerIndex(present=frozenset(present))
        licenses = licenses_of_image(origin, manifest.descriptor.digest)
        titles = {layer.descriptor.digest: layer.title for layer in own}
        vouched = Vouchers(job).of_image(origin, manifest)
        with job.phase("push"), Push(destination, index, report) as push, Sboms(destination, report) as sboms:
            if licenses is not None:
                bill = bill_of(rebased, config, ours.lockfile, licenses, titles)
                sboms.write(rebased.descriptor.digest, lambda: bill)
            for descriptor in rebased.layers:
                push.add(descriptor, sources[descriptor.digest])
            push.add(config.descriptor, Config(config.raw))
            statements = None
            if vouched:
                receipt = receipt_of(rebased, target, ours.lockfile, base, own, _unproved(own))
                statements = Statements.of(receipt, request.signing_key, sboms)
            push.finish(rebased, target.tag)
            if statements:
                job.store.vouch(rebased.descriptor.digest)
                statements.attach(destination, rebased.descriptor, report)
            else:
                sboms.attach(rebased.descriptor)
                report(Log(f"The image gets no receipt, because nobody whom you trust vouches for {source}."))
        job.store.remember(f"{target.registry}/{target.repository}", rebased.descriptor.digest)
    result = Finished(
        reference=str(target),
        digest=str(rebased.descriptor.digest),
        size=size,
        bytes_pushed=push.bytes_pushed,
        layers=len(layers),
        layers_reused=len(layers),
        seconds=round(time.monotonic() - started, 3),
        environment=ours.lockfile.digest,
        command=tuple(command(ours.lockfile)),
    )
    report(result)
    return result


def _unproved(own: Sequence[ReadyLayer]) -> list[str]:
    """Returns the titles of the layers that come from no package. The first layer has our own programs."""
    return [layer.title for layer in own[1:] if LAYER_KEY not in layer.descriptor.annotations]
