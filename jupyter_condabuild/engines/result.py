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
    """The event that ended the build and, from the layers engine, the image.

    `layers` are the layers above the base, `base` is the digest that the base's name has.
    """

    event: Finished
    image: Image | None = None
    layers: tuple[ReadyLayer, ...] = ()
    base: str = ""
