"""The base image: a name to a manifest, a configuration and a place that has the layers, none of them downloaded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from jupyter_condabuild.errors import BaseUnavailable, CondaBuildError, ContentMismatch
from jupyter_condabuild.image.opener import open_saved
from jupyter_condabuild.oci import image
from jupyter_condabuild.oci.image import Descriptor, Digest, Image, ImageConfig, Index, Manifest, Reference
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.requests.job_context import JobContext


@dataclass(frozen=True)
class Base:
    """A resolved base image.

    Of one that lies in a registry, `repository` is where its layers can be mounted from, and `named` the digest that
    its name has there: that of an index, where the image is one of several.
    """

    name: str
    digest: Digest
    image: Image
    repository: Repository | None = None
    named: Digest | None = None

    @property
    def config(self) -> ImageConfig:
        """The base's configuration."""
        return ImageConfig.parse(self.image.config)

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The base's layers with OCI's media type names; annotations of other tools are not ours to repeat."""
        return tuple(
            Descriptor(_oci_media_type(layer.media_type), layer.digest, layer.size)
            for layer in self.image.manifest.layers
        )


def _oci_media_type(media_type: str) -> str:
    return image.OCI_LAYER_GZIP if media_type == image.DOCKER_LAYER_GZIP else media_type


def resolve(location: ImageLocation, architecture: str, job: JobContext) -> Base:
    """Finds the base image for a processor (GOARCH name); archives and engines are closed when the job ends.

    The store keeps what a registry said of an image, so that the registry is asked only whether the name means another
    image now. Raises BaseUnavailable with the reason.
    """
    try:
        if location.kind == "registry":
            return _from_registry(location.reference, architecture, job)
        found = open_saved(location, architecture, job)
    except BaseUnavailable:
        raise
    except CondaBuildError as error:
        raise BaseUnavailable(f"The base image {location} cannot be had: {error.message}", error.hint or None) from None
    name = location.path.name if location.is_file else location.name
    return Base(name, found.manifest.descriptor.digest, found)


def _from_registry(reference: Reference, architecture: str, job: JobContext) -> Base:
    repository, store = job.repository(reference), job.store
    named = repository.head(reference.target)
    found = _manifest(repository, named, store) if named else repository.manifest(reference.target)
    if isinstance(found, Index):
        found = _manifest(repository, found.select(architecture), store)
    if not isinstance(found, Manifest):
        raise BaseUnavailable(f"{reference} names an index of indexes, not an image.")
    config = _kept(store, found.config, lambda: b"".join(repository.read(found.config)))
    actual = ImageConfig.parse(config).architecture
    if actual and actual != architecture:
        raise BaseUnavailable(f"{reference} is an image for {actual}, the environment is for {architecture}.")
    digest = found.descriptor.digest
    whole = Image(found, config, {layer.digest: repository for layer in found.layers})
    return Base(str(reference), digest, whole, repository, named.digest if named else None)


def _manifest(repository: Repository, descriptor: Descriptor, store: Store) -> Manifest | Index:
    raw = _kept(store, descriptor, lambda: repository.manifest(str(descriptor.digest)).raw)
    kind = Index if descriptor.media_type in image.INDEXES else Manifest
    return kind.parse(raw, descriptor.media_type)


def _kept(store: Store, descriptor: Descriptor, read: Callable[[], bytes]) -> bytes:
    """Bytes from the store, read and put there where it has none."""
    if store.has(descriptor):
        with suppress(ContentMismatch):
            return b"".join(store.read(descriptor))
    data = read()
    store.put(descriptor, [data])
    return data
