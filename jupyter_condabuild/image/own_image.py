"""An image of the layers engine in a repository: its parts, as its manifest and its configuration describe them."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.image.configuration import Ours
from jupyter_condabuild.image.layers import ReadyLayer
from jupyter_condabuild.oci.documents import read_document
from jupyter_condabuild.oci.image import ImageConfig, Manifest, Reference
from jupyter_condabuild.oci.repository import Repository


@dataclass(frozen=True)
class OwnImage:
    """An image: its manifest, configuration and description, and the repository of its layers."""

    manifest: Manifest
    config: ImageConfig
    ours: Ours
    repository: Repository

    @classmethod
    def of(cls, manifest: Manifest, repository: Repository) -> OwnImage:
        """Reads the configuration of an image.

        Raises BadImage if the layers engine did not make the image, LockfileError, RegistryError.
        """
        config = ImageConfig.parse(read_document(repository, manifest.config))
        return cls(manifest, config, Ours.read(config), repository)

    @classmethod
    def named(cls, reference: Reference, repository: Repository) -> OwnImage:
        """Reads an image by its tag or digest. Raises BadImage for an index, and the errors of `of`."""
        manifest = repository.manifest(reference.target)
        if not isinstance(manifest, Manifest):
            raise BadImage(
                f"{reference} is an index of images for several platforms.", "Name one of its images by digest."
            )
        return cls.of(manifest, repository)

    @property
    def layers(self) -> tuple[ReadyLayer, ...]:
        """The layers above the base, including the stale layers. Raises BadImage."""
        own = self.ours.layers(self.manifest, self.config)
        return tuple(ReadyLayer(*row[:2], self.repository, row.title, "reused-remote") for row in own)
