"""The layers that manifests in registries claim to have, by key. No blob is transferred.

The manifests of the destination, of the last image that was pushed there, and of `cache_from` are the cache that a team
shares. A manifest is a claim: `trust.vouchers` says whether somebody vouches for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from jupyter_condabuild.errors import (
    BadDigest,
    CondaBuildError,
    ImageError,
    RegistryDenied,
    RegistryError,
    RegistryNotFound,
)
from jupyter_condabuild.oci.image import (
    LAYER_DIFF_ID,
    LAYER_KEY,
    LAYER_PACKAGES,
    Descriptor,
    Digest,
    Manifest,
    Reference,
)
from jupyter_condabuild.oci.index import Index, platform_of
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.requests.job_context import JobContext
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
    destination certainly has, because its own manifests name them. `named` is the document that the destination's tag
    has now: an image, or an index of images. `current` is the image that the tag has for the platform of the build, and
    `current_voucher` its voucher.
    """

    claims: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)
    present: frozenset[Digest] = frozenset()
    current: Manifest | None = None
    current_voucher: Voucher | None = None
    named: Manifest | Index | None = None

    @property
    def other_images(self) -> tuple[Descriptor, ...]:
        """The images for other platforms than the build's that the destination's tag has."""
        images = self.named.images if isinstance(self.named, Index) else ()
        return tuple(one for one in images if not self.current or one.digest != Digest.of(self.current.raw))

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
        return replace(self, claims=merged)

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
    targets: Iterable[tuple[Repository, str]],
    destination: Repository | None,
    tag: str,
    vouchers: Vouchers,
    architecture: str = "",
) -> LayerIndex:
    """Reads the manifests of some images and indexes their layers. Of an index, all images for Linux are read.

    A target that does not exist, or that is not an image, is skipped.

    Args:
        targets: pairs of a repository and a tag or digest.
        destination: the repository that the image is pushed to, if there is one.
        tag: the image's tag in `destination`.
        architecture: the processor of the build, as a GOARCH name: the one whose image is the current one of an index.

    Raises RegistryError if the destination does not answer or refuses. Another repository that does so is skipped.
    """
    index = LayerIndex()
    present: set[Digest] = set()
    read: set[tuple[str, str, str]] = set()
    for repository, target in targets:
        if (*repository.location, target) in read:
            continue
        is_destination = destination is not None and repository.location == destination.location
        is_current = is_destination and target == tag
        document = _document(repository, target, required=is_destination)
        if document:
            read.add((*repository.location, str(document.descriptor.digest)))
        if is_current:
            index = replace(index, named=document)
        for manifest, processor in _images(document, repository, required=is_destination):
            voucher = vouchers.of_image(repository, manifest)
            if is_current and processor in ("", architecture) and index.current is None:
                index = replace(index, current=manifest, current_voucher=voucher)
            if is_destination:
                present |= {layer.digest for layer in manifest.layers} | {manifest.config.digest}
            index = index.with_claims(claims_of(manifest, repository, voucher))
    return replace(index, present=frozenset(present))


def _document(repository: Repository, target: str, *, required: bool) -> Manifest | Index | None:
    """Returns the document of a tag or digest, or None. Raises RegistryError if it is required."""
    try:
        return repository.manifest(target)
    # No manifest, or not the manifest of an image. Artifactory denies reading a tag that it does not have, although
    # the user may push it (google/go-containerregistry#1691).
    except (RegistryNotFound, RegistryDenied, ImageError):
        return None
    except RegistryError:
        if required:
            raise
        return None


def _images(
    document: Manifest | Index | None, repository: Repository, *, required: bool
) -> Iterator[tuple[Manifest, str]]:
    """Yields the image that a document is, or the images of an index, each with its processor; empty for the former."""
    if isinstance(document, Manifest):
        yield document, ""
    for entry in document.images if isinstance(document, Index) else ():
        found = _document(repository, str(entry.digest), required=required)
        if isinstance(found, Manifest):
            yield found, platform_of(entry)[1]


def current_digest(reference: Reference | None, job: JobContext) -> str | None:
    """Returns the digest that a name has now; empty if it has nothing, None without a name or if the registry fails."""
    if not reference:
        return None
    try:
        descriptor = job.repository(reference, patient=False).head(reference.target)
    except CondaBuildError:  # a request that follows reports the error
        return None
    return str(descriptor.digest) if descriptor else ""
