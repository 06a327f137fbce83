"""Uploads during a build: each blob is sent as soon as it exists, and the manifest after all blobs have arrived."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import BinaryIO

from jupyter_condabuild.distribution.blob_places import BlobPlaces
from jupyter_condabuild.distribution.busy import Busy
from jupyter_condabuild.distribution.layer_index import LayerIndex
from jupyter_condabuild.distribution.streams import Streams
from jupyter_condabuild.errors import Cancelled, ContentMismatch, RegistryError
from jupyter_condabuild.events import Layer, Report
from jupyter_condabuild.oci.chunks import as_file
from jupyter_condabuild.oci.image import LAYER_KEY, LAYER_PACKAGES, BlobSource, Descriptor, Digest, Manifest
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.oci.repository import Presence
from jupyter_condabuild.progress import JobProgress, sending

CONNECTIONS = 4

MOST_MOUNTS = 3
"""The number of repositories from which a blob is asked to be mounted before it is uploaded."""

GRACE_SECONDS = 1.0
"""The number of seconds that a failed build waits for its requests before their connections are closed."""


@dataclass(frozen=True)
class Config:
    """An image configuration as a source of its blob."""

    data: bytes

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:  # noqa: ARG002  the source has only one blob
        """Yields the bytes in one chunk."""
        yield self.data


class Push:
    """The push of one image to a repository.

    A blob that another repository of the registry has is mounted from there. If the context exits with an error, the
    running uploads end.

    Args:
        index: the blobs that the repository certainly has, and the blobs that other repositories claim to have.
        pool: the name of the layer pool's repository in the same registry, or an empty text.
        places: the repositories of the registry that should have a blob, because it was pushed there.

    `new_layers` are the package layers that the repository did not have before. `sent_manifest` says whether the
    manifest was pushed. `uploaded` has the digests of all blobs whose bytes were sent.
    """

    def __init__(
        self,
        repository: Repository,
        index: LayerIndex,
        report: Report,
        progress: JobProgress,
        pool: str = "",
        places: BlobPlaces | None = None,
    ) -> None:
        self.repository = repository
        self._index = index
        self.places = places
        self._pool = pool
        self._done: set[Digest] = set(index.present)
        self.new_layers: list[Descriptor] = []
        self.sent_manifest = False
        self._report = report
        self._executor = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="push")
        self._uploads: list[Future[None]] = []
        self._lock = threading.Lock()
        self._progress = progress
        self._ended = False
        self.bytes_pushed = 0
        self.uploaded: set[Digest] = set()
        self._busy = Busy()
        self._streams = Streams(repository, self._busy)

    def __enter__(self) -> Push:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended = kind is not None
        self._streams.end(wait=not self._ended)
        self._executor.shutdown(wait=not self._ended, cancel_futures=True)
        if kind is not None and issubclass(kind, Exception):
            wait(self._uploads, GRACE_SECONDS)
        if kind is None and self.places:
            self.places.learn(self.repository.name, self._done, self.uploaded)

    def growing(self, key: str, path: str, size: int) -> None:
        """Sends the layer of a file that another process writes, if nobody is known to have it. `add` comes later.

        Args:
            key: the layer's key.
            size: about the number of bytes that the layer will have.
        """
        item = sending(key)

        def moved(sent: int) -> None:
            if self._ended:
                raise Cancelled("The build has ended.")
            self._progress.reached(item, sent, max(size, sent))

        self._streams.grown(key, path, moved)

    def abandon(self, key: str) -> None:
        """Says that the file of `growing` is not used."""
        self._streams.abandon(key)

    def add(self, descriptor: Descriptor, source: BlobSource, title: str = "") -> None:
        """Sends a blob in the background, unless the repository has it. A blob of the same registry is mounted.

        Args:
            title: the name of a layer without a key in the progress of the job.

        Raises the RegistryError of an earlier blob, so that the build ends when the registry refuses.
        """
        self._raise_failure()
        with self._lock:
            is_done = descriptor.digest in self._done
            self._done.add(descriptor.digest)
        item = sending(descriptor.annotations.get(LAYER_KEY, title) or str(descriptor.digest))
        key = descriptor.annotations.get(LAYER_KEY, "")
        if is_done:
            self._streams.abandon(key)
            self._progress.done(item)
        else:
            self._streams.complete(key, descriptor.size)
            self._uploads.append(self._executor.submit(self._send, descriptor, source, item))

    def _send(self, descriptor: Descriptor, source: BlobSource, item: str) -> None:
        try:
            with self._busy:
                outcome = self.repository.push(
                    descriptor,
                    _opener(source, descriptor),
                    mount_from=self._mount_from(descriptor, source),
                    progress=self._counter(descriptor, item),
                    presence=self._presence(descriptor),
                    streamed=lambda: self._streams.session(descriptor.annotations.get(LAYER_KEY, "")),
                )
        except (RegistryError, ContentMismatch):
            if isinstance(source, Store):
                _check(source, descriptor)
            raise
        finally:
            self._streams.abandon(descriptor.annotations.get(LAYER_KEY, ""))
        packages = tuple(descriptor.annotations.get(LAYER_PACKAGES, "").split())
        self._progress.done(item)
        if outcome == "uploaded":
            with self._lock:
                self.bytes_pushed += descriptor.size
                self.uploaded.add(descriptor.digest)
        from_pool = isinstance(source, Repository) and source.name == self._pool
        if outcome != "present" and LAYER_KEY in descriptor.annotations and not from_pool:
            with self._lock:
                self.new_layers.append(descriptor)
        state = {"uploaded": "pushed", "mounted": "mounted", "present": "reused-remote"}[outcome]
        self._report(Layer(descriptor.annotations.get(LAYER_KEY, ""), packages, descriptor.size, state))  # type: ignore[arg-type]

    def _presence(self, descriptor: Descriptor) -> Presence:
        """Whether the repository has a blob. The memory of this machine says so; without a memory it may be there."""
        if self.places is None or self.places.has(descriptor.digest, self.repository.name):
            return "likely"
        return "unknown"

    def _mount_from(self, descriptor: Descriptor, source: BlobSource) -> list[str]:
        """The repositories that may have a blob: the source, those that claim it or got it, and the pool."""
        places = [source] if isinstance(source, Repository) else []
        places += self._index.repositories_with(descriptor.digest)
        names = [place.name for place in places if place.host == self.repository.host]
        names += self.places.of(descriptor.digest) if self.places else ()
        if self._pool and LAYER_KEY in descriptor.annotations:
            names.append(self._pool)
        return [name for name in dict.fromkeys(names) if name != self.repository.name][:MOST_MOUNTS]

    def _counter(self, descriptor: Descriptor, item: str) -> Callable[[int], None]:
        """Returns a function that counts the sent bytes of a blob."""
        sent = 0

        def count(moved: int) -> None:
            nonlocal sent
            if self._ended:
                raise Cancelled("The build has ended.")
            sent += moved
            self._progress.reached(item, sent, descriptor.size)

        return count

    @property
    def seconds(self) -> float:
        """The time in which at least one blob was on its way."""
        return self._busy.seconds

    def wait(self) -> None:
        """Waits until all blobs have arrived. Raises the first RegistryError or ContentMismatch when it occurs."""
        wait(self._uploads, return_when=FIRST_EXCEPTION)
        self._raise_failure()

    def _raise_failure(self) -> None:
        for upload in self._uploads:
            if upload.done():
                upload.result()

    def finish(self, manifest: Manifest, tag: str) -> None:
        """Waits for all blobs, then pushes the manifest, so that the image appears under its tag only when complete."""
        self.wait()
        self.repository.push_manifest(manifest, tag)
        self.sent_manifest = True


def _check(store: Store, descriptor: Descriptor) -> None:
    """Raises ContentMismatch if the local blob is damaged, so that this error replaces the registry's refusal."""
    for _ in store.read(descriptor):
        pass


def _opener(source: BlobSource, descriptor: Descriptor) -> Callable[[], BinaryIO]:
    if isinstance(source, Store):
        return lambda: open(source.path(descriptor.digest), "rb", buffering=0)
    return lambda: as_file(source.read(descriptor))
