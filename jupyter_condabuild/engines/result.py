"""BuildResult: the result of a build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_condabuild.events import Finished

if TYPE_CHECKING:
    from jupyter_condabuild.image.layers import ReadyLayer
    from jupyter_condabuild.oci.image import Image


@dataclass(frozen=True)
class BuildResult:
    """The event that ended the build and, for the layers engine, the image.

    `layers` are the layers above the base. `base` is the digest that the name of the base stands for in its registry,
    or empty.
    """

    event: Finished
    image: Image | None = None
    layers: tuple[ReadyLayer, ...] = ()
    base: str = ""
