"""The build of images for several platforms: one image after the other, and the index that gives them one name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from jupyter_condabuild.distribution.appending import append
from jupyter_condabuild.distribution.destinations import load, replaced_platforms
from jupyter_condabuild.distribution.layer_index import current_digest
from jupyter_condabuild.distribution.moved_tag import warn_if_moved
from jupyter_condabuild.engines.index_result import finished_index
from jupyter_condabuild.engines.layers.build import build
from jupyter_condabuild.engines.result import BuildResult
from jupyter_condabuild.errors import ImageError, RegistryDenied, RegistryNotFound, UsageError
from jupyter_condabuild.events import Log
from jupyter_condabuild.image import kept_images
from jupyter_condabuild.image.platforms import PLATFORMS, check_names, host_architecture
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.image import Image, ImageConfig, Manifest, Reference
from jupyter_condabuild.oci.index import Index, entry_of, platform_of
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.planning.scan import Scan
from jupyter_condabuild.progress import EXPORTING, PartsProgress
from jupyter_condabuild.requests.build import BuildRequest
from jupyter_condabuild.requests.job_context import JobContext


def build_several(request: BuildRequest, job: JobContext, scan: Scan | None) -> BuildResult:
    """Builds an image for each platform of a request, and delivers them under one name.

    The name appears, or changes, only after all images are complete. A single image that is added to a name
    (`append_platform`) is built here, too. The identity of the request is that of the first image's environment.

    Raises UsageError for a platform that no image can have, and for an engine that runs none of the images; the errors
    of `build` and of `appending.append`.
    """
    started = time.monotonic()
    parts = request.parts
    if len(parts) > 1:
        check_names(part.platform for part in parts)
    here = next((part.platform for part in parts if PLATFORMS.get(part.platform) == host_architecture()), "")
    if request.load and not here:
        raise UsageError(
            f"The engine of this machine runs images for {host_architecture()}, and none of the images is for it.",
            "Leave out --load, or add this machine's --platform.",
        )
    before = current_digest(request.destination, job)
    progress = PartsProgress(job.progress, job.report, len(parts))
    results = []
    for number, part in enumerate(parts):
        if len(parts) > 1:
            job.report(Log(f"Platform {part.platform}, {number + 1} of {len(parts)}:"))
        report, of_part = progress.of(number)
        part = replace(part, identity=part.identity if number == 0 else "")
        results.append(build(part, replace(job, report=report, progress=of_part), scan, of_several=True))
    images = [result.image for result in results if result.image]
    named = _deliver(request, images, before, job)
    job.progress.finish()
    finished = finished_index([result.event for result in results], images, named, time.monotonic() - started)
    finished = replace(finished, reference=str(request.reference or ""), archive=request.archive_name)
    job.report(finished)
    layers = tuple(layer for result in results for layer in result.layers)
    return BuildResult(finished, None, layers, results[0].base)


def _deliver(request: BuildRequest, images: Sequence[Image], before: str | None, job: JobContext) -> Manifest | Index:
    """Delivers the images, which a registry has already, under their common name. Returns what the name then has.

    Args:
        before: what the name had at the start, see `current_digest`.
    """
    entries = [entry_of(image.manifest, ImageConfig.parse(image.config)) for image in images]
    index = Index.make(entries)
    kept_images.keep_index(index, job.store)
    named: Manifest | Index = index
    reference = request.reference
    if request.push:
        assert reference
        repository = job.repository(reference).for_pushing()
        with job.phase("push"):
            if request.append_platform:
                named = append(repository, reference.tag, entries)
            else:
                _replace(repository, reference, index, before, job)
        job.store.remember(f"{reference.registry}/{reference.repository}", named.descriptor.digest)
    if request.load:
        own = next(image for image in images if ImageConfig.parse(image.config).architecture == host_architecture())
        with job.phase("load"):
            load(own, request, job)
    if request.archive:
        with job.phase("export"):
            files = archive.index_entries(index, images, str(reference or ""))
            archive.write_files(files, request.archive.path, job.progress.of(EXPORTING))
    return named


def _replace(repository: Repository, reference: Reference, index: Index, before: str | None, job: JobContext) -> None:
    """Gives the name to an index. Says which platforms lose it, and whether somebody else has moved it."""
    current: Manifest | Index | None = None
    with suppress(RegistryNotFound, RegistryDenied, ImageError):  # the name has nothing, or no image
        current = repository.manifest(reference.tag)
    for warning in replaced_platforms(current, reference, {platform_of(image)[1] for image in index.images}):
        job.report(warning)
    if current is None or current.raw != index.raw:
        now = str(current.descriptor.digest) if current else ""
        warn_if_moved(reference, before, now, index.descriptor.digest, job)
        repository.push_manifest(index, reference.tag)
