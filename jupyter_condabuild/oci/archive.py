"""Writes an image as one file: an OCI archive or a docker-archive. `archive_reader` reads both.

An OCI archive also contains Docker's ``manifest.json``, which points at the same blobs. So `docker load` of every
engine accepts it, as it accepts the OCI archives of BuildKit. Layers stay compressed in both kinds: every Docker
Engine since 1.10 decompresses them.

Source: OCI image-spec v1.1 (image-layout.md, annotations.md), moby image/tarexport and its image specification v1.2.
"""

from __future__ import annotations

import os
import secrets
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jupyter_condabuild.errors import BadImage, ContentMismatch, DiskFull, StoreError, from_os_error
from jupyter_condabuild.oci.archive_reader import IMAGE_NAME, REF_NAME, Archive, blob_path
from jupyter_condabuild.oci.image import (
    DOCKER_LAYER_GZIP,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_LAYER_TAR,
    Descriptor,
    Image,
    ImageConfig,
    Reference,
    canonical_json,
)
from jupyter_condabuild.oci.index import Index

__all__ = [
    "Archive",
    "ArchiveFile",
    "Kind",
    "Progress",
    "entries",
    "index_entries",
    "naming_errors",
    "replacing",
    "silent",
    "stream",
    "stream_size",
    "write",
    "write_files",
]

Kind = Literal["oci-archive", "docker-archive"]
Progress = Callable[[int, int], None]

_SUFFIXES = {OCI_LAYER_GZIP: "tar.gz", DOCKER_LAYER_GZIP: "tar.gz", OCI_LAYER_TAR: "tar"}
_BLOCK = 512
_END = bytes(2 * _BLOCK)


def silent(complete: int, total: int) -> None:
    """A `Progress` that does nothing. The arguments are the number of bytes that are done, and the total number."""


@dataclass(frozen=True)
class ArchiveFile:
    """A file in an archive: its name, its size in bytes, and a function that yields its content in chunks."""

    name: str
    size: int
    read: Callable[[], Iterator[bytes]]


def entries(image: Image, reference: str, kind: Kind) -> list[ArchiveFile]:
    """Returns the files of an archive in the order of the archive: JSON documents first, then layers, lowest first.

    Args:
        image: the image.
        reference: the name that the image gets when an engine loads the archive. Empty for no name.
        kind: ``oci-archive`` or ``docker-archive``.

    Raises:
        BadReference, BadDigest: `reference` is not empty and not an image reference.
        BadImage: `kind` is ``docker-archive``, and a layer has a compression that `docker load` may not support.
    """
    name = Reference.parse(reference) if reference else None
    manifest, config = image.manifest, image.manifest.config
    parts = (config, *manifest.layers)
    if kind == "oci-archive":
        paths = [blob_path(part.digest) for part in parts]
        head = [
            _entry("oci-layout", canonical_json({"imageLayoutVersion": "1.0.0"})),
            _entry("index.json", canonical_json(_index(image, name))),
            _entry("manifest.json", canonical_json(_docker_manifest(paths, name))),
            _entry(blob_path(manifest.descriptor.digest), manifest.raw),
        ]
    else:
        paths = [f"{config.digest.hex}.json", *(_layer_path(layer) for layer in manifest.layers)]
        head = [_entry("manifest.json", canonical_json(_docker_manifest(paths, name)))]
    blobs = {path: ArchiveFile(path, part.size, _reader(image, part)) for path, part in zip(paths, parts, strict=True)}
    return [*head, *blobs.values()]


def index_entries(index: Index, images: Sequence[Image], reference: str) -> list[ArchiveFile]:
    """Returns the files of an OCI archive with an index and its images. Blobs that images share are there once.

    There is no ``manifest.json``: it could name only one of the images.

    Raises BadReference, BadDigest.
    """
    name = Reference.parse(reference) if reference else None
    documents = {
        index.descriptor.digest: index.raw,
        **{one.manifest.descriptor.digest: one.manifest.raw for one in images},
    }
    head = [
        _entry("oci-layout", canonical_json({"imageLayoutVersion": "1.0.0"})),
        _entry("index.json", canonical_json(_listing(index.descriptor.to_json(), name))),
        *(_entry(blob_path(digest), raw) for digest, raw in documents.items()),
    ]
    blobs: dict[str, ArchiveFile] = {}
    for image in images:
        for part in (image.manifest.config, *image.manifest.layers):
            path = blob_path(part.digest)
            blobs.setdefault(path, ArchiveFile(path, part.size, _reader(image, part)))
    return [*head, *blobs.values()]


def stream(files: list[ArchiveFile]) -> Iterator[bytes]:
    """Yields the bytes of the archive in chunks. The tar headers contain nothing about this machine, user or time.

    Raises:
        ContentMismatch: a blob is longer or shorter than its descriptor says.
    """
    for file in files:
        header = tarfile.TarInfo(file.name)
        header.size = file.size
        yield header.tobuf(tarfile.GNU_FORMAT)
        written = 0
        for chunk in file.read():
            written += len(chunk)
            if written > file.size:
                break
            yield chunk
        if written != file.size:
            raise ContentMismatch(f"{file.name} does not have the {file.size} bytes that the image's manifest states.")
        yield bytes(-written % _BLOCK)
    yield _END


def stream_size(files: list[ArchiveFile]) -> int:
    """Returns the number of bytes that `stream` yields."""
    return sum(_BLOCK + file.size + -file.size % _BLOCK for file in files) + len(_END)


def write(image: Image, reference: str, out: Path, kind: Kind = "oci-archive", progress: Progress = silent) -> None:
    """Writes an image to a file. The same image and reference give the same bytes.

    The bytes go to a temporary file in the same folder, which is then renamed to `out`. If an error occurs, `out` is
    unchanged and the temporary file is removed.

    Args:
        image: the image.
        reference: the name that the image gets when an engine loads the archive. Empty for no name.
        out: the path of the archive. An existing file is replaced.
        kind: ``oci-archive`` or ``docker-archive``.
        progress: called with the number of bytes written so far and the total number of bytes.

    Raises:
        StoreError: the file cannot be written (DiskFull, StoreUnwritable), or its folder does not exist.
        BadReference, BadDigest, BadImage, ContentMismatch: as `entries` and `stream` raise them.

    The sources of the layers may raise other errors.
    """
    write_files(entries(image, reference, kind), out, progress)


def write_files(files: list[ArchiveFile], out: Path, progress: Progress = silent) -> None:
    """Writes the files of an archive as `write` does. Raises StoreError, ContentMismatch."""
    total, complete = stream_size(files), 0
    with replacing(out) as part:
        with naming_errors(out):
            file = part.open("xb", buffering=0)
        try:
            for chunk in stream(files):
                with naming_errors(out):
                    _write_all(file.fileno(), chunk)
                complete += len(chunk)
                progress(complete, total)
        finally:
            with naming_errors(out):
                file.close()


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Yields the path of a new file in the folder of `out`, which is renamed to `out` at the end.

    If an error occurs, `out` is unchanged and the new file is removed. If `out` is a symbolic link, its target is
    replaced.

    Raises StoreError if the folder does not exist, or if `out` exists and is not a file.
    """
    with naming_errors(out):
        target = out.resolve()
        if target.exists() and not target.is_file():
            raise StoreError(f"{out} exists and is not a file.", "Name another file with -o.")
        if not target.parent.is_dir():
            raise StoreError(
                f"{out.name} cannot be written: the folder {target.parent} does not exist.", "Create the folder first."
            )
    part = target.with_name(f".condabuild-{secrets.token_hex(8)}.part")
    try:
        yield part
        with naming_errors(out):
            part.replace(target)
    except BaseException:
        with suppress(OSError):  # the error that is raised tells more
            part.unlink()
        raise


def _write_all(fd: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]


@contextmanager
def naming_errors(out: Path) -> Iterator[None]:
    """Raises an OSError as a StoreError that names the archive `out`."""
    try:
        yield
    except OSError as error:
        error.filename = str(out)
        named = from_os_error(error, "writing the archive")
        advice = "Free space on that disk, or name" if isinstance(named, DiskFull) else "Name"
        named.hint = f"{advice} a file in another folder with -o."
        raise named from None


def _entry(name: str, data: bytes) -> ArchiveFile:
    return ArchiveFile(name, len(data), lambda: iter((data,)))


def _reader(image: Image, part: Descriptor) -> Callable[[], Iterator[bytes]]:
    return lambda: image.read(part)


def _layer_path(layer: Descriptor) -> str:
    suffix = _SUFFIXES.get(layer.media_type)
    if suffix is None:
        raise BadImage(
            f"A docker-archive cannot contain a layer with the media type {layer.media_type[:100]!r}.",
            "Write an OCI archive instead (-o FILE.tar), or build with gzip layers.",
        )
    return f"{layer.digest.hex}.{suffix}"


def _index(image: Image, name: Reference | None) -> dict[str, object]:
    """Returns index.json for one image."""
    entry = image.manifest.descriptor.to_json()
    config = ImageConfig.parse(image.config).value
    entry["platform"] = {key: config[key] for key in ("architecture", "os", "variant") if config.get(key)}
    return _listing(entry, name)


def _listing(entry: dict[str, Any], name: Reference | None) -> dict[str, object]:
    """Returns index.json. Podman and containerd take the name of the image from it, umoci and skopeo the tag."""
    if name:
        entry["annotations"] = {IMAGE_NAME: str(name), REF_NAME: name.tag} if name.tag else {IMAGE_NAME: str(name)}
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}


def _docker_manifest(paths: list[str], name: Reference | None) -> list[dict[str, object]]:
    tags = [f"{name.registry}/{name.repository}:{name.tag}"] if name and name.tag else None
    return [{"Config": paths[0], "RepoTags": tags, "Layers": paths[1:]}]
