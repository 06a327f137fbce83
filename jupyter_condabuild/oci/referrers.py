"""Referrers: artifacts that belong to an image, such as a receipt or an SBOM, and leave the image's digest as it is.

Source: distribution-spec v1.1, "Listing Referrers", "Pushing Manifests with Subject" and "Unavailable Referrers API";
image-spec v1.1, manifest.md, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jupyter_condabuild.errors import BadImage, ContentMismatch, ImageError, RegistryNotFound
from jupyter_condabuild.oci.image import OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, Index, Manifest, canonical_json
from jupyter_condabuild.oci.repository import Repository

EMPTY = b"{}"
EMPTY_CONFIG = Descriptor("application/vnd.oci.empty.v1+json", Digest.of(EMPTY), len(EMPTY))
"""The configuration of an artifact (manifest.md, "Guidance for an Empty Descriptor")."""

_ANSWERS = (200, 400, 404, 405, 406, 501)
"""A list, and the statuses of registries that do not know the referrers API."""

ATTEMPTS = 5
"""How often the list of referrers under the fallback tag is written while others write it, too."""


@dataclass(frozen=True)
class Referrer:
    """An artifact that belongs to an image: the descriptor of its manifest, its type, and its annotations."""

    descriptor: Descriptor
    artifact_type: str

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations of the artifact."""
        return self.descriptor.annotations

    def to_json(self) -> dict[str, Any]:
        """The referrer as it stands in a list of referrers."""
        return {**self.descriptor.to_json(), "artifactType": self.artifact_type}


def attach(
    repository: Repository,
    subject: Descriptor,
    artifact_type: str,
    content: bytes,
    media_type: str,
    annotations: Mapping[str, str] | None = None,
) -> Referrer:
    """Pushes an artifact with one blob that belongs to an image of the same repository.

    An artifact that the registry lists already is not pushed again.

    Args:
        subject: the descriptor of the image's manifest.
        content: the bytes of the blob, whose type is `media_type`.
        annotations: those of the artifact; clients that list referrers see them.

    A registry without the referrers API gets the list of referrers under the fallback tag. Raises RegistryError.
    """
    blob = Descriptor(media_type, Digest.of(content), len(content))
    value = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": EMPTY_CONFIG.to_json(),
        "layers": [blob.to_json()],
        "subject": {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size},
        "annotations": dict(annotations or {}),
    }
    manifest = Manifest.parse(canonical_json(value))
    referrer = Referrer(
        Descriptor(OCI_MANIFEST, manifest.descriptor.digest, len(manifest.raw), dict(annotations or {})), artifact_type
    )
    by_api = _listed_by_api(repository, subject.digest)
    listed = _fallback(repository, subject.digest) if by_api is None else by_api
    if any(found.descriptor.digest == manifest.descriptor.digest for found in listed):
        return referrer
    for descriptor, data in ((EMPTY_CONFIG, EMPTY), (blob, content)):
        repository.push(descriptor, lambda data=data: io.BytesIO(data))  # type: ignore[misc]
    repository.push_manifest(manifest)
    if by_api is None:
        _add_to_fallback(repository, subject.digest, referrer)
    return referrer


def detach(repository: Repository, subject: Digest) -> None:
    """Deletes the list of referrers of an image that was deleted. The registry then removes the artifacts.

    A registry with the referrers API has no such list. Raises RegistryError if the registry refuses.
    """
    with suppress(RegistryNotFound, ImageError):
        listed = repository.manifest(fallback_tag(subject))
        if isinstance(listed, Index) and _parse(listed.raw):
            repository.delete(Digest.of(listed.raw))


def referrers(repository: Repository, subject: Digest, artifact_type: str = "") -> tuple[Referrer, ...]:
    """The artifacts of one type that belong to an image, as the registry lists them; their bytes are not read.

    Without a type, the artifacts of all types.

    Raises RegistryError where the registry does not answer.
    """
    listed = _listed_by_api(repository, subject)
    if listed is None:
        listed = _fallback(repository, subject)
    return tuple(found for found in listed if artifact_type in ("", found.artifact_type))


def content(repository: Repository, referrer: Referrer, limit: int) -> bytes:
    """The bytes of an artifact's only blob, at most `limit` bytes.

    Raises BadImage for an artifact with another number of blobs or a larger one, ContentMismatch, RegistryError.
    """
    manifest = repository.manifest(str(referrer.descriptor.digest))
    if isinstance(manifest, Index) or len(manifest.layers) != 1:
        raise BadImage("The artifact does not have exactly one blob.")
    [blob] = manifest.layers
    if blob.size > limit:
        raise BadImage(f"The artifact has {blob.size} bytes, more than {limit}.")
    return b"".join(repository.read(blob))


def fallback_tag(subject: Digest) -> str:
    """The tag under which a registry without the referrers API has the list ("Referrers Tag Schema")."""
    return f"{subject.algorithm}-{subject.hex}"[:128]


def _listed_by_api(repository: Repository, subject: Digest) -> list[Referrer] | None:
    """The list that the referrers API gives; None for a registry without the API."""
    doing = f"list the referrers of {subject} in {repository.name}"
    answer = repository.request("GET", f"referrers/{subject}", doing, _ANSWERS, headers={"Accept": OCI_INDEX})
    if answer.status != 200 or answer.headers.get("content-type", "").partition(";")[0].strip() != OCI_INDEX:
        return None
    try:
        return _parse(answer.body)
    except ImageError:
        return None


def _fallback(repository: Repository, subject: Digest) -> list[Referrer]:
    try:
        return _parse(repository.manifest(fallback_tag(subject)).raw)
    except (RegistryNotFound, ImageError):
        return []


def _parse(raw: bytes) -> list[Referrer]:
    """Raises BadImage."""
    index = Index.parse(raw)
    entries = json.loads(raw)["manifests"]
    return [
        Referrer(descriptor, str(entry.get("artifactType", "")))
        for descriptor, entry in zip(index.manifests, entries, strict=True)
    ]


def _add_to_fallback(repository: Repository, subject: Digest, referrer: Referrer) -> None:
    """Adds a referrer to the list under the fallback tag.

    A registry cannot write under a condition. So the list is read again after it was written, and written again if
    another client has replaced it. A client that replaces the list later can still remove this referrer.
    """
    for attempt in range(ATTEMPTS):
        listed = _fallback(repository, subject)
        if any(found.descriptor.digest == referrer.descriptor.digest for found in listed):
            return
        repository.push_manifest(_index([*listed, referrer]), fallback_tag(subject))
        if attempt:
            time.sleep(0.05 * 2**attempt)
    raise ContentMismatch(f"Other clients write the list of referrers of {subject} in {repository.name}.")


def _index(listed: Sequence[Referrer]) -> Index:
    value = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [found.to_json() for found in listed],
    }
    return Index.parse(canonical_json(value))
