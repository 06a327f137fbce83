"""The result of a job that makes an index: the results of its images, added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from jupyter_condabuild.events import Finished
from jupyter_condabuild.image.platforms import name_of
from jupyter_condabuild.oci.image import Image, ImageConfig, Manifest
from jupyter_condabuild.oci.index import Index, entry_of


def finished_index(
    events: Sequence[Finished], images: Sequence[Image], named: Manifest | Index, seconds: float
) -> Finished:
    """Returns the result of a job that made images for one name.

    Args:
        events: the results of the images.
        images: the images, in the same order.
        named: what the name has now. It can have images of other machines, too.
        seconds: the duration of the job.
    """
    blobs = {blob.digest: blob.size for image in images for blob in (image.manifest.config, *image.manifest.layers)}
    size = sum(blobs.values())
    own = [entry_of(image.manifest, ImageConfig.parse(image.config)) for image in images]
    return replace(
        events[0],
        digest=str(named.descriptor.digest),
        size=size,
        bytes_pushed=sum(event.bytes_pushed for event in events),
        layers=sum(event.layers for event in events),
        layers_reused=sum(event.layers_reused for event in events),
        seconds=round(seconds, 3),
        stale=sum(event.stale for event in events),
        sent=_sum([event.sent for event in events if event.sent]),
        images={name_of(one): str(one.digest) for one in (named.images if isinstance(named, Index) else own)},
        shared=sum(image.size for image in images) - size,
    )


def _sum(counts: Sequence[Mapping[str, int]]) -> dict[str, int] | None:
    return {name: sum(count[name] for count in counts) for name in counts[0]} if counts else None
