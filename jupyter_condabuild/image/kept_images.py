"""The images that this machine has made: the local store keeps their manifests and configurations, to compare them."""

from __future__ import annotations

from contextlib import suppress

from jupyter_condabuild.errors import BadImage, ContentMismatch, ImageError
from jupyter_condabuild.oci.documents import read_document
from jupyter_condabuild.oci.image import OCI_MANIFEST, Descriptor, Digest, Image, Manifest
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.layout import Store


def keep(image: Image, store: Store) -> None:
    """Keeps the manifest and the configuration of an image. Raises StoreError."""
    manifest = image.manifest
    for descriptor, data in ((manifest.descriptor, manifest.raw), (manifest.config, image.config)):
        if not store.has(descriptor):
            store.put(descriptor, [data])


def keep_index(index: Index, store: Store) -> None:
    """Keeps an index of images. Raises StoreError."""
    if not store.has(index.descriptor):
        store.put(index.descriptor, [index.raw])


def find(digest: Digest, store: Store, architecture: str) -> Image | None:
    """Returns an image by the digest of its manifest, or of an index and a processor (as a GOARCH name).

    Returns None if the store does not have the image. Its layers may be missing.
    """
    with suppress(OSError, ContentMismatch, ImageError):
        raw = read_document(store, Descriptor(OCI_MANIFEST, digest, store.path(digest).stat().st_size))
        with suppress(BadImage):
            return find(Index.parse(raw, OCI_MANIFEST).select(architecture).digest, store, architecture)
        manifest = Manifest.parse(raw, OCI_MANIFEST)
        config = read_document(store, manifest.config)
        return Image(manifest, config, {layer.digest: store for layer in manifest.layers})
    return None
