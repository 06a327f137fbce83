"""The images that are made from the images of an index, and get one name again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from jupyter_condabuild.distribution.appending import append
from jupyter_condabuild.distribution.layer_index import current_digest
from jupyter_condabuild.distribution.moved_tag import warn_if_moved
from jupyter_condabuild.engines.index_result import finished_index
from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.events import Finished, Log
from jupyter_condabuild.image.own_image import OwnImage
from jupyter_condabuild.image.platforms import name_of
from jupyter_condabuild.oci.image import Image, ImageConfig, Manifest
from jupyter_condabuild.oci.index import Index, entry_of
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.progress import PartsProgress
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.requests.others import RebaseRequest


def succeed(
    document: Index,
    origin: Repository,
    request: RebaseRequest,
    before: str | None,
    job: JobContext,
    started: float,
    successor: Callable[[OwnImage[Repository], JobContext], tuple[Finished, Image]],
) -> Finished:
    """Makes the successor of each image of an index, and gives the name of the result to all of them.

    An image that another machine adds to the name in the meantime stays. If one successor cannot be made, the name
    keeps what it has.

    Args:
        before: what the name of the result had at the start, see `current_digest`.
        started: the time of the start, by `time.monotonic`.
        successor: makes the successor of one image, and pushes it without a name.

    Raises BadImage if the index has no image, and the errors of `successor`.
    """
    target = request.result
    if not document.images:
        raise BadImage(f"The index {request.reference} has no images for Linux.", "Name another image.")
    progress = PartsProgress(job.progress, job.report, len(document.images))
    events, images = [], []
    for number, entry in enumerate(document.images):
        manifest = origin.manifest(str(entry.digest))
        if not isinstance(manifest, Manifest):
            raise BadImage(f"The index {request.reference} names an index of indexes, not an image.")
        job.report(Log(f"Platform {name_of(entry)}, {number + 1} of {len(document.images)}:"))
        report, of_part = progress.of(number)
        event, image = successor(OwnImage.of(manifest, origin), replace(job, report=report, progress=of_part))
        events.append(event)
        images.append(image)
    destination = job.repository(target).for_pushing()
    entries = [entry_of(image.manifest, ImageConfig.parse(image.config)) for image in images]
    named: Manifest | Index = Index.make(entries)
    if request.reference and target == replace(request.reference, digest=None):
        named = append(destination, target.tag, entries)
    else:
        warn_if_moved(target, before, current_digest(target, job), named.descriptor.digest, job)
        destination.push_manifest(named, target.tag)
    job.store.remember(f"{target.registry}/{target.repository}", named.descriptor.digest)
    job.progress.finish()
    return finished_index(events, images, named, time.monotonic() - started)
