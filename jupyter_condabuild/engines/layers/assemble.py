"""Makes an image from a base and layers: its configuration and its manifest."""

from __future__ import annotations

from collections.abc import Sequence

from jupyter_condabuild.engines.layers.places import variables_of
from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.image.base import Base
from jupyter_condabuild.image.configuration import configuration
from jupyter_condabuild.image.layers import LayerStack
from jupyter_condabuild.oci.image import Digest, Image, ImageConfig, Manifest
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.requests.build import PlanRequest

MOST_LAYERS = 125
"""The highest number of layers that most container engines support (moby's limit on the depth of a stack)."""


def assemble(base: Base, above: LayerStack, inputs: Inputs, request: PlanRequest) -> Image:
    """Returns the image of a build.

    Args:
        above: the layers above the base.

    Raises BadImage if the image has more layers than container engines support, BaseUnavailable if the base already
    contains an environment.
    """
    layers = above.layers
    check_depth(base, len(layers))
    config = image_configuration(
        base, [(layer.diff_id, layer.title) for layer in layers], inputs, request, stale=above.stale
    )
    descriptors = [*base.layers, *(layer.descriptor for layer in layers)]
    manifest = Manifest.make(config.descriptor, descriptors, above.notes)
    sources = {**base.image.sources, **{layer.descriptor.digest: layer.source for layer in layers}}
    return Image(manifest, config.raw, sources)


def image_configuration(
    base: Base, layers: Sequence[tuple[Digest, str]], inputs: Inputs, request: PlanRequest, *, stale: int = 0
) -> ImageConfig:
    """Returns the configuration of an image.

    Args:
        layers: the diff_ids and the titles of the layers above the base.
        stale: the size in bytes of the layers that later layers replace.
    """
    environment = inputs.carried.environment if inputs.carried else inputs.environment
    return configuration(
        base.config,
        base.name,
        base.digest,
        [*base.config.diff_ids, *(diff_id for diff_id, _ in layers)],
        [title for _, title in layers],
        inputs.lockfile,
        variables=variables_of(environment, inputs.own) if environment and request.variables else None,
        stale=stale,
    )


def check_depth(base: Base, layers: int) -> None:
    """Checks that a base can have so many layers above it.

    Raises BadImage if the image would have more layers than container engines support.
    """
    if len(base.layers) + layers > MOST_LAYERS:
        raise BadImage(
            f"The image would have {len(base.layers) + layers} layers; container engines support {MOST_LAYERS}.",
            "Choose a base with fewer layers, or lower layer_budget.",
        )
