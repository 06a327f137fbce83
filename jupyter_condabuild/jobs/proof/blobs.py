"""The blobs of an image: all are read, and hashed compressed and decompressed."""

from __future__ import annotations

import hashlib

from jupyter_condabuild.errors import BadImage, ContentMismatch
from jupyter_condabuild.events import Progress, Report
from jupyter_condabuild.jobs.proof.findings import Findings
from jupyter_condabuild.oci.chunks import BadCompression, plain
from jupyter_condabuild.oci.image import BlobSource, Descriptor, Digest, Image, ImageConfig


def diff_ids(image: Image, report: Report, findings: Findings) -> tuple[Digest | None, ...]:
    """Reads every layer. Returns the digests of their content; None for a layer that cannot be read.

    A layer whose bytes do not match its digest, or whose content does not match the diff_id of the configuration, is
    another. Raises BadImage if the manifest, the configuration and the history have different numbers of layers, and
    RegistryError.
    """
    config = ImageConfig.parse(image.config)
    layers = image.manifest.layers
    if len(layers) != len(config.diff_ids) or len(titles(config)) not in (0, len(layers)):
        raise BadImage(
            "The image's manifest, configuration and history have different numbers of layers.",
            "Build the image again from the environment.",
        )
    total, read = sum(layer.size for layer in layers), 0
    found: list[Digest | None] = []
    known: dict[Digest, Digest | None] = {}
    for number, (layer, claimed) in enumerate(zip(layers, config.diff_ids, strict=True), 1):
        try:
            if layer.digest not in known:
                known[layer.digest] = _content(image, layer)
            found.append(known[layer.digest])
        except (ContentMismatch, BadCompression) as error:
            findings.is_another(f"layer {number} ({layer.digest})", f"its bytes cannot be used: {error}")
            found.append(None)
            continue
        finally:
            read += layer.size
            report(Progress("verify", read, total))
        if found[-1] != claimed:
            findings.is_another(f"layer {number} ({layer.digest})", f"its content is not {claimed}, its diff_id")
    return tuple(found)


def titles(config: ImageConfig) -> list[str]:
    """Returns the history's line for each layer."""
    history = config.value.get("history") or []
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        raise BadImage("The history in the image configuration is not a list of objects.")
    return [str(entry.get("created_by", "")) for entry in history if not entry.get("empty_layer")]


def _content(source: BlobSource, layer: Descriptor) -> Digest:
    chunks = source.read(layer)
    content = hashlib.sha256()
    for part in plain(chunks):
        content.update(part)
    for _ in chunks:
        pass  # the digest is verified with the last chunk
    return Digest(content.hexdigest())
