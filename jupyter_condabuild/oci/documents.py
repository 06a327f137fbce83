"""Reads the JSON documents of images: manifests, indexes and configurations. Their size is bounded."""

from __future__ import annotations

from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.oci.image import MOST_JSON, BlobSource, Descriptor


def read_document(source: BlobSource, descriptor: Descriptor) -> bytes:
    """Returns the bytes of a manifest, an index or a configuration.

    Raises BadImage if it has more than `MOST_JSON` bytes; not one of them is read then. Raises the errors of `read`.
    """
    if descriptor.size > MOST_JSON:
        raise BadImage(
            f"The document {descriptor.digest} of an image has {descriptor.size} bytes. The limit is {MOST_JSON}."
        )
    return b"".join(source.read(descriptor))
