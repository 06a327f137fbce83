"""What registries already have: the annotated layers of earlier images, found by key without moving a blob.

The manifests of the destination, of the last image pushed there and of `cache_from` are the cache that a team shares.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jupyter_condabuild.errors import BadDigest, RegistryError, RegistryNotFound
from jupyter_condabuild.oci.image import (
    LAYER_DIFF_ID,
    LAYER_KEY,
    LAYER_PACKAGES,
    Descriptor,
    Digest,
    Index,
    Manifest,
)
from jupyter_condabuild.oci.registry import Repository


@dataclass(frozen=True)
class KnownLayer:
    """A package layer that a repository has."""

    descriptor: Descriptor
    diff_id: Digest
    repository: Repository


@dataclass(frozen=True)
class Known:
    """Layers by key, and the blobs that the destination repository has for certain: its own manifests name them."""

    layers: dict[str, KnownLayer]
    present: frozenset[Digest]
    current: Manifest | None = None


def annotate(descriptor: Descriptor, key: str, diff_id: Digest, packages: Iterable[str]) -> Descriptor:
    """The descriptor of a package layer as it stands in our manifests."""
    annotations = {LAYER_KEY: key, LAYER_DIFF_ID: str(diff_id), LAYER_PACKAGES: " ".join(packages)}
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size, annotations)


def look_up(targets: Iterable[tuple[Repository, str]], destination: Repository | None, tag: str) -> Known:
    """Reads the manifests of some repositories and tags or digests; those that are not there count as empty.

    Raises RegistryError for a destination that cannot be asked; any other cache that fails is only not used.
    """
    layers: dict[str, KnownLayer] = {}
    present: set[Digest] = set()
    current = None
    for repository, target in targets:
        ours = destination is not None and repository.name == destination.name
        try:
            manifest = repository.manifest(target)
        except RegistryNotFound:
            continue
        except RegistryError:
            if ours:
                raise
            continue
        if isinstance(manifest, Index):
            continue
        if ours and target == tag:
            current = manifest
        if ours:
            present |= {layer.digest for layer in manifest.layers} | {manifest.config.digest}
        for layer in manifest.layers:
            key = layer.annotations.get(LAYER_KEY)
            try:
                diff_id = Digest.parse(layer.annotations.get(LAYER_DIFF_ID, ""))
            except BadDigest:
                continue
            if key:
                layers.setdefault(key, KnownLayer(layer, diff_id, repository))
    return Known(layers, frozenset(present), current)
