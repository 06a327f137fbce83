"""A lab's layer pool: one repository in which every layer that anyone pushed is found by its key.

The tag is the key, and names an artifact with that one layer, annotated as in an image of ours. It takes nothing but
the registry's own API and no lock: of two who publish a key at once one wins, with a layer as good as the other's; what
was pruned is built again. Source: OCI image-spec v1.1 manifest.md, "Guidelines for Artifact Usage".
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
"""Media type of the artifact's empty configuration: what tells it from an image."""

AT_ONCE = 8
"""Lookups under way at the same time."""

FIRST = 16
"""The largest layers are asked for first; where the pool has none of so many, the smaller ones cost more than they
save."""

ATTEMPTS = 4
"""How often a layer is published that another may be publishing at the same moment."""

_CONFIG = b"{}"


class LayerPool:
    """A pool as one build uses it. No build fails for it: after a refusal it is left alone, and that is said."""

    def __init__(self, repository: Repository, report: Report) -> None:
        self.repository = repository
        self._report = report
        self._readable = self._writable = True
        self._lock = threading.Lock()
        self._has_config = False

    def look_up(self, wanted: Sequence[PlannedLayer]) -> dict[str, IndexedLayer]:
        """Those of some layers that the pool has, by key."""
        by_size = sorted(wanted, key=lambda layer: -layer.size)
        found: dict[str, IndexedLayer] = {}
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="layer-pool") as threads:
            for part in (by_size[:FIRST], by_size[FIRST:]):
                for layers in threads.map(self._ask, [layer.key for layer in part]):
                    found |= layers
                if not found:
                    break
        if wanted:
            self._report(Log(f"The layer pool has {len(found)} of {len(wanted)} layers that nobody else had."))
        return found

    def _ask(self, key: str) -> dict[str, IndexedLayer]:
        if not self._readable:
            return {}
        try:
            manifest = self.repository.manifest(key)
        except (RegistryNotFound, ImageError):  # nothing, or something else
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
        """Makes a layer that `source`, a repository of the same registry, has by now findable; bytes do not move."""
        key = layer.annotations.get(LAYER_KEY, "")
        if not (key and self._writable):
            return
        for attempt in range(ATTEMPTS):
            try:
                self._put(layer, key, source)
                return
            except (BlobGone, ContentMismatch) as error:
                # Registries on a file system may not see a blob at the moment when another's request writes its link.
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
            raise CondaBuildError("The registry does not mount blobs from one repository in another.")
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
        what = "read" if code == "layer-pool-not-read" else "written"
        message = f"The lab's layer pool is not {what}, and the build goes on without: {error.message}"
        with suppress(CondaBuildError):
            self._report(Warning(code, message, error.hint))
