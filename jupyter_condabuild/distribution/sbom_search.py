"""Reads the SBOMs that registries have for images: of one image, or of all images of a repository."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from jupyter_condabuild.conda.packages import License
from jupyter_condabuild.errors import BadSbom, CondaBuildError, ContentMismatch, ImageError
from jupyter_condabuild.oci.image import INDEXES, Descriptor, Digest
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.referrers import Referrer, content, referrers
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.oci.tag_list import tags_of
from jupyter_condabuild.sbom.documents import CYCLONEDX, MEDIA_TYPES, SPDX
from jupyter_condabuild.sbom.reader import LARGEST, Listed, licenses_from, packages_in

MOST_SBOMS = 4
"""The number of SBOMs of one format that are read. Anybody who may push can attach SBOMs."""

_CONCURRENT = 4


@dataclass(frozen=True)
class SearchedImage:
    """An image of a repository with its tags, and the packages in its SBOMs; None if it has no readable SBOM."""

    digest: Digest
    tags: tuple[str, ...]
    packages: tuple[Listed, ...] | None


def packages_of(repository: Repository, image: Digest) -> tuple[Listed, ...] | None:
    """Returns the packages in the SBOMs of an image; None if it has no readable SBOM. Raises RegistryError.

    If there are several SBOMs of one format, the result has the packages of all. A format that gives packages is
    enough.
    """
    attached = referrers(repository, image)
    for media_type in MEDIA_TYPES:
        found: set[Listed] = set()
        is_read = False
        for referrer in [one for one in attached if one.artifact_type == media_type][:MOST_SBOMS]:
            try:
                found.update(packages_in(media_type, content(repository, referrer, LARGEST)))
                is_read = True
            except (BadSbom, ContentMismatch, ImageError):
                continue
        if is_read:
            return tuple(sorted(found))
    return None


def licenses_of_image(repository: Repository, image: Digest) -> dict[str, License] | None:
    """Returns the licences in the SBOMs that this program has attached to an image; None if there are none."""
    try:
        attached = referrers(repository, image)
        found = {one.artifact_type: content(repository, one, LARGEST) for one in reversed(attached) if _is_sbom(one)}
        return licenses_from(found[CYCLONEDX], found[SPDX]) if found.keys() == set(MEDIA_TYPES) else None
    except CondaBuildError:  # an image without SBOMs is complete
        return None


def _is_sbom(referrer: Referrer) -> bool:
    return referrer.artifact_type in MEDIA_TYPES


def search(repository: Repository, tags: Iterable[str] = ()) -> list[SearchedImage]:
    """Returns the images of a repository with the packages in their SBOMs, by their first tags.

    No image is pulled: the requests are one list of tags, and for each image its digest, its list of referrers and its
    SBOM. Raises RegistryError.

    Args:
        tags: the tags to read; default all.
    """
    names = sorted(tags or tags_of(repository))
    chosen = [tag for tag in names if not re.fullmatch(r"sha(256|512)-[0-9a-f]{64,}", tag)]
    with ThreadPoolExecutor(_CONCURRENT, thread_name_prefix="sbom") as executor:
        heads = list(executor.map(repository.head, chosen))
        by_digest: dict[Digest, list[str]] = {}
        for tag, head in zip(chosen, heads, strict=True):
            for digest in _images(repository, head):
                by_digest.setdefault(digest, []).append(tag)
        found = list(executor.map(lambda digest: packages_of(repository, digest), by_digest))
    return [
        SearchedImage(digest, tuple(tags_of), packages)
        for (digest, tags_of), packages in zip(by_digest.items(), found, strict=True)
    ]


def _images(repository: Repository, head: Descriptor | None) -> Iterator[Digest]:
    """Yields the digest of an image, or those of all images of an index."""
    if head is None:
        return
    if head.media_type not in INDEXES:
        yield head.digest
        return
    manifest = repository.manifest(str(head.digest))
    if isinstance(manifest, Index):
        yield from (one.digest for one in manifest.manifests if (one.platform or {}).get("os") != "unknown")
