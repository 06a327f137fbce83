"""The SBOMs of a pushed image: they are written beside the push, and attached to the image in the registry."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from jupyter_condabuild.distribution.push import GRACE_SECONDS
from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.events import Report, Warning
from jupyter_condabuild.oci.image import Descriptor, Digest
from jupyter_condabuild.oci.referrers import attach, referrers
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.sbom.bill import Bill
from jupyter_condabuild.sbom.documents import MEDIA_TYPES, Document, Writer


class Sboms:
    """The SBOMs of one image that is pushed. A context manager: what it has started ends with it."""

    def __init__(self, repository: Repository, report: Report) -> None:
        self._repository = repository
        self._report = report
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="sbom")
        self._documents: Future[tuple[Document, ...]] | None = None
        self._writer: Writer | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Sboms:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._writer:
                self._writer.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._documents:
            wait((self._documents,), GRACE_SECONDS)

    def prepare(self) -> None:
        """Starts the process that writes SBOMs, so that it is ready when the image is known."""
        with self._lock:
            self._writer = self._writer or Writer()

    def write(self, image: Digest, bill: Callable[[], Bill]) -> None:
        """Begins to write the SBOMs of an image, unless the registry has them already."""
        self._documents = self._executor.submit(self._write, image, bill)

    def _write(self, image: Digest, bill: Callable[[], Bill]) -> tuple[Document, ...]:
        """Returns the SBOMs that the registry does not have. Their blobs are sent, but not yet attached."""
        present = {found.artifact_type for found in referrers(self._repository, image)}
        if present.issuperset(MEDIA_TYPES):
            return ()
        self.prepare()
        assert self._writer
        documents = tuple(one for one in self._writer.write(bill()) if one.media_type not in present)
        for document in documents:
            blob = Descriptor(document.media_type, Digest.of(document.content), len(document.content))
            self._repository.push(blob, lambda data=document.content: io.BytesIO(data))  # type: ignore[misc]
        return documents

    def attach(self, image: Descriptor) -> None:
        """Attaches the SBOMs to an image that was pushed. A fault gives a warning: the image is usable without."""
        if self._documents is None:
            return
        try:
            for document in self._documents.result():
                attach(self._repository, image, document.media_type, document.content, document.media_type)
        except CondaBuildError as error:
            message = f"The SBOM of the image is not in the registry: {error.message}"
            self._report(Warning("sbom-not-attached", message, error.hint))
