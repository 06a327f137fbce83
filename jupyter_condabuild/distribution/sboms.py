"""The SBOMs of a pushed image: they are written beside the push, and attached to the image in the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jupyter_condabuild.distribution.blob_places import BlobPlaces
from jupyter_condabuild.distribution.push import GRACE_SECONDS
from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.events import Report, Warning
from jupyter_condabuild.oci.image import Descriptor, Digest
from jupyter_condabuild.oci.referrers import EMPTY_CONFIG, Artifact, Listing, Referrer, attach_all, listing, push_blobs
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.sbom.documents import MEDIA_TYPES, documents

if TYPE_CHECKING:
    from jupyter_condabuild.sbom.bill import Bill

NO_API = Digest.of(b"a repository without the referrers API")
"""The digest of no blob. `BlobPlaces` has the repositories under it that had no referrers API."""


class Sboms:
    """The SBOMs of one image that is pushed. A context manager: what it has started ends with it.

    Args:
        places: remembers which repositories have the empty configuration, and which have no referrers API.
            None to remember nothing.
    """

    def __init__(self, repository: Repository, report: Report, places: BlobPlaces | None = None) -> None:
        self._repository = repository
        self._places = places
        self._report = report
        self._executor = ThreadPoolExecutor(3, thread_name_prefix="sbom")
        self._listed: Future[Listing] | None = None
        self._written: Future[tuple[Listing, tuple[Artifact, ...]]] | None = None
        self._sent: Future[frozenset[Digest]] | None = None

    def __enter__(self) -> Sboms:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        started: list[Future[Any]] = [one for one in (self._listed, self._written, self._sent) if one]
        wait(started, GRACE_SECONDS)

    def write(self, image: Digest, bill: Callable[[], Bill]) -> None:
        """Begins to write the SBOMs of an image, unless the registry has them already."""
        self._listed = self._executor.submit(self._list, image)
        self._written = self._executor.submit(self._write, self._listed, bill)

    def _list(self, image: Digest) -> Listing:
        known = listing(self._repository, image, ask_api=not self._remembers(NO_API))
        if not known.by_api:
            self._remember(NO_API)
        if self._remembers(EMPTY_CONFIG.digest):
            known = replace(known, expected=frozenset([EMPTY_CONFIG.digest]))
        return known

    def _write(self, listed: Future[Listing], bill: Callable[[], Bill]) -> tuple[Listing, tuple[Artifact, ...]]:
        """Returns the artifacts of the image, and the SBOMs that are not among them. Their blobs are sent."""
        known = listed.result()
        present = {found.artifact_type for found in known.referrers}
        if present.issuperset(MEDIA_TYPES):
            return known, ()
        made = tuple(
            Artifact(one.media_type, one.content, one.media_type)
            for one in documents(bill())
            if one.media_type not in present
        )
        sent = push_blobs(self._repository, made, config=not known.expected)
        return replace(known, blobs=sent), made

    def send(self, receipt: Artifact) -> None:
        """Begins to send the blob of the receipt, which is attached together with the SBOMs."""
        self._sent = self._executor.submit(self._send, receipt)

    def _send(self, receipt: Artifact) -> frozenset[Digest]:
        """Sends the blob of the receipt. An image with a receipt may have the same one already."""
        known = self._listed.result().referrers if self._listed else ()
        new = all(found.artifact_type != receipt.artifact_type for found in known)
        return push_blobs(self._repository, [receipt], config=False, new=new)

    def written(self) -> tuple[Listing | None, tuple[Artifact, ...]]:
        """Waits for the SBOMs. Returns what the registry lists, and the SBOMs to attach. A fault gives a warning."""
        if self._written is None:
            return None, ()
        try:
            known, artifacts = self._written.result()
            with suppress(CondaBuildError):  # it is sent again when it is attached
                known = replace(known, blobs=known.blobs | (self._sent.result() if self._sent else frozenset()))
            return known, artifacts
        except CondaBuildError as error:
            warn(self._report, "SBOM", [error])
            return None, ()

    def attached(self, outcomes: Sequence[Referrer | CondaBuildError]) -> None:
        """Remembers that the repository has the empty configuration, if an artifact was attached."""
        if any(isinstance(outcome, Referrer) for outcome in outcomes):
            self._remember(EMPTY_CONFIG.digest)

    def _remembers(self, digest: Digest) -> bool:
        return self._places is not None and self._places.has(digest, self._repository.name)

    def _remember(self, digest: Digest) -> None:
        if self._places and not self._places.has(digest, self._repository.name):
            self._places.learn(self._repository.name, [digest], [])

    def attach(self, image: Descriptor) -> None:
        """Attaches the SBOMs to an image that was pushed. A fault gives a warning: the image is usable without."""
        known, artifacts = self.written()
        outcomes = attach_all(self._repository, image, artifacts, known)
        self.attached(outcomes)
        warn(self._report, "SBOM", outcomes)


def warn(report: Report, kind: str, outcomes: Sequence[Referrer | CondaBuildError]) -> None:
    """Reports the first error of `attach_all` as a warning. `kind` names the artifacts: receipt or SBOM."""
    for outcome in outcomes:
        if isinstance(outcome, CondaBuildError):
            message = f"The {kind} of the image is not in the registry: {outcome.message}"
            report(Warning(f"{kind.lower()}-not-attached", message, outcome.hint))
            return
