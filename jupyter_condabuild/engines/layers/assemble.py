"""Layers to an image: configuration and manifest, on a base or on another one."""

from __future__ import annotations

from collections.abc import Mapping

from jupyter_condabuild.errors import BadImage, BaseUnavailable
from jupyter_condabuild.image.base import Base
from jupyter_condabuild.image.configuration import LOCKFILE, configuration
from jupyter_condabuild.image.layers import LayerStack
from jupyter_condabuild.oci.image import Image, Manifest
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.requests.build import PlanRequest

MOST_LAYERS = 125
"""What most engines take (moby's limit on the depth of a stack)."""


def assemble(
    base: Base, above: LayerStack, inputs: Inputs, request: PlanRequest, annotations: Mapping[str, str]
) -> Image:
    """The image of a build, with annotations for its manifest.

    Raises BadImage when base and layers together are more than engines take, BaseUnavailable for a base of ours.
    """
    layers = above.layers
    check_depth(base, len(layers))
    environment = inputs.environment
    config = configuration(
        base.config,
        base.name,
        base.digest,
        [*base.config.diff_ids, *(layer.diff_id for layer in layers)],
        [layer.title for layer in layers],
        inputs.lockfile,
        variables=environment.variables if environment and request.variables else None,
        stale=above.stale,
    )
    descriptors = [*base.layers, *(layer.descriptor for layer in layers)]
    manifest = Manifest.make(config.descriptor, descriptors, {**annotations, **above.notes})
    sources = {**base.image.sources, **{layer.descriptor.digest: layer.source for layer in layers}}
    return Image(manifest, config.raw, sources)


def check_depth(base: Base, layers: int) -> None:
    """Raises BadImage for a stack that container engines would refuse, BaseUnavailable for a base of ours."""
    if LOCKFILE in base.config.value:
        raise BaseUnavailable(
            f"{base.name} is itself the image of an environment; two would lie in one folder.",
            "Name the image that it stands on, or any other without an environment of ours.",
        )
    if len(base.layers) + layers > MOST_LAYERS:
        raise BadImage(
            f"The image would have {len(base.layers) + layers} layers; container engines take {MOST_LAYERS}.",
            "Choose a base with fewer layers, or lower layer_budget.",
        )
