"""The layers that manifests in registries claim to have, by key. No blob is transferred.

The manifests of the destination, of the last image that was pushed there, and of `cache_from` are the cache that a team
shares. A manifest is a claim: `trust.vouchers` says whether somebody vouches for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from jupyter_condabuild.errors import BadDigest, ImageError, RegistryDenied, RegistryError, RegistryNotFound
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
from jupyter_condabuild.trust.vouchers import Voucher, Vouchers


@dataclass(frozen=True)
class Claim:
    """A package layer as a manifest in a repository names it. `voucher` is None if nobody vouches for the layer."""

    descriptor: Descriptor
    diff_id: Digest
    repository: Repository
    voucher: Voucher | None = None


@dataclass(frozen=True)
class LayerIndex:
    """The claims of the manifests in some repositories.

    `claims` maps a key to all claims, in the order of the repositories. `present` has the digests of blobs that the
    destination certainly has, because its own manifests name them. `current` is the manifest that the destination's tag
    has now, and `current_voucher` its voucher.
    """

    claims: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)
    present: frozenset[Digest] = frozenset()
    current: Manifest | None = None
    current_voucher: Voucher | None = None

    def of(self, key: str) -> tuple[Claim, ...]:
        """Returns the claims of a key."""
        return self.claims.get(key, ())

    def vouched(self, key: str) -> Claim | None:
        """Returns the first claim of a key that somebody vouches for."""
        return next((claim for claim in self.of(key) if claim.voucher), None)

    def with_claims(self, claims: Iterable[tuple[str, Claim]]) -> LayerIndex:
        """Returns the index with more claims, behind those that it has."""
        merged = dict(self.claims)
        for key, claim in claims:
            merged[key] = (*merged.get(key, ()), claim)
        return LayerIndex(merged, self.present, self.current, self.current_voucher)

    def repositories_with(self, digest: Digest) -> tuple[Repository, ...]:
        """Returns the repositories whose manifests name a blob. A blob can be mounted from there."""
        found = (claim for claims in self.claims.values() for claim in claims if claim.descriptor.digest == digest)
        return tuple({claim.repository.location: claim.repository for claim in found}.values())


def annotate(descriptor: Descriptor, key: str, diff_id: Digest, packages: Iterable[str]) -> Descriptor:
    """Returns the descriptor of a package layer, with the annotations that our manifests give it."""
    annotations = {LAYER_KEY: key, LAYER_DIFF_ID: str(diff_id), LAYER_PACKAGES: " ".join(packages)}
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size, annotations)


def claims_of(manifest: Manifest, repository: Repository, voucher: Voucher | None) -> Iterator[tuple[str, Claim]]:
    """Yields the layers of a manifest that are annotated with a key and a diff_id, with their keys.

    Args:
        voucher: the voucher of the manifest, which need not cover all of its layers.
    """
    for layer in manifest.layers:
        key = layer.annotations.get(LAYER_KEY)
        try:
            diff_id = Digest.parse(layer.annotations.get(LAYER_DIFF_ID, ""))
        except BadDigest:
            continue
        if key:
            covered = voucher is not None and voucher.covers(key, layer.digest, diff_id)
            yield key, Claim(layer, diff_id, repository, voucher if covered else None)


def look_up(
    targets: Iterable[tuple[Repository, str]], destination: Repository | None, tag: str, vouchers: Vouchers
) -> LayerIndex:
    """Reads the manifests of some images and indexes their layers.

    A target that does not exist, or that is not the manifest of an image, is skipped.

    Args:
        targets: pairs of a repository and a tag or digest.
        destination: the repository that the image is pushed to, if there is one.
        tag: the image's tag in `destination`.

    Raises RegistryError if the destination does not answer or refuses. Another repository that does so is skipped.
    """
    index = LayerIndex()
    present: set[Digest] = set()
    current, current_voucher = None, None
    read: set[tuple[str, str, str]] = set()
    for repository, target in targets:
        if (*repository.location, target) in read:
            continue
        is_destination = destination is not None and repository.location == destination.location
        try:
            manifest = repository.manifest(target)
        # No manifest, or not the manifest of an image. Artifactory denies reading a tag that it does not have, although
        # the user may push it (google/go-containerregistry#1691).
        except (RegistryNotFound, RegistryDenied, ImageError):
            continue
        except RegistryError:
            if is_destination:
                raise
            continue
        if isinstance(manifest, Index):
            continue
        read.add((*repository.location, str(manifest.descriptor.digest)))
        voucher = vouchers.of_image(repository, manifest)
        if is_destination and target == tag:
            current, current_voucher = manifest, voucher
        if is_destination:
            present |= {layer.digest for layer in manifest.layers} | {manifest.config.digest}
        index = index.with_claims(claims_of(manifest, repository, voucher))
    return LayerIndex(index.claims, frozenset(present), current, current_voucher)
