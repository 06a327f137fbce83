"""Referrers: artifacts that belong to an image, such as a receipt or an SBOM, and leave the image's digest as it is.

Source: distribution-spec v1.1, "Listing Referrers", "Pushing Manifests with Subject" and "Unavailable Referrers API";
image-spec v1.1, manifest.md, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from jupyter_condabuild.errors import (
    BadImage,
    CondaBuildError,
    ContentMismatch,
    ImageError,
    RegistryError,
    RegistryNotFound,
)
from jupyter_condabuild.oci.image import OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, Manifest, canonical_json
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.repository import Repository

EMPTY = b"{}"
EMPTY_CONFIG = Descriptor("application/vnd.oci.empty.v1+json", Digest.of(EMPTY), len(EMPTY))
"""The configuration of an artifact (manifest.md, "Guidance for an Empty Descriptor")."""

_ANSWERS = (200, 400, 404, 405, 406, 501)
"""A list, and the statuses of registries that do not know the referrers API."""

ATTEMPTS = 5
"""The number of times that the list under the fallback tag is written if other clients write it at the same time."""


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


@dataclass(frozen=True)
class Artifact:
    """A blob that is to belong to an image. Clients that list referrers see its annotations."""

    artifact_type: str
    content: bytes
    media_type: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def blob(self) -> Descriptor:
        """The descriptor of the content."""
        return Descriptor(self.media_type, Digest.of(self.content), len(self.content))

    def manifest(self, subject: Descriptor) -> Manifest:
        """Returns the manifest of the artifact. It contains no time, so that the same artifact has the same digest."""
        value = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": self.artifact_type,
            "config": EMPTY_CONFIG.to_json(),
            "layers": [self.blob.to_json()],
            "subject": {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size},
            "annotations": dict(self.annotations),
        }
        return Manifest.parse(canonical_json(value))


@dataclass(frozen=True)
class Listing:
    """The artifacts that belong to an image.

    `by_api` says whether the registry has the referrers API. `blobs` are those that the repository certainly has, and
    `expected` those that it should have.
    """

    referrers: tuple[Referrer, ...]
    by_api: bool
    blobs: frozenset[Digest] = frozenset()
    expected: frozenset[Digest] = frozenset()


def listing(repository: Repository, subject: Digest, *, ask_api: bool = True) -> Listing:
    """Returns the artifacts that belong to an image, as the registry lists them. Raises RegistryError.

    Args:
        ask_api: false for a repository that had no referrers API a while ago.
    """
    listed = _listed_by_api(repository, subject) if ask_api else None
    return Listing(tuple(_fallback(repository, subject) if listed is None else listed), listed is not None)


def attach(repository: Repository, subject: Descriptor, artifact: Artifact) -> Referrer:
    """Pushes one artifact, as `attach_all` does. Raises RegistryError."""
    [outcome] = attach_all(repository, subject, [artifact])
    if isinstance(outcome, CondaBuildError):
        raise outcome
    return outcome


def attach_all(
    repository: Repository, subject: Descriptor, artifacts: Sequence[Artifact], known: Listing | None = None
) -> list[Referrer | CondaBuildError]:
    """Pushes artifacts that belong to an image of the same repository, all at the same time.

    An artifact that the registry lists already is not pushed again. A registry without the referrers API gets the list
    of referrers under the fallback tag, once for all artifacts. The empty configuration is not sent if `known` expects
    it, unless the registry then refuses an artifact.

    Args:
        subject: the descriptor of the image's manifest.
        known: what the registry listed a short time ago; None to ask now.

    Returns:
        For each artifact its referrer, or the error that it met.
    """
    if not artifacts:
        return []
    try:
        known = known or listing(repository, subject.digest)
    except CondaBuildError as error:
        return [error] * len(artifacts)
    with ThreadPoolExecutor(len(artifacts) + 2, thread_name_prefix="attach") as threads:
        listed = {one.descriptor.digest for one in known.referrers}
        made = [(artifact, artifact.manifest(subject)) for artifact in artifacts]
        missing = [manifest for _, manifest in made if manifest.descriptor.digest not in listed]
        has_config = EMPTY_CONFIG.digest in known.blobs | known.expected
        config = threads.submit(_push_blob, repository, EMPTY_CONFIG, EMPTY) if missing and not has_config else None
        before = threads.submit(_fallback, repository, subject.digest) if missing and not known.by_api else None

        def push(artifact: Artifact, manifest: Manifest) -> Referrer | CondaBuildError:
            descriptor = Descriptor(OCI_MANIFEST, manifest.descriptor.digest, len(manifest.raw), artifact.annotations)
            try:
                if manifest in missing:
                    if artifact.blob.digest not in known.blobs:
                        _push_blob(repository, artifact.blob, artifact.content, new=True)
                    if config:
                        config.result()
                    _push_manifest(repository, manifest, known)
            except CondaBuildError as error:
                return error
            return Referrer(descriptor, artifact.artifact_type)

        outcomes = list(threads.map(lambda one: push(*one), made))
    new = [one for one in outcomes if isinstance(one, Referrer) and one.descriptor.digest not in listed]
    if before and new and not repository.lists_referrers:
        try:
            _add_to_fallback(repository, subject.digest, new, before.result())
        except CondaBuildError as error:
            return [error if one in new else one for one in outcomes]
    return outcomes


def push_blobs(
    repository: Repository, artifacts: Sequence[Artifact], *, config: bool = True, new: bool = True
) -> frozenset[Digest]:
    """Sends the blobs of artifacts before their image is there, so that `attach_all` is fast.

    Args:
        config: whether to send the empty configuration, too.
        new: whether the repository certainly has none of the artifacts.

    Returns their digests. Raises RegistryError.
    """
    blobs = [(EMPTY_CONFIG, EMPTY, False)] if config else []
    blobs += [(artifact.blob, artifact.content, new) for artifact in artifacts]
    with ThreadPoolExecutor(len(blobs) or 1, thread_name_prefix="attach") as threads:
        return frozenset(threads.map(lambda one: _push_blob(repository, *one), blobs))


def _push_blob(repository: Repository, descriptor: Descriptor, data: bytes, new: bool = False) -> Digest:
    repository.push(descriptor, lambda: io.BytesIO(data), presence="new" if new else "likely")
    return descriptor.digest


def _push_manifest(repository: Repository, manifest: Manifest, known: Listing) -> None:
    """Pushes the manifest of an artifact. If the registry has lost the empty configuration, it gets it again."""
    try:
        repository.push_manifest(manifest)
    except RegistryError:
        if EMPTY_CONFIG.digest not in known.expected - known.blobs:
            raise
        _push_blob(repository, EMPTY_CONFIG, EMPTY)
        repository.push_manifest(manifest)


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
    return tuple(
        found for found in listing(repository, subject).referrers if artifact_type in ("", found.artifact_type)
    )


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


def _add_to_fallback(
    repository: Repository, subject: Digest, added: Sequence[Referrer], listed: Sequence[Referrer]
) -> None:
    """Adds referrers to the list under the fallback tag, which was `listed` a moment ago.

    A registry cannot write under a condition. So the list is read again after it was written, and written again if
    another client has replaced it. A client that replaces the list later can still remove these referrers.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            listed = _fallback(repository, subject)
        digests = {found.descriptor.digest for found in listed}
        missing = [one for one in added if one.descriptor.digest not in digests]
        if not missing:
            return
        repository.push_manifest(_index([*listed, *missing]), fallback_tag(subject))
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
