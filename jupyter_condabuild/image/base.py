"""The base image: its name is resolved to a manifest, a configuration and a source of the layers. No layer is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from jupyter_condabuild.errors import BaseUnavailable, CondaBuildError, ContentMismatch, RegistryError
from jupyter_condabuild.image.configuration import BASE_NAME, LABEL_BASE_LAYERS, LABEL_ENGINE
from jupyter_condabuild.image.platforms import PLATFORMS, host_architecture
from jupyter_condabuild.oci import image
from jupyter_condabuild.oci.documents import read_document
from jupyter_condabuild.oci.image import Descriptor, Digest, Image, ImageConfig, Manifest, Reference
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.requests.job_context import JobContext


@dataclass(frozen=True)
class Base:
    """A resolved base image.

    If the image is in a registry, `repository` is the repository from which its layers can be mounted, and `named` is
    the digest that its name has there. That is the digest of an index if the name has images for several platforms.
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
        """The base's layers with OCI media types. Annotations of the tool that made the base are left out."""
        return tuple(
            Descriptor(_oci_media_type(layer.media_type), layer.digest, layer.size)
            for layer in self.image.manifest.layers
        )


def _oci_media_type(media_type: str) -> str:
    return image.OCI_LAYER_GZIP if media_type == image.DOCKER_LAYER_GZIP else media_type


def resolve(
    location: ImageLocation, architecture: str, job: JobContext, *, patient: bool = True, makes: bool = True
) -> Base:
    """Resolves the base image at a location. Archives and engines are closed when the job ends.

    The store keeps the manifest and the configuration of an image in a registry. So the registry is asked only for the
    digest that the name has now.

    Args:
        architecture: the processor, as a GOARCH name.
        patient: whether a failed request to a registry is repeated.
        makes: whether a base of Debian's packages is made. If not, its layer may be `debian_image.NOT_MADE`.

    Raises BaseUnavailable with the reason, also for an image that has an environment itself.
    """
    found = _found(location, architecture, job, patient=patient, makes=makes)
    refuse_environment(location, found.config.runtime.get("Labels") or {})
    return found


def refuse_environment(location: ImageLocation, labels: Mapping[str, str]) -> None:
    """Raises BaseUnavailable if the labels of a base are those of an image of ours: it has an environment itself."""
    if LABEL_BASE_LAYERS in labels or LABEL_ENGINE in labels:
        below = f": --base {str(labels[BASE_NAME])[:200]}" if labels.get(BASE_NAME) else ""
        raise BaseUnavailable(
            f"The base {location} already contains an environment, in the folder of the new environment.",
            f"Name the base of that image{below}, or another image without an environment of jupyter-condabuild.",
        )


def _found(location: ImageLocation, architecture: str, job: JobContext, *, patient: bool, makes: bool) -> Base:
    try:
        if location.kind == "registry":
            repository = job.repository(location.reference, patient=patient)
            return _from_registry(location.reference, architecture, repository, job.store)
        if location.kind == "debian-packages" and not makes:
            from jupyter_condabuild.image.debian_image import find, preview

            saved = preview(find(location.name, architecture, job), job)
        else:
            from jupyter_condabuild.image.opener import open_saved  # a base of a registry needs no engine

            saved = open_saved(location, architecture, job)
    except CondaBuildError as error:
        if isinstance(error, BaseUnavailable) and location.kind != "debian-packages":
            raise
        raise BaseUnavailable(
            f"The base image {location} is not available: {error.message}", error.hint or None
        ) from error
    name = location.path.name if location.is_file else location.name
    name = str(location) if location.kind == "debian-packages" else name
    return Base(name, saved.manifest.descriptor.digest, saved)


def platform_of(location: ImageLocation, job: JobContext) -> str:
    """Returns conda's name of a base's platform; empty if the base is in an engine, or is not available.

    Of a base for several platforms, it is that of this machine's processor, else the first one of `PLATFORMS`.
    """
    if location.kind == "docker-daemon":  # the engine would export the whole image
        return ""
    for name in sorted(PLATFORMS, key=lambda name: PLATFORMS[name] != host_architecture()):
        try:
            resolve(location, PLATFORMS[name], job, patient=False, makes=False)
        except BaseUnavailable as error:
            if isinstance(error.__cause__, RegistryError):
                break
        else:
            return name
    return ""


def _from_registry(reference: Reference, architecture: str, repository: Repository, store: Store) -> Base:
    named = repository.head(reference.target)
    manifest = _manifest(repository, named, store) if named else repository.manifest(reference.target)
    if isinstance(manifest, Index):
        manifest = _manifest(repository, manifest.select(architecture), store)
    if not isinstance(manifest, Manifest):
        raise BaseUnavailable(f"{reference} names an index of indexes, not an image.")
    config = _kept(store, manifest.config, lambda: read_document(repository, manifest.config))
    actual = ImageConfig.parse(config).architecture
    if actual and actual != architecture:
        raise BaseUnavailable(f"{reference} is an image for {actual}, but the environment is for {architecture}.")
    digest = manifest.descriptor.digest
    resolved = Image(manifest, config, {layer.digest: repository for layer in manifest.layers})
    return Base(str(reference), digest, resolved, repository, named.digest if named else None)


def _manifest(repository: Repository, descriptor: Descriptor, store: Store) -> Manifest | Index:
    raw = _kept(store, descriptor, lambda: repository.manifest(str(descriptor.digest)).raw)
    kind = Index if descriptor.media_type in image.INDEXES else Manifest
    return kind.parse(raw, descriptor.media_type)


def _kept(store: Store, descriptor: Descriptor, read: Callable[[], bytes]) -> bytes:
    """Returns the bytes of a blob from the store. If the store does not have them, reads them and puts them there."""
    if store.has(descriptor):
        with suppress(ContentMismatch):
            return read_document(store, descriptor)
    data = read()
    store.put(descriptor, [data])
    return data
