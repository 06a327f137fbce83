"""An image of the layers engine: its parts, as its manifest and its configuration describe them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from jupyter_condabuild.image.configuration import Ours
from jupyter_condabuild.image.layers import ReadyLayer
from jupyter_condabuild.oci.documents import read_document
from jupyter_condabuild.oci.image import BlobSource, ImageConfig, Manifest

Source = TypeVar("Source", bound=BlobSource)
"""The place of an image's layers: a repository, or the local store."""


@dataclass(frozen=True)
class OwnImage(Generic[Source]):
    """An image: its manifest, configuration and description, and the place of its layers."""

    manifest: Manifest
    config: ImageConfig
    ours: Ours
    source: Source

    @classmethod
    def of(cls, manifest: Manifest, source: Source) -> Self:
        """Reads the configuration of an image.

        Raises BadImage if the layers engine did not make the image, LockfileError, RegistryError.
        """
        config = ImageConfig.parse(read_document(source, manifest.config))
        return cls(manifest, config, Ours.read(config), source)

    @property
    def layers(self) -> tuple[ReadyLayer, ...]:
        """The layers above the base, including the stale layers. Raises BadImage."""
        own = self.ours.layers(self.manifest, self.config)
        return tuple(ReadyLayer(*row[:2], self.source, row.title, "reused-remote") for row in own)
