"""The layers that registries have already: annotated layers of earlier images, found by key. No blob is transferred.

The manifests of the destination, of the last image that was pushed there, and of `cache_from` are the cache that a team
shares.
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
"""Manifest annotation: the identity of the plan of the package layers."""

CONTESTED = "org.jupyter.condabuild.contested"
"""Manifest annotation: the key of the layer for paths of several packages, if there is such a layer."""


@dataclass(frozen=True)
class IndexedLayer:
    """A package layer in a repository."""

    descriptor: Descriptor
    diff_id: Digest
    repository: Repository


@dataclass(frozen=True)
class LayerIndex:
    """The package layers of some repositories.

    `layers` maps a key to a layer. `present` has the digests of blobs that the destination certainly has, because its
    own manifests name them. `current` is the manifest that the destination's tag has now. `contested` maps the identity
    of a plan to the key of the layer for paths of several packages; the key is empty if the plan has no such layer.
    """

    layers: dict[str, IndexedLayer]
    present: frozenset[Digest]
    current: Manifest | None = None
    contested: Mapping[str, str] = field(default_factory=dict)


def annotate(descriptor: Descriptor, key: str, diff_id: Digest, packages: Iterable[str]) -> Descriptor:
    """Returns the descriptor of a package layer, with the annotations that our manifests give it."""
    annotations = {LAYER_KEY: key, LAYER_DIFF_ID: str(diff_id), LAYER_PACKAGES: " ".join(packages)}
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size, annotations)


def plan_notes(plan: LayerPlan, contested: Sequence[PlannedLayer]) -> dict[str, str]:
    """Returns the manifest annotations that describe the plan. Later builds read them."""
    return {PLAN: plan.identity, **({CONTESTED: contested[0].key} if contested else {})}


def contested_in(index: LayerIndex, plan: LayerPlan) -> list[PlannedLayer] | None:
    """Returns the layer for paths of several packages of an earlier image with the same plan.

    Returns:
        A list with one layer, an empty list if that image has no such layer, or None if the index has no image with
        this plan.
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
    """Returns the layers of a manifest that are annotated with a key and a diff_id, by key."""
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
    """Reads the manifests of some images and indexes their layers.

    A target that does not exist, or that is not the manifest of an image, is skipped.

    Args:
        targets: pairs of a repository and a tag or digest.
        destination: the repository that the image is pushed to, if there is one.
        tag: the image's tag in `destination`.

    Raises RegistryError if the destination does not answer or refuses. Another repository that does so is skipped.
    """
    layers: dict[str, IndexedLayer] = {}
    present: set[Digest] = set()
    current = None
    contested: dict[str, str] = {}
    read: set[tuple[str, str, str]] = set()
    for repository, target in targets:
        if (*repository.location, target) in read:
            continue
        is_destination = destination is not None and repository.location == destination.location
        try:
            manifest = repository.manifest(target)
        except (RegistryNotFound, ImageError):  # no manifest, or not the manifest of an image
            continue
        except RegistryError:
            if is_destination:
                raise
            continue
        if isinstance(manifest, Index):
            continue
        read.add((*repository.location, str(manifest.descriptor.digest)))
        if is_destination and target == tag:
            current = manifest
        if is_destination:
            present |= {layer.digest for layer in manifest.layers} | {manifest.config.digest}
        if PLAN in manifest.annotations:
            contested.setdefault(manifest.annotations[PLAN], manifest.annotations.get(CONTESTED, ""))
        layers = {**keyed_layers(manifest, repository), **layers}
    return LayerIndex(layers, frozenset(present), current, contested)
