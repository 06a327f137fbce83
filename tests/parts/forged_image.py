"""An image with changed content, in which configuration, manifest and layers agree."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_condabuild.image.platforms import host_architecture
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.archive import Archive
from jupyter_condabuild.oci.image import (
    LAYER_DIFF_ID,
    OCI_LAYER_GZIP,
    BlobSource,
    Descriptor,
    Digest,
    Image,
    ImageConfig,
    Manifest,
    Reference,
    canonical_json,
)
from tests.parts.registry.pushing import connect, opener
from tests.parts.small_image import Memory

Member = tuple[tarfile.TarInfo, bytes]


@dataclass
class Forgery:
    """An image in parts that can be changed."""

    config: dict[str, Any]
    layers: list[Descriptor]
    diff_ids: list[str]
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Path) -> Forgery:
        """Returns the parts of the image in an archive."""
        with Archive(source) as opened:
            image = opened.image(host_architecture())
            blobs = {layer.digest: b"".join(image.read(layer)) for layer in image.manifest.layers}
        config = json.loads(image.config)
        diff_ids = config["rootfs"]["diff_ids"]
        return cls(config, list(image.manifest.layers), diff_ids, blobs, image.manifest.annotations)

    @property
    def runtime(self) -> dict[str, Any]:
        """The member `config` of the configuration."""
        found: dict[str, Any] = self.config["config"]
        return found

    def number(self, name: str) -> int:
        """Returns the position of the layer whose annotations or history contain a text."""
        lines = [entry.get("created_by", "") for entry in self.config["history"] if not entry.get("empty_layer")]
        return next(
            number
            for number, layer in enumerate(self.layers)
            if name in str(layer.annotations) or name in lines[number]
        )

    def change(self, name: str, edit: Callable[[list[Member]], list[Member]], *, honest: bool = False) -> None:
        """Changes the entries of a layer. With `honest`, the annotation and the configuration keep the old diff_id."""
        number = self.number(name)
        old = self.layers[number]
        blob = self.blobs[old.digest]
        content = io.BytesIO(gzip.decompress(blob) if blob.startswith(b"\x1f\x8b") else blob)  # engines do not compress
        with tarfile.open(fileobj=content, errors="surrogateescape") as tar:
            found = [(member, tar.extractfile(member).read() if member.isreg() else b"") for member in tar]  # type: ignore[union-attr]
        data = packed(edit(found))
        blob = gzip.compress(data, mtime=0)
        annotations = dict(old.annotations)
        if not honest:
            self.diff_ids[number] = str(Digest.of(data))
            if LAYER_DIFF_ID in annotations:
                annotations[LAYER_DIFF_ID] = self.diff_ids[number]
        self.layers[number] = Descriptor(OCI_LAYER_GZIP, Digest.of(blob), len(blob), annotations)
        self.blobs[self.layers[number].digest] = blob

    def insert(self, number: int, data: bytes, title: str, **annotations: str) -> None:
        """Inserts a layer with the content of a tar file."""
        blob = gzip.compress(data, mtime=0)
        self.blobs[Digest.of(blob)] = blob
        self.layers.insert(number, Descriptor(OCI_LAYER_GZIP, Digest.of(blob), len(blob), annotations))
        self.diff_ids.insert(number, str(Digest.of(data)))
        self.config["history"].insert(number, {"created_by": title})

    def remove(self, number: int) -> None:
        """Removes a layer."""
        for parts in (self.layers, self.diff_ids, self.config["history"]):
            del parts[number]

    @property
    def image(self) -> Image:
        """Returns the image of the parts."""
        self.config["rootfs"]["diff_ids"] = self.diff_ids
        config = ImageConfig.parse(canonical_json(self.config))
        manifest = Manifest.make(config.descriptor, self.layers, self.annotations)
        memory: BlobSource = Memory(self.blobs)
        return Image(manifest, config.raw, {layer.digest: memory for layer in self.layers})

    def write(self, target: Path, kind: archive.Kind = "oci-archive") -> str:
        """Writes the image to an archive, and returns its name for `verify`."""
        archive.write(self.image, "", target, kind)
        return f"{kind}:{target}"

    def push(self, reference: str) -> str:
        """Pushes the image, and returns its name."""
        name, image = Reference.parse(reference), self.image
        with connect(name.registry) as registry:
            repository = registry.repository(name.repository)
            for layer in self.layers:
                repository.push(layer, opener(self.blobs[layer.digest]))
            repository.push(image.manifest.config, opener(image.config))
            repository.push_manifest(image.manifest, name.target)
        return reference


def packed(found: list[Member]) -> bytes:
    """Returns a tar file of these entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for member, data in found:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def entry(path: str, data: bytes = b"", **properties: Any) -> Member:
    """Returns an entry of a tar file."""
    member = tarfile.TarInfo(path)
    for name, value in {"mode": 0o644, **properties}.items():
        setattr(member, name, value)
    return member, data
