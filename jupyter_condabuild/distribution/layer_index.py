"""What registries already have: the annotated layers of earlier images, found by key without moving a blob.

The manifests of the destination, of the last image pushed there and of `cache_from` are the cache that a team shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jupyter_condabuild.errors import BadDigest, ImageError, RegistryError, RegistryNotFound
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
from jupyter_condabuild.planning.layer_plan import LayerPlan, PlannedLayer

PLAN = "org.jupyter.condabuild.plan"
"""Manifest annotation: the identity of the plan that the package layers follow."""

CONTESTED = "org.jupyter.condabuild.contested"
"""Manifest annotation: the key of the layer for paths that several packages bring, where there is one."""


@dataclass(frozen=True)
class IndexedLayer:
    """A package layer that a repository has."""

    descriptor: Descriptor
    diff_id: Digest
    repository: Repository


@dataclass(frozen=True)
class LayerIndex:
    """What some repositories have.

    `layers` are by key; `present` are blobs that the destination has for certain, since its own manifests name them;
    `contested` maps a plan's identity to the key of the layer for paths of several packages, empty for none.
    """

    layers: dict[str, IndexedLayer]
    present: frozenset[Digest]
    current: Manifest | None = None
    contested: Mapping[str, str] = field(default_factory=dict)


def annotate(descriptor: Descriptor, key: str, diff_id: Digest, packages: Iterable[str]) -> Descriptor:
    """The descriptor of a package layer as it stands in our manifests."""
    annotations = {LAYER_KEY: key, LAYER_DIFF_ID: str(diff_id), LAYER_PACKAGES: " ".join(packages)}
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size, annotations)


def plan_notes(plan: LayerPlan, contested: Sequence[PlannedLayer]) -> dict[str, str]:
    """What a manifest says of the plan behind it, for later builds to read."""
    return {PLAN: plan.identity, **({CONTESTED: contested[0].key} if contested else {})}


def contested_in(index: LayerIndex, plan: LayerPlan) -> list[PlannedLayer] | None:
    """The layer for paths of several packages, as an image with the same plan has it; empty where it has none.

    Returns None where no image with this plan is index.
    """
    key = index.contested.get(plan.identity)
    if key == "":
        return []
    if key not in index.layers:
        return None
    packages = {package.dist: package for planned in plan.layers for package in planned.packages}
    names = index.layers[key].descriptor.annotations.get(LAYER_PACKAGES, "").split()
    return [PlannedLayer(key, tuple(packages[name] for name in names if name in packages), (("", ""),))]


def keyed_layers(manifest: Manifest, repository: Repository) -> dict[str, IndexedLayer]:
    """The layers of a manifest that say which key they have, and what their diff_id is."""
    layers: dict[str, IndexedLayer] = {}
    for layer in manifest.layers:
        key = layer.annotations.get(LAYER_KEY)
        try:
            diff_id = Digest.parse(layer.annotations.get(LAYER_DIFF_ID, ""))
        except BadDigest:
            continue
        if key:
            layers.setdefault(key, IndexedLayer(layer, diff_id, repository))
    return layers


def look_up(targets: Iterable[tuple[Repository, str]], destination: Repository | None, tag: str) -> LayerIndex:
    """Reads the manifests of some repositories and tags or digests; those that are not there count as empty.

    Raises RegistryError for a destination that cannot be asked; any other cache that fails is only not used.
    """
    layers: dict[str, IndexedLayer] = {}
    present: set[Digest] = set()
    current = None
    contested: dict[str, str] = {}
    read: set[tuple[str, str, str]] = set()
    for repository, target in targets:
        if (*repository.location, target) in read:
            continue
        ours = destination is not None and repository.location == destination.location
        try:
            manifest = repository.manifest(target)
        except (RegistryNotFound, ImageError):  # nothing, or something that is no image
            continue
        except RegistryError:
            if ours:
                raise
            continue
        if isinstance(manifest, Index):
            continue
        read.add((*repository.location, str(manifest.descriptor.digest)))
        if ours and target == tag:
            current = manifest
        if ours:
            present |= {layer.digest for layer in manifest.layers} | {manifest.config.digest}
        if PLAN in manifest.annotations:
            contested.setdefault(manifest.annotations[PLAN], manifest.annotations.get(CONTESTED, ""))
        layers = {**keyed_layers(manifest, repository), **layers}
    return LayerIndex(layers, frozenset(present), current, contested)
