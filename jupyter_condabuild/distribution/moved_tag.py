"""A tag that somebody moves while a job runs: the image that the job replaces, and who made that image, if known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.events import Warning
from jupyter_condabuild.oci.documents import read_document
from jupyter_condabuild.oci.image import Digest, ImageConfig, Manifest, Reference
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import clean, printable

_ABOUT = {"org.opencontainers.image.authors": "made by {}", "org.opencontainers.image.created": "made at {}"}
"""The annotations and labels that say who made an image, and when (image-spec, annotations.md)."""


def warn_if_moved(
    reference: Reference | None, before: str | None, now: str | None, made: Digest, job: JobContext
) -> None:
    """Warns of an image that somebody pushed to a tag since the start of a job, and that the job replaces.

    Args:
        before: the digest that the tag had at the start, see `layer_index.current_digest`.
        now: the digest that the tag has just before it is replaced.
        made: the digest that it gets.
    """
    if before is None or not now or not reference or now in (before, str(made)):
        return
    job.report(
        Warning(
            "tag-moved",
            f"Somebody has pushed another image to {reference} since this build started: {now}. "
            f"{_origin(job.repository(reference, patient=False), now, job)} This build replaces it.",
            "The other image keeps its digest. Give one of the two another tag.",
        )
    )


def _origin(repository: Repository, digest: str, job: JobContext) -> str:
    """Returns a sentence about who made an image."""
    from jupyter_condabuild.trust.signature import signature_of  # few builds need it

    unknown = "Who made it is not known."
    try:
        document = repository.manifest(digest)
        images = document.images if isinstance(document, Index) else (document.descriptor,)
        if any(job.store.vouches(image.digest) for image in images):
            return "It is of another build on this machine."
        signature = next((signature_of(repository, image, job) for image in images), None)
        if signature and signature.state in ("verified", "untrusted"):
            return signature.sentence
        words = [_ABOUT[name].format(text) for name, text in _about(document, repository)]
    except CondaBuildError:
        return unknown
    return f"Its labels say that it was {' and '.join(words)}, which nobody has verified." if words else unknown


def _about(document: Manifest | Index, repository: Repository) -> Iterator[tuple[str, str]]:
    """Yields what an image says about its origin, in the order of `_ABOUT`."""
    found = dict(json.loads(document.raw).get("annotations") or {})
    if isinstance(document, Manifest):
        with suppress(CondaBuildError):  # the document is another artifact, or its configuration is not there
            labels = ImageConfig.parse(read_document(repository, document.config)).runtime.get("Labels")
            found = {**(labels if isinstance(labels, dict) else {}), **found}
    for name in _ABOUT:
        if text := clean(str(found.get(name, ""))):
            yield name, printable(text)
