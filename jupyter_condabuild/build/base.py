"""The base image: a name to a manifest, a configuration and a place that has the layers, none of them downloaded."""

from __future__ import annotations

import platform
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from jupyter_condabuild.errors import BaseUnavailable, CondaBuildError
from jupyter_condabuild.oci import image
from jupyter_condabuild.oci.archive import Archive
from jupyter_condabuild.oci.daemon import Daemon
from jupyter_condabuild.oci.image import Descriptor, Digest, Image, ImageConfig, Index, Manifest, Reference
from jupyter_condabuild.oci.registry import Repository, open_registry

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "ppc64le": "ppc64le"}
PLATFORMS = {"linux-64": "amd64", "linux-aarch64": "arm64", "linux-ppc64le": "ppc64le"}
"""conda's platform names and the GOARCH names of image configurations."""


@dataclass(frozen=True)
class Base:
    """A resolved base image. `repository` is where its layers can be mounted from, for one that lies in a registry."""

    name: str
    digest: Digest
    image: Image
    repository: Repository | None = None

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
    name: str, architecture: str, stack: ExitStack, work: Path, *, insecure: Collection[str] = (), docker_host: str = ""
) -> Base:
    """Finds the base image for a processor (GOARCH name); what it opens is closed with `stack`.

    `name` is a reference, ``oci-archive:FILE``, ``docker-archive:FILE`` or ``docker-daemon:NAME``. Raises
    BaseUnavailable with the reason.
    """
    kind, colon, rest = name.partition(":")
    try:
        if colon and kind in ("oci-archive", "docker-archive", "oci"):
            found = stack.enter_context(Archive(Path(rest))).image(architecture)
        elif colon and kind == "docker-daemon":
            daemon = stack.enter_context(Daemon.connect(docker_host or None))
            found = stack.enter_context(daemon.export(rest, work)).image(architecture)
        else:
            return _from_registry(Reference.parse(name), architecture, stack, insecure)
        return Base(rest if kind == "docker-daemon" else Path(rest).name, found.manifest.descriptor.digest, found)
    except BaseUnavailable:
        raise
    except CondaBuildError as error:
        raise BaseUnavailable(f"The base image {name} cannot be had: {error.message}", error.hint or None) from None


def _from_registry(reference: Reference, architecture: str, stack: ExitStack, insecure: Collection[str]) -> Base:
    repository = stack.enter_context(open_registry(reference, insecure)).repository(reference.repository)
    found = repository.manifest(reference.target)
    if isinstance(found, Index):
        found = repository.manifest(str(found.select(architecture).digest))
    if not isinstance(found, Manifest):
        raise BaseUnavailable(f"{reference} names an index of indexes, not an image.")
    config = b"".join(repository.read(found.config))
    actual = ImageConfig.parse(config).architecture
    if actual and actual != architecture:
        raise BaseUnavailable(f"{reference} is an image for {actual}, the environment is for {architecture}.")
    digest = found.descriptor.digest
    whole = Image(found, config, {layer.digest: repository for layer in found.layers})
    return Base(str(reference), digest, whole, repository)


def host_architecture() -> str:
    """GOARCH name of this machine's processor."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())
