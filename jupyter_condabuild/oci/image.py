"""The data types of container images: Digest, Descriptor, Manifest, ImageConfig, Image, Reference.

The bytes of a manifest are its identity. A parsed manifest keeps the bytes that were received, and the code never
serialises it again.

Source: OCI image-spec v1.1 (descriptor.md, manifest.md, config.md) and distribution-spec v1.1.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from jupyter_condabuild.errors import BadDigest, BadImage, BadReference

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_INDEX)

LAYER_KEY = "org.jupyter.condabuild.layer.key"
LAYER_DIFF_ID = "org.jupyter.condabuild.layer.diff_id"
LAYER_PACKAGES = "org.jupyter.condabuild.layer.packages"


@dataclass(frozen=True, order=True)
class Digest:
    """A content digest such as ``sha256:9a2f…`` (descriptor.md, "Digests"). The code never uses a plain string instead.

    Args:
        hex: lower-case hexadecimal digits: 64 for sha256, 128 for sha512.
        algorithm: ``sha256`` or ``sha512``.
    """

    hex: str
    algorithm: str = "sha256"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Parses ``sha256:`` or ``sha512:``, followed by lower-case hexadecimal digits. Raises BadDigest otherwise."""
        algorithm, _, digits = text.partition(":")
        length = {"sha256": 64, "sha512": 128}.get(algorithm)
        if length is None or not re.fullmatch(rf"[0-9a-f]{{{length}}}", digits):
            raise BadDigest(f"{text[:100]!r} is not a digest.")
        return cls(digits, algorithm)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """Returns the sha256 digest of `data`."""
        return cls(hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@dataclass(frozen=True)
class Descriptor:
    """The media type, digest and size in bytes of a blob (descriptor.md)."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    platform: Mapping[str, str] | None = field(default=None, hash=False)

    @classmethod
    def parse(cls, value: Any) -> Descriptor:
        """Parses a descriptor of a JSON document. Raises BadImage or BadDigest if `value` is not a valid descriptor."""
        try:
            size = value["size"]
            if type(size) is not int or not 0 <= size < 1 << 63:  # JSON's true is a bool, and a bool is an int
                raise ValueError("the size")
            return cls(
                str(value["mediaType"]),
                _digest(value["digest"], "manifest"),
                size,
                _strings(value.get("annotations")),
                None if value.get("platform") is None else dict(value["platform"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadImage(f"A descriptor in the manifest is not valid ({repr(error)[:200]}).") from None

    def to_json(self) -> dict[str, Any]:
        """Returns the descriptor as a JSON object, in the form that manifests contain."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.annotations:
            value["annotations"] = dict(sorted(self.annotations.items()))
        if self.platform:
            value["platform"] = dict(self.platform)
        return value


MOST_JSON = 4 << 20
"""The largest size in bytes of a manifest, an index or a configuration, as in Docker's and containerd's registries."""


def canonical_json(value: Any) -> bytes:
    """Returns JSON with sorted keys and without optional spaces. Equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(text: object, document: str) -> Digest:
    """Parses a digest that somebody else wrote into a document. Raises BadDigest with the hint for a bad image."""
    try:
        return Digest.parse(str(text))
    except BadDigest as error:
        raise BadDigest(f"A digest in the {document} is not valid: {error.message}", BadImage.default_hint) from None


def json_object(raw: bytes, document: str) -> dict[str, Any]:
    """Parses a JSON object of at most `MOST_JSON` bytes. Raises BadImage; `document` names it in the message."""
    if len(raw) > MOST_JSON:
        raise BadImage(f"The {document} has {len(raw)} bytes. The limit is {MOST_JSON} bytes.")
    try:
        value = json.loads(raw)
        if b"\\u" in raw:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is no text, and no program can get it
    except (ValueError, RecursionError) as error:
        raise BadImage(f"The {document} is not JSON ({str(error)[:200]}).") from None
    if not isinstance(value, dict):
        raise BadImage(f"The {document} is not a JSON object.")
    return value


def _strings(value: Any) -> dict[str, str]:
    if not isinstance(value or {}, dict):
        raise BadImage("The annotations in the manifest are not a JSON object.")
    return {str(key): str(text) for key, text in (value or {}).items()}


@dataclass(frozen=True)
class Manifest:
    """An image manifest (manifest.md), either OCI or Docker schema 2. `raw` has the exact bytes of the document."""

    raw: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def parse(cls, raw: bytes, media_type: str = "") -> Manifest:
        """Parses an image manifest.

        Args:
            raw: the JSON document.
            media_type: the media type of the document, used if the document itself has no ``mediaType``.

        Raises:
            BadImage: `raw` is not an image manifest.
            BadDigest: a digest in the manifest is not valid.
        """
        value = json_object(raw, "manifest")
        kind = value.get("mediaType") or media_type or OCI_MANIFEST
        if kind not in MANIFESTS or not isinstance(value.get("layers"), list):
            raise BadImage(f"The document is not an image manifest (media type {str(kind)[:100]!r}).")
        return cls(
            raw,
            kind,
            Descriptor.parse(value.get("config")),
            tuple(Descriptor.parse(layer) for layer in value["layers"]),
            _strings(value.get("annotations")),
        )

    @classmethod
    def make(
        cls, config: Descriptor, layers: Sequence[Descriptor], annotations: Mapping[str, str] | None = None
    ) -> Manifest:
        """Makes a new OCI manifest. Its bytes are canonical JSON."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
        if annotations:
            value["annotations"] = dict(annotations)
        return cls(canonical_json(value), OCI_MANIFEST, config, tuple(layers), dict(annotations or {}))

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the manifest itself."""
        return Descriptor(self.media_type, Digest.of(self.raw), len(self.raw))


@dataclass(frozen=True)
class ImageConfig:
    """An image configuration (config.md).

    `value` is the whole JSON object. `diff_ids` are the diff_ids of the layers, in order, the lowest layer first.
    """

    value: Mapping[str, Any] = field(hash=False)
    diff_ids: tuple[Digest, ...]

    @classmethod
    def parse(cls, raw: bytes) -> ImageConfig:
        """Parses a JSON document. Raises BadImage or BadDigest if `raw` is not a valid image configuration."""
        value = json_object(raw, "image configuration")
        try:
            diff_ids = tuple(_digest(text, "image configuration") for text in value["rootfs"]["diff_ids"] or [])
        except (KeyError, TypeError):
            raise BadImage("The image configuration has no rootfs.diff_ids.") from None
        runtime = value.get("config") or {}
        if not isinstance(runtime, dict):
            raise BadImage("The member 'config' of the image configuration is not a JSON object.")
        _check_runtime(runtime)
        return cls(value, diff_ids)

    @property
    def architecture(self) -> str:
        """The GOARCH name of the processor, such as ``amd64``. Empty if the configuration does not name it."""
        return str(self.value.get("architecture", ""))

    @property
    def runtime(self) -> Mapping[str, Any]:
        """The member ``config``: Env, Entrypoint, Cmd, User, Labels and others."""
        return self.value.get("config") or {}

    def with_value(self, value: Mapping[str, Any], diff_ids: Sequence[Digest]) -> ImageConfig:
        """Returns a configuration with other content.

        Args:
            value: the new JSON object. Its ``rootfs`` is replaced.
            diff_ids: the diff_ids that the new ``rootfs`` lists.
        """
        rootfs = {"type": "layers", "diff_ids": [str(digest) for digest in diff_ids]}
        return replace(self, value={**value, "rootfs": rootfs}, diff_ids=tuple(diff_ids))

    @property
    def raw(self) -> bytes:
        """The configuration as canonical JSON."""
        return canonical_json(self.value)

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the canonical JSON."""
        return Descriptor(OCI_CONFIG, Digest.of(self.raw), len(self.raw))


def _check_runtime(runtime: Mapping[str, Any]) -> None:
    """Raises BadImage if a member has another type than config.md gives it, or has a text that no program can get."""
    for name in ("Env", "Entrypoint", "Cmd"):
        found = runtime.get(name) or []
        if not isinstance(found, list) or not all(isinstance(text, str) and "\0" not in text for text in found):
            raise BadImage(f"The member {name!r} of the image configuration is not a list of texts.")
    for name in ("Labels", "ExposedPorts", "Volumes"):
        if not isinstance(runtime.get(name) or {}, dict):
            raise BadImage(f"The member {name!r} of the image configuration is not a JSON object.")
    if not all(isinstance(text, str) for text in (runtime.get("Labels") or {}).values()):
        raise BadImage("A label of the image configuration is not a text.")


class BlobSource(Protocol):
    """A place from which blobs can be read: the local store, an archive, or a repository of a registry."""

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yields the bytes of a blob in chunks and verifies them.

        Raises ContentMismatch, at the latest after the last chunk, if the digest or the size differs.
        """
        ...


@dataclass(frozen=True)
class Image:
    """A complete image.

    Args:
        manifest: the manifest.
        config: the bytes of the image configuration.
        sources: for the digest of each layer, the place from which the layer can be read.
    """

    manifest: Manifest
    config: bytes
    sources: Mapping[Digest, BlobSource] = field(hash=False, repr=False)

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yields the bytes of the configuration or of a layer, in chunks."""
        if descriptor.digest == self.manifest.config.digest:
            return iter((self.config,))
        return self.sources[descriptor.digest].read(descriptor)

    @property
    def size(self) -> int:
        """The size in bytes of the configuration and of all layer blobs. The layer blobs are usually compressed."""
        return self.manifest.config.size + sum(layer.size for layer in self.manifest.layers)


_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def names_registry(name: str) -> bool:
    """Whether the name of an image begins with a registry, as Docker decides it: localhost, or with a dot or port."""
    head, slash, _ = name.partition("/")
    return bool(slash) and (head == "localhost" or "." in head or ":" in head)


def with_registry(name: str, registry: str) -> str:
    """Returns the name of an image with a registry, and path in it, before it, if the name itself has none."""
    return name if not name or not registry or names_registry(name) else f"{registry.rstrip('/')}/{name}"


@dataclass(frozen=True)
class Reference:
    """The name of an image: ``registry/repository:tag`` or ``registry/repository@digest``.

    A name without a registry belongs to Docker Hub (``docker.io``), and is `bare`. If such a name has only one
    component, the prefix ``library/`` is added, as Docker does.

    Source: distribution-spec "Pulling manifests" and github.com/distribution/reference.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: Digest | None = None
    bare: bool = field(default=False, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parses a reference. If the text has neither a tag nor a digest, the tag is ``latest``.

        Raises:
            BadReference: the text is not a reference; the message names the part that is wrong.
            BadDigest: the text after ``@`` is not a digest.
        """
        name, at, digest_text = text.strip().partition("@")
        digest = Digest.parse(digest_text) if at else None
        bare = not names_registry(name)
        registry, _, path = ("docker.io", "", name) if bare else name.partition("/")
        path, colon, tag = path.partition(":")
        if registry in ("index.docker.io", "registry-1.docker.io"):
            registry = "docker.io"
        if registry == "docker.io" and path and "/" not in path:
            path = f"library/{path}"
        if not _HOST.fullmatch(registry):
            raise BadReference(f"{text[:300]!r} is not an image reference: {registry[:100]!r} is not a host name.")
        if len(path) > 255 or not _REPOSITORY.fullmatch(path):
            raise BadReference(
                f"{text[:300]!r} is not an image reference: the name of a repository contains only lower-case letters, "
                "digits and . _ - (at most 255 characters)."
            )
        if colon and not _TAG.fullmatch(tag):
            raise BadReference(
                f"{text[:300]!r} is not an image reference: a tag contains only letters, digits and . _ - (at most 128 "
                "characters)."
            )
        return cls(registry, path, tag or ("" if digest else "latest"), digest, bare)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def target(self) -> str:
        """The digest if the reference has one, else the tag. Registries use it to find the manifest."""
        return str(self.digest) if self.digest else self.tag
