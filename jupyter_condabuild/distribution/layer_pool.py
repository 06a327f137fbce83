"""A lab's layer pool: one repository in which every layer that a member of the lab pushed can be found by its key.

The key is the tag of an artifact with that one layer, annotated as in an image. The pool needs only the registry's API
and no lock. If two builds publish the same key at once, one of them wins, and its layer is as good as the other layer.
A layer that was pruned is built again. Source: OCI image-spec v1.1 manifest.md, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from jupyter_condabuild.distribution.layer_index import IndexedLayer, keyed_layers
from jupyter_condabuild.errors import BlobGone, CondaBuildError, ContentMismatch, ImageError, RegistryNotFound
from jupyter_condabuild.events import Log, Report, Warning
from jupyter_condabuild.oci.image import LAYER_KEY, Descriptor, Digest, Index, Manifest
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.planning.layer_plan import PlannedLayer

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

    def __init__(self, repository: Repository, report: Report) -> None:
        self.repository = repository
        self._report = report
        self._readable = self._writable = True
        self._lock = threading.Lock()
        self._has_config = False

    def look_up(self, planned: Sequence[PlannedLayer]) -> dict[str, IndexedLayer]:
        """Returns the planned layers that the pool has, by key."""
        by_size = sorted(planned, key=lambda layer: -layer.size)
        found: dict[str, IndexedLayer] = {}
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="layer-pool") as threads:
            for part in (by_size[:FIRST], by_size[FIRST:]):
                for layers in threads.map(self._read, [layer.key for layer in part]):
                    found |= layers
                if not found:
                    break
        if planned:
            self._report(
                Log(f"The layer pool has {len(found)} of {len(planned)} layers that were not found elsewhere.")
            )
        return found

    def _read(self, key: str) -> dict[str, IndexedLayer]:
        if not self._readable:
            return {}
        try:
            manifest = self.repository.manifest(key)
        except (RegistryNotFound, ImageError):  # no manifest, or not a valid one
            return {}
        except CondaBuildError as error:
            with self._lock:
                first, self._readable = self._readable, False
            if first:
                self._warn("layer-pool-not-read", error)
            return {}
        if isinstance(manifest, Index):
            return {}
        return {name: layer for name, layer in keyed_layers(manifest, self.repository).items() if name == key}

    def publish(self, layer: Descriptor, source: Repository) -> None:
        """Publishes a layer whose blob is in `source`, a repository of the same registry. No bytes are transferred."""
        key = layer.annotations.get(LAYER_KEY, "")
        if not (key and self._writable):
            return
        for attempt in range(ATTEMPTS):
            try:
                self._put(layer, key, source)
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

    def _put(self, layer: Descriptor, key: str, source: Repository) -> None:
        if not self.repository.mount(layer.digest, source.name):
            raise CondaBuildError("The registry does not mount a blob of one repository into another repository.")
        manifest = Manifest.make(Descriptor(ARTIFACT, Digest.of(_CONFIG), len(_CONFIG)), [layer])
        self._put_config(manifest.config)
        self.repository.push_manifest(manifest, key)

    def _put_config(self, descriptor: Descriptor) -> None:
        from io import BytesIO

        with self._lock:
            if not self._has_config:
                self.repository.push(descriptor, lambda: BytesIO(_CONFIG))
                self._has_config = True

    def _warn(self, code: str, error: CondaBuildError) -> None:
        use = "read" if code == "layer-pool-not-read" else "written"
        message = f"The layer pool cannot be {use}. The build continues without it: {error.message}"
        with suppress(CondaBuildError):
            self._report(Warning(code, message, error.hint))
