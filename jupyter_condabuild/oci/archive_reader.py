"""Reads an image from an OCI archive, an OCI layout folder or a docker-archive, without unpacking it.

Source: OCI image-spec v1.1 (image-layout.md), moby image specification v1.2 ("Combined Image JSON").
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from jupyter_condabuild.errors import BadImage, ContentMismatch
from jupyter_condabuild.oci.chunks import BadCompression, compression, plain
from jupyter_condabuild.oci.documents import read_document
from jupyter_condabuild.oci.files import Files, FolderFiles, TarFiles
from jupyter_condabuild.oci.image import (
    INDEXES,
    MANIFESTS,
    MOST_JSON,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_LAYER_TAR,
    OCI_LAYER_ZSTD,
    Descriptor,
    Digest,
    Image,
    ImageConfig,
    Manifest,
)
from jupyter_condabuild.oci.index import Index

IMAGE_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"
_NESTING = 3
_COPY_AGAIN = "Make or copy the archive again."
_T = TypeVar("_T")


class Archive:
    """An OCI archive, an OCI layout folder or a docker-archive. The content shows which of the three it is.

    Nothing is unpacked. Each blob is verified while it is read. An image from an archive can be used until the archive
    is closed.
    """

    def __init__(self, source: Path | BinaryIO, where: str = "") -> None:
        """Opens the archive and finds the files in it.

        Args:
            source: the path of a file or folder, or an open file. `close` closes the open file too.
            where: the name of an open file in error messages.

        Raises:
            BadImage: the file does not exist, cannot be read, or is none of the three kinds.
        """
        self._files = _open(source, where)
        self._is_oci = self._files.size("index.json") is not None
        if not self._is_oci and self._files.size("manifest.json") is None:
            self.close()
            raise BadImage(f"{self._files.where} is not an image: it contains neither index.json nor manifest.json.")

    def close(self) -> None:
        """Closes the file."""
        self._files.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def digests(self) -> tuple[Digest, ...]:
        """The digests of the images that an OCI archive or layout lists; none for a docker-archive. Raises BadImage."""
        if not self._is_oci:
            return ()
        return tuple(entry.digest for entry in Index.parse(self._json("index.json"), OCI_INDEX).manifests)

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """The images of an index in an OCI archive or layout; empty if it has only an image. Raises BadImage."""
        if not self._is_oci:
            return ()
        entries = Index.parse(self._json("index.json"), OCI_INDEX).manifests
        inner = [Index.parse(self._blob(entry), entry.media_type) for entry in entries if entry.media_type in INDEXES]
        return tuple(image for index in inner for image in index.images)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the archive gives its images. Raises BadImage, BadDigest."""
        if self._is_oci:
            entries = Index.parse(self._json("index.json"), OCI_INDEX).manifests
            return tuple(name for entry in entries for name in _names(entry))
        return tuple(name for image in self._docker_images() for name in image[1])

    @property
    def kind(self) -> Literal["oci-archive", "docker-archive"]:
        """The prefix of the archive's name, see `location`."""
        return "oci-archive" if self._is_oci else "docker-archive"

    def image(self, architecture: str) -> Image:
        """Returns the image for a processor.

        The layers of a docker-archive are not converted. Most of them are plain tars, whose digests are known without
        reading them.

        Args:
            architecture: the GOARCH name of the processor, such as ``amd64``.

        Raises:
            BadImage: the archive contains no such image, or several, or parts of the image are missing or not valid.
            BadDigest: a digest in the archive is not valid.
            ContentMismatch: a part does not match its digest or size.
        """
        try:
            image = self._oci_image(architecture) if self._is_oci else self._docker_image(architecture)
            config = ImageConfig.parse(image.config)
        except RecursionError:
            raise BadImage(f"{self._files.where} contains JSON that is nested too deeply.", _COPY_AGAIN) from None
        if config.architecture != architecture:
            raise BadImage(
                f"{self._files.where} contains an image for {config.architecture[:40]!r}, not for {architecture}."
            )
        if len(config.diff_ids) != len(image.manifest.layers):
            raise BadImage(
                f"{self._files.where} contains an image whose manifest and configuration list different layers."
            )
        return image

    def _oci_image(self, architecture: str) -> Image:
        index = Index.parse(self._json("index.json"), OCI_INDEX)
        manifests = {m.raw: m for entry in index.manifests for m in self._manifests(entry, architecture, _NESTING)}
        manifest = self._only(
            list(manifests.values()), architecture, [n for entry in index.manifests for n in _names(entry)[:1]]
        )
        blobs = Blobs(self._files, {part.digest: blob_path(part.digest) for part in manifest.layers})
        for layer in manifest.layers:
            blobs.check(layer)
        return Image(manifest, self._blob(manifest.config), {layer.digest: blobs for layer in manifest.layers})

    def _manifests(self, entry: Descriptor, architecture: str, nesting: int) -> Iterator[Manifest]:
        """Yields the manifests for a processor to which an entry of an index leads, also through nested indexes."""
        platform = entry.platform or {}
        if platform.get("architecture", architecture) != architecture or platform.get("os", "linux") != "linux":
            return
        if entry.media_type in INDEXES and nesting:
            for inner in Index.parse(self._blob(entry), entry.media_type).manifests:
                yield from self._manifests(inner, architecture, nesting - 1)
        elif entry.media_type in MANIFESTS:
            manifest = Manifest.parse(self._blob(entry), entry.media_type)
            if platform or ImageConfig.parse(self._blob(manifest.config)).architecture == architecture:
                yield manifest

    def _docker_image(self, architecture: str) -> Image:
        images = self._docker_images()
        config_path, _, paths = self._only(images, architecture, [tag for image in images for tag in image[1]])
        raw = self._json(config_path)
        diff_ids = ImageConfig.parse(raw).diff_ids
        # Docker before 25 saves one of several equal layers as a file and the others as links to it. Only the file is
        # read.
        present = {
            diff_id: path for diff_id, path in zip(diff_ids, paths, strict=False) if self._files.size(path) is not None
        }
        layers = {diff_id: self._docker_layer(diff_id, path) for diff_id, path in present.items()}
        if missing := [path for diff_id, path in zip(diff_ids, paths, strict=False) if diff_id not in layers]:
            raise BadImage(f"{self._files.where} does not contain the layer {missing[0][:200]!r}.", _COPY_AGAIN)
        blobs = Blobs(self._files, {layers[diff_id].digest: path for diff_id, path in present.items()})
        config = Descriptor(OCI_CONFIG, Digest.of(raw), len(raw))
        manifest = Manifest.make(config, [layers[diff_id] for diff_id in diff_ids[: len(paths)]])
        return Image(manifest, raw, {layer.digest: blobs for layer in manifest.layers})

    def _docker_images(self) -> list[tuple[str, list[str], list[str]]]:
        """Returns the path of the configuration, the names, and the paths of the layers of each image."""
        try:
            return [
                (str(image["Config"]), list(map(str, image.get("RepoTags") or [])), list(map(str, image["Layers"])))
                for image in json.loads(self._json("manifest.json"))
            ]
        except (ValueError, TypeError, KeyError, AttributeError):
            raise BadImage(
                f"{self._files.where} contains a manifest.json that is not in Docker's format.", _COPY_AGAIN
            ) from None

    def _docker_layer(self, diff_id: Digest, path: str) -> Descriptor:
        """Returns the descriptor of a layer file.

        The digest of a plain tar is its diff_id. A compressed file is read to compute its digest and its diff_id.
        """
        size = self._files.size(path) or 0
        kind = compression(next(self._files.read(path), b""))
        if not kind:
            return Descriptor(OCI_LAYER_TAR, diff_id, size)
        compressed, content = hashlib.sha256(), hashlib.sha256()
        try:
            for part in plain(_hashed(self._files.read(path), compressed)):
                content.update(part)
        except BadCompression as error:
            raise BadImage(
                f"The layer {path[:200]!r} in {self._files.where} cannot be decompressed: {error}."
            ) from None
        if Digest(content.hexdigest()) != diff_id:
            raise ContentMismatch(
                f"The layer {path[:200]!r} in {self._files.where} does not match its diff_id {diff_id}.", _COPY_AGAIN
            )
        media_type = OCI_LAYER_GZIP if kind == "gzip" else OCI_LAYER_ZSTD
        return Descriptor(media_type, Digest(compressed.hexdigest()), size)

    def _only(self, matches: Sequence[_T], architecture: str, names: Sequence[str]) -> _T:
        """Returns the only match. Raises BadImage with the names in the archive if there is none, or several."""
        if len(matches) == 1:
            return matches[0]
        listed = ", ".join(sorted(set(names))[:10])[:1000]
        contents = f" It contains {listed}." if listed else ""
        if not matches:
            hint = "Name an archive that has an image for this processor, or choose another platform."
            raise BadImage(f"{self._files.where} contains no image for {architecture}.{contents}", hint)
        raise BadImage(
            f"{self._files.where} contains several images.{contents}", "Use an archive that contains only one image."
        )

    def _json(self, name: str) -> bytes:
        size = self._files.size(name)
        if size is None:
            raise BadImage(f"{self._files.where} does not contain {name[:200]!r}.", _COPY_AGAIN)
        if size > MOST_JSON:
            raise BadImage(f"{name[:200]!r} in {self._files.where} has {size} bytes, too many for a JSON document.")
        return b"".join(self._files.read(name))

    def _blob(self, descriptor: Descriptor) -> bytes:
        return read_document(Blobs(self._files, {descriptor.digest: blob_path(descriptor.digest)}), descriptor)


class Blobs:
    """A `BlobSource` that reads blobs from files.

    Args:
        files: the files of an archive or a folder.
        paths: for the digest of each blob, the name of its file.
    """

    def __init__(self, files: Files, paths: Mapping[Digest, str]) -> None:
        self._files = files
        self._paths = paths

    def check(self, descriptor: Descriptor) -> None:
        """Raises BadImage if the blob is missing, and ContentMismatch if its size is wrong."""
        size = self._files.size(self._paths[descriptor.digest])
        if size is None:
            raise BadImage(f"{self._files.where} does not contain the blob {descriptor.digest}.", _COPY_AGAIN)
        if size != descriptor.size:
            raise ContentMismatch(
                f"The blob {descriptor.digest} in {self._files.where} has {size} bytes instead of {descriptor.size}.",
                _COPY_AGAIN,
            )

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        self.check(descriptor)
        digest = hashlib.new(descriptor.digest.algorithm)
        for chunk in self._files.read(self._paths[descriptor.digest]):
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != descriptor.digest.hex:
            raise ContentMismatch(
                f"The blob {descriptor.digest} in {self._files.where} does not match its digest.", _COPY_AGAIN
            )


def _hashed(chunks: Iterator[bytes], hasher: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        hasher.update(chunk)
        yield chunk


def blob_path(digest: Digest) -> str:
    """Returns the path of a blob in an OCI layout."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _open(source: Path | BinaryIO, where: str) -> Files:
    if not isinstance(source, Path):
        source.flush()
        return TarFiles(source, where or "the archive")
    if source.is_dir():
        return FolderFiles(source)
    if not source.is_file():
        problem = "is not a file or folder" if source.exists() else "does not exist"
        raise BadImage(f"{source} {problem}.", "Name an OCI archive, an OCI layout folder or a docker-archive.")
    try:
        file = source.open("rb", buffering=0)
    except OSError as error:
        raise BadImage(f"{source} cannot be read: {error.strerror}.") from None
    try:
        return TarFiles(file, str(source))
    except BaseException:
        file.close()
        raise


def _names(entry: Descriptor) -> list[str]:
    """Returns the names that an entry of an index gives its image, the most complete name first."""
    return [entry.annotations[key] for key in (IMAGE_NAME, REF_NAME) if key in entry.annotations]
