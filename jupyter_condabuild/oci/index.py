"""Index: an image index, which leads from one name to the image for each platform.

Source: OCI image-spec v1.1 (image-index.md) and Docker's manifest list (media type ``manifest.list.v2``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.oci.image import (
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    Descriptor,
    Digest,
    ImageConfig,
    Manifest,
    canonical_json,
    json_object,
)

MOST_IMAGES = 32
"""The largest number of images of one index that are read. Docker Official Images have about ten."""

_DESCRIBED = "org.opencontainers.image."
"""The prefix of the annotations and labels that describe an image (annotations.md)."""

_ATTESTED = "vnd.docker.reference.digest"
"""The annotation with which an entry of BuildKit names the image that it is about."""


@dataclass(frozen=True)
class Index:
    """An image index (image-index.md): a list of manifests, for example one manifest for each platform of an image."""

    raw: bytes
    media_type: str
    manifests: tuple[Descriptor, ...]

    @classmethod
    def parse(cls, raw: bytes, media_type: str = "") -> Index:
        """Parses an image index.

        Args:
            raw: the JSON document.
            media_type: the media type of the document, used if the document itself has no ``mediaType``.

        Raises:
            BadImage: `raw` is not an image index.
            BadDigest: a digest in the index is not valid.
        """
        value = json_object(raw, "image index")
        kind = value.get("mediaType") or media_type or OCI_INDEX
        if kind not in INDEXES or not isinstance(value.get("manifests"), list):
            raise BadImage(f"The document is not an image index (media type {str(kind)[:100]!r}).")
        return cls(raw, kind, tuple(Descriptor.parse(entry) for entry in value["manifests"]))

    @classmethod
    def make(cls, images: Iterable[Descriptor], before: Index | None = None) -> Index:
        """Makes an OCI index. The same images give the same bytes, in whichever order they are.

        The index has the annotations that are the same for all its images.

        Args:
            images: the images, as `entry_of` returns them, at most one for each platform.
            before: an index whose images for other platforms stay. What it has about an image that is replaced goes.

        Raises BadImage if `before` cannot be written again.
        """
        new = {platform_of(image): image for image in images}
        entries = [image.to_json() for image in new.values()]
        if before:
            gone = {str(one.digest) for one in before.images if platform_of(one) in new}
            gone -= {str(one.digest) for one in new.values()}
            for kept, unchanged in zip(before.manifests, json.loads(before.raw)["manifests"], strict=True):
                about = kept.annotations.get(_ATTESTED, "")
                if platform_of(kept) not in new and about not in gone:
                    entries.append(unchanged)
        try:
            ordered = sorted(entries, key=lambda entry: (_order(entry), canonical_json(entry)))
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write as an escape
            raise BadImage("The image index has a text that is not Unicode.") from None
        value: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": ordered}
        found = map(Descriptor.parse, value["manifests"])
        described = [one.annotations for one in found if platform_of(one)[0] == "linux"]
        common = set.intersection(*(set(one.items()) for one in described)) if described else ()
        if common:
            value["annotations"] = dict(common)
        return cls.parse(canonical_json(value))

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the index itself."""
        return Descriptor(self.media_type, Digest.of(self.raw), len(self.raw))

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """The images for Linux, at most `MOST_IMAGES`, without other artifacts, such as BuildKit's attestations."""
        found = [one for one in self.manifests if one.media_type in MANIFESTS and platform_of(one)[0] == "linux"]
        return tuple(found[:MOST_IMAGES])

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platforms of the images, such as ``linux/amd64``, in the order of the index."""
        return tuple(dict.fromkeys(platform_text(image) for image in self.images))

    def select(self, architecture: str, os: str = "linux") -> Descriptor:
        """Returns the descriptor of the manifest for a platform. Raises BadImage if the index has none.

        Args:
            architecture: GOARCH name of the processor, such as ``amd64``.
            os: GOOS name of the operating system.
        """
        for entry in self.manifests:
            platform = entry.platform or {}
            if platform.get("architecture") == architecture and platform.get("os") == os:
                return entry
        there = f", only for {', '.join(self.platforms)}" if self.platforms else ""
        raise BadImage(
            f"The image has no variant for {os}/{architecture}{there}.",
            "Choose one of its platforms (--platform), or another image.",
        )


def entry_of(manifest: Manifest, config: ImageConfig) -> Descriptor:
    """Returns the descriptor of an image as an index has it: with the platform and the OCI labels of its configuration.

    Registries show the annotations of an index, but not the labels of its images.
    """
    keys = ("architecture", "os", "variant")
    platform = {"os": "linux", **{key: str(config.value[key]) for key in keys if config.value.get(key)}}
    labels = config.runtime.get("Labels") or {}
    annotations = {key: str(text) for key, text in labels.items() if key.startswith(_DESCRIBED)}
    return replace(manifest.descriptor, platform=platform, annotations=annotations)


def platform_of(descriptor: Descriptor) -> tuple[str, str, str]:
    """Returns the system, the processor and its variant; empty texts for what the descriptor does not name.

    The variant ``v8`` of ``arm64`` is the usual one, and counts as none, as in containerd.
    """
    platform = descriptor.platform or {}
    system, processor, variant = (str(platform.get(key) or "") for key in ("os", "architecture", "variant"))
    return system, processor, "" if (processor, variant) == ("arm64", "v8") else variant


def platform_text(descriptor: Descriptor) -> str:
    """Returns the platform of a descriptor as Docker writes it, such as ``linux/amd64``."""
    return "/".join(filter(None, platform_of(descriptor)))


def _order(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """Returns the platform of an entry. Entries about other entries, whose platform is unknown, are the last ones."""
    system, processor, variant = platform_of(Descriptor.parse(entry))
    return ("~" if system in ("", "unknown") else system), processor, variant


def parse_document(raw: bytes, media_type: str) -> Manifest | Index:
    """Parses a manifest or an index. Raises BadImage if it is neither, or could be read as both (CVE-2021-41190)."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadImage("The manifest is not a JSON object.")
    if "manifests" in value and ("layers" in value or "config" in value):
        raise BadImage("The manifest could be read both as an image manifest and as an image index.")
    supported = media_type if media_type in (*MANIFESTS, *INDEXES) else ""
    return Index.parse(raw, supported) if "manifests" in value else Manifest.parse(raw, supported)
