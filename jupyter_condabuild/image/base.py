"""The base image: a name to a manifest, a configuration and a place that has the layers, none of them downloaded."""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from jupyter_condabuild.errors import BaseUnavailable, CondaBuildError, ContentMismatch
from jupyter_condabuild.oci import image
from jupyter_condabuild.oci.archive import Archive
from jupyter_condabuild.oci.daemon import Daemon
from jupyter_condabuild.oci.image import Descriptor, Digest, Image, ImageConfig, Index, Manifest, Reference
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registries import Registries
from jupyter_condabuild.oci.registry import Repository

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "ppc64le": "ppc64le"}
PLATFORMS = {"linux-64": "amd64", "linux-aarch64": "arm64", "linux-ppc64le": "ppc64le"}
"""conda's platform names and the GOARCH names of image configurations."""


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


def resolve(
    name: str,
    architecture: str,
    registries: Registries,
    store: Store,
    stack: ExitStack,
    work: Path,
    docker_host: str = "",
) -> Base:
    """Finds the base image for a processor (GOARCH name); archives and engines that it opens are closed with `stack`.

    `name` is a reference, ``oci-archive:FILE``, ``docker-archive:FILE`` or ``docker-daemon:NAME``. The store keeps what
    a registry said of an image, so that it is asked only whether the name means another one. Raises BaseUnavailable
    with the reason.
    """
    kind, colon, rest = name.partition(":")
    try:
        if colon and kind in ("oci-archive", "docker-archive", "oci"):
            found = stack.enter_context(Archive(Path(rest))).image(architecture)
        elif colon and kind == "docker-daemon":
            daemon = stack.enter_context(Daemon.connect(docker_host or None))
            found = stack.enter_context(daemon.export(rest, work)).image(architecture)
        else:
            reference = Reference.parse(name)
            return _from_registry(reference, architecture, registries.repository(reference), store)
        return Base(rest if kind == "docker-daemon" else Path(rest).name, found.manifest.descriptor.digest, found)
    except BaseUnavailable:
        raise
    except CondaBuildError as error:
        raise BaseUnavailable(f"The base image {name} cannot be had: {error.message}", error.hint or None) from None


def _from_registry(reference: Reference, architecture: str, repository: Repository, store: Store) -> Base:
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


def host_architecture() -> str:
    """GOARCH name of this machine's processor."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())
