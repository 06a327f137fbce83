"""BuildResult: what an engine returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_condabuild.events import Finished

if TYPE_CHECKING:
    from jupyter_condabuild.image.layers import ReadyLayer
    from jupyter_condabuild.oci.image import Image


@dataclass(frozen=True)
class BuildResult:
    """The event that ended the build and, where the layers engine made one, the image.

    `layers` are those above the base, `base` is the digest that the base's name has, `sources` are folders outside of
    the environment that came into the image.
    """

    event: Finished
    image: Image | None = None
    layers: tuple[ReadyLayer, ...] = ()
    base: str = ""
    sources: tuple[str, ...] = ()
