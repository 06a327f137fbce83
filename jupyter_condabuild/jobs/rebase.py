"""The job `rebase`: puts an image on a new base, with a new configuration and manifest. No layer is built."""

from __future__ import annotations

import time

from jupyter_condabuild.distribution.blob_places import BlobPlaces
from jupyter_condabuild.distribution.layer_index import LayerIndex, current_digest
from jupyter_condabuild.distribution.push import Push
from jupyter_condabuild.distribution.sbom_search import licenses_of_image
from jupyter_condabuild.distribution.sboms import Sboms
from jupyter_condabuild.engines.layers.assemble import check_depth
from jupyter_condabuild.events import Finished, Report
from jupyter_condabuild.image.added_packages import with_packages
from jupyter_condabuild.image.apt_label import Added
from jupyter_condabuild.image.base import resolve
from jupyter_condabuild.image.configuration import configuration
from jupyter_condabuild.image.own_image import OwnImage
from jupyter_condabuild.jobs.successor import Successor
from jupyter_condabuild.jobs.successors import succeed
from jupyter_condabuild.oci.image import Image, Manifest
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.others import RebaseRequest
from jupyter_condabuild.sbom.inventory import bill_of


def run(request: RebaseRequest, report: Report) -> Finished:
    """Puts the image on the new base and pushes it. Layers that the target's registry has are mounted.

    If packages of Debian were added to the image's base, they are added to the new one, too, as its mirror has them.
    If the image has SBOMs, the result gets SBOMs. If the name has an index, each of its images is put on the base for
    its platform, and the result is an index again.

    Raises BadImage if the layers engine did not make the image, BaseUnavailable, RegistryError, SigningFailed.
    """
    started = time.monotonic()
    source = request.reference
    assert source
    with open_job(request, report) as job:
        origin = job.repository(source)
        before = current_digest(request.result, job)
        document = origin.manifest(source.target)
        if isinstance(document, Index):
            finished = succeed(
                document,
                origin,
                request,
                before,
                job,
                started,
                lambda image, part: _rebase(image, request, None, part, started, of_several=True),
            )
        else:
            finished, _ = _rebase(OwnImage.of(document, origin), request, before, job, started)
    report(finished)
    return finished


def _rebase(
    image: OwnImage[Repository],
    request: RebaseRequest,
    before: str | None,
    job: JobContext,
    started: float,
    *,
    of_several: bool = False,
) -> tuple[Finished, Image]:
    """Puts one image on the new base, and pushes it; without the tag if it is one of several.

    Args:
        before: what the tag had at the start, see `current_digest`.
    """
    origin, destination = image.source, job.repository(request.result).for_pushing()
    manifest, ours, own = image.manifest, image.ours, image.layers
    with job.phase("base"):
        base = resolve(request.base, image.config.architecture, job)
        added = Added.of(image.config)
        base = with_packages(base, added.names if added else (), job)
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
    present = {layer.digest for layer in manifest.layers} if origin.location == destination.location else ()
    index = LayerIndex(present=frozenset(present))
    licenses = licenses_of_image(origin, manifest.descriptor.digest)
    titles = {layer.descriptor.digest: layer.title for layer in own}
    result = Image(rebased, config.raw, sources)
    made = Successor(image, result, own, ours.lockfile, base.name, str(base.digest), before)
    with (
        job.phase("push"),
        Push(destination, index, job.report, job.progress, places=BlobPlaces(job.store, destination.host)) as push,
        Sboms(destination, job.report, push.places) as sboms,
    ):
        if licenses is not None:
            bill = bill_of(rebased, config, ours.lockfile, licenses, titles)
            sboms.write(rebased.descriptor.digest, lambda: bill)
        made.push(request, push, sboms, job, of_several=of_several)
    return made.finished(request, push, time.monotonic() - started), result
