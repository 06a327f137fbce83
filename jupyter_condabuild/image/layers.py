"""The layers of an image above its base, whoever made them."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_condabuild.events import LayerState
from jupyter_condabuild.oci.image import BlobSource, Descriptor, Digest, Manifest

HIDDEN = "org.jupyter.condabuild.hidden"
"""Manifest annotation: digests of the layers that later ones replace, and of the whiteouts, separated by spaces."""


@dataclass(frozen=True)
class ReadyLayer:
    """A layer that exists: what stands in the manifest, its diff_id, and who can read its blob."""

    descriptor: Descriptor
    diff_id: Digest
    source: BlobSource
    title: str
    state: LayerState


@dataclass(frozen=True)
class LayerStack:
    """The layers of an image above its base.

    `hidden` are the digests of layers that later layers replace, and of the whiteouts (see `engines.layers.stacking`).
    """

    layers: tuple[ReadyLayer, ...]
    hidden: frozenset[Digest] = frozenset()

    @property
    def stale(self) -> int:
        """Bytes that a new puller gets and nobody sees."""
        return sum(ready.descriptor.size for ready in self.layers if ready.descriptor.digest in self.hidden)

    @property
    def notes(self) -> dict[str, str]:
        """What a manifest says of it."""
        return {HIDDEN: " ".join(sorted(map(str, self.hidden)))} if self.hidden else {}


def hidden_in(manifest: Manifest) -> frozenset[Digest]:
    """The layers of an image that count for nothing any more; raises BadDigest."""
    return frozenset(Digest.parse(text) for text in manifest.annotations.get(HIDDEN, "").split())
