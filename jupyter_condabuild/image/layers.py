"""The layers of an image above its base."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_condabuild.events import LayerState
from jupyter_condabuild.oci.image import BlobSource, Descriptor, Digest, Manifest

HIDDEN = "org.jupyter.condabuild.hidden"
"""Manifest annotation: digests of the layers that later layers replace, and of the whiteouts, separated by spaces."""

OVERLAY = "pip packages, changed and untracked files"
"""The title of the layer with the files that no conda package brings."""

CONTESTED = "paths of several packages"
"""The title of the layer with the paths that several packages bring."""


@dataclass(frozen=True)
class ReadyLayer:
    """A layer whose blob exists.

    `descriptor` is the layer's entry in the manifest. `source` is the place to read the blob from. `title` is the
    layer's line in the history.
    """

    descriptor: Descriptor
    diff_id: Digest
    source: BlobSource
    title: str
    state: LayerState


@dataclass(frozen=True)
class LayerStack:
    """The layers of an image above its base.

    `hidden` has the digests of layers that later layers replace, and of the whiteouts (see `engines.layers.stacking`).
    """

    layers: tuple[ReadyLayer, ...]
    hidden: frozenset[Digest] = frozenset()

    @property
    def stale(self) -> int:
        """The size of the hidden layers in bytes. A pull downloads them, and a container shows none of their files."""
        return sum(ready.descriptor.size for ready in self.layers if ready.descriptor.digest in self.hidden)

    @property
    def notes(self) -> dict[str, str]:
        """The annotations of the manifest that describe the stack."""
        return {HIDDEN: " ".join(sorted(map(str, self.hidden)))} if self.hidden else {}


def hidden_in(manifest: Manifest) -> frozenset[Digest]:
    """Returns the digests of an image's hidden layers. Raises BadDigest."""
    return frozenset(Digest.parse(text) for text in manifest.annotations.get(HIDDEN, "").split())
