"""A lab's layer pool: one repository in which every layer that a member of the lab pushed can be found by its key.

The key is the tag of an artifact with that one layer, annotated as in an image, and with the signed receipt of an image
with this layer if there is one. The pool needs only the registry's API and no lock. If two builds publish the same key
at once, one of them wins. A layer that was pruned is built again. A pool that the user does not trust saves uploads,
because blobs are mounted from it, but it decides nothing (see `trust.vouchers`).

Source: OCI image-spec v1.1 manifest.md, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO

from jupyter_condabuild.distribution.layer_index import Claim, claims_of
from jupyter_condabuild.errors import BlobGone, CondaBuildError, ContentMismatch, ImageError, RegistryNotFound
from jupyter_condabuild.events import Log, Report, Warning
from jupyter_condabuild.oci.image import LAYER_KEY, Descriptor, Digest, Manifest
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.trust.dsse import MEDIA_TYPE as RECEIPT
from jupyter_condabuild.trust.vouchers import Vouchers

ARTIFACT = "application/vnd.jupyter.condabuild.layer.v1+json"
"""The media type of the artifact's empty configuration. It distinguishes the artifact from an image."""

AT_ONCE = 8
"""The number of lookups at the same time."""

FIRST = 16
"""The number of layers that are looked up first: the largest. If the pool has none of them, the others are not
looked up, because these lookups would cost more time than they save."""

ATTEMPTS = 4
"""The number of attempts to publish a layer. Another build may publish the same layer at the same moment."""

_CONFIG = b"{}"


class LayerPool:
    """The layer pool of one build.

    A failure of the pool does not fail the build. After a failed lookup the build reads no more layers from the pool,
    and after a failed publication it writes no more layers to the pool. Each is reported once, as a warning.
    """

    def __init__(self, repository: Repository, vouchers: Vouchers, report: Report) -> None:
        self.repository = repository
        self._vouchers = vouchers
        self._report = report
        self._readable = self._writable = True
        self._lock = threading.Lock()
        self._pushed: set[Digest] = set()

    def look_up(self, planned: Sequence[PlannedLayer], *, hints: bool = False) -> list[tuple[str, Claim]]:
        """Returns the planned layers that the pool has and that somebody vouches for, with their keys.

        If the user trusts neither the pool nor a signer, nobody can vouch, and the pool is not asked.

        Args:
            hints: whether to return layers that nobody vouches for, too. A build makes such a layer, and mounts it.
        """
        vouched = self._vouchers.trusts(self.repository) or self._vouchers.checks_signatures
        if not (planned and (vouched or hints)):
            return []
        by_size = sorted(planned, key=lambda layer: -layer.size)
        found: list[tuple[str, Claim]] = []
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="layer-pool") as threads:
            for part in (by_size[:FIRST], by_size[FIRST:]):
                for claims in threads.map(lambda layer: self._read(layer.key, hints), part):
                    found += claims
                if not found:
                    break
        self._report(Log(f"The layer pool has {len(found)} of {len(planned)} layers that were not found elsewhere."))
        return found

    def _read(self, key: str, hints: bool) -> list[tuple[str, Claim]]:
        if not self._readable:
            return []
        try:
            manifest = self.repository.manifest(key)
        except (RegistryNotFound, ImageError):  # no manifest, or not a valid one
            return []
        except CondaBuildError as error:
            with self._lock:
                first, self._readable = self._readable, False
            if first:
                self._warn("layer-pool-not-read", error)
            return []
        if isinstance(manifest, Index):
            return []
        receipt = next((layer for layer in manifest.layers if layer.media_type == RECEIPT), None)
        voucher = self._vouchers.of_artifact(self.repository, receipt)
        claims = claims_of(manifest, self.repository, voucher)
        return [(name, claim) for name, claim in claims if name == key and (claim.voucher or hints)]

    def publish(self, layers: Sequence[Descriptor], source: Repository, receipt: bytes) -> None:
        """Publishes layers whose blobs are in `source`, a repository of the same registry.

        The blobs of the layers are mounted, so that no bytes of them are transferred.

        Args:
            receipt: the signed receipt of the image with these layers, or no bytes.
        """
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="layer-pool") as threads:
            list(threads.map(lambda layer: self._publish(layer, source, receipt), layers))

    def _publish(self, layer: Descriptor, source: Repository, receipt: bytes) -> None:
        key = layer.annotations.get(LAYER_KEY, "")
        if not (key and self._writable):
            return
        for attempt in range(ATTEMPTS):
            try:
                self._put(layer, key, source, receipt)
                return
            except (BlobGone, ContentMismatch) as error:
                # A registry on a file system may not find a blob while another request writes the link to it.
                failure: CondaBuildError = error
                time.sleep(0.05 * 2**attempt)
            except CondaBuildError as error:
                failure = error
                break
        with self._lock:
            first, self._writable = self._writable, False
        if first:
            self._warn("layer-pool-not-written", failure)

    def _put(self, layer: Descriptor, key: str, source: Repository, receipt: bytes) -> None:
        if not self.repository.mount(layer.digest, source.name):
            raise CondaBuildError("The registry does not mount a blob of one repository into another repository.")
        config = self._put_small(ARTIFACT, _CONFIG)
        layers = [layer, self._put_small(RECEIPT, receipt)] if receipt else [layer]
        self.repository.push_manifest(Manifest.make(config, layers), key)

    def _put_small(self, media_type: str, data: bytes) -> Descriptor:
        """Pushes a small blob once; returns its descriptor."""
        descriptor = Descriptor(media_type, Digest.of(data), len(data))
        with self._lock:
            if descriptor.digest not in self._pushed:
                self.repository.push(descriptor, lambda: BytesIO(data))
                self._pushed.add(descriptor.digest)
        return descriptor

    def _warn(self, code: str, error: CondaBuildError) -> None:
        use = "read" if code == "layer-pool-not-read" else "written"
        message = f"The layer pool cannot be {use}. The build continues without it: {error.message}"
        with suppress(CondaBuildError):
            self._report(Warning(code, message, error.hint))
