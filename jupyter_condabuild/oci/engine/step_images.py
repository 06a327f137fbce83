"""Step images: an engine gets the lowest layers of an image early, as an image without a name and with a label.

An engine unpacks the layers of an image one after the other, and leaves out those that an image of the engine has (see
`loading`). So it can unpack the lowest layers while the upper layers are made. A step image has the label `LABEL_STEP`,
and is removed as soon as the engine has the complete image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jupyter_condabuild.errors import EngineFault
from jupyter_condabuild.oci.engine.containers import has_ended, owner
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.engine.faults import engine_errors
from jupyter_condabuild.oci.engine.loading import layers_there
from jupyter_condabuild.oci.image import BlobSource, Descriptor, Digest, Image, ImageConfig, Manifest

LABEL_STEP = "org.jupyter.condabuild.step"
"""The label of a step image: the process that made it (see `containers.owner`)."""


@dataclass(frozen=True)
class Part:
    """A layer of an image, and the place to read its blob from."""

    descriptor: Descriptor
    diff_id: Digest
    source: BlobSource


def step_image(parts: Sequence[Part], platform: Mapping[str, object]) -> Image:
    """Returns the step image of some layers, lowest first.

    Args:
        platform: the members of the configuration that say for which platform the image is.
    """
    value = {**platform, "config": {"Labels": {LABEL_STEP: owner()}}}
    config = ImageConfig({}, ()).with_value(value, [part.diff_id for part in parts])
    manifest = Manifest.make(config.descriptor, [part.descriptor for part in parts])
    return Image(manifest, config.raw, {part.descriptor.digest: part.source for part in parts})


def present(daemon: Daemon, image: Image) -> int:
    """Returns the number of an image's lowest layers that the engine has. Raises EngineFault, EngineUnavailable."""
    with engine_errors("comparing the image with those of the engine", daemon.where):
        return layers_there(daemon.client, image, None)


def remove_steps(daemon: Daemon) -> None:
    """Removes the step images of this process, and of this user's processes that have ended here.

    An image that got a name, or that a container uses, stays. Raises EngineFault, EngineUnavailable.
    """
    with engine_errors("listing its images", daemon.where):
        for found in daemon.client.images(filters={"label": LABEL_STEP}):
            maker = str(found["Labels"][LABEL_STEP])
            is_named = any(tag != "<none>:<none>" for tag in found["RepoTags"] or ())
            if not is_named and (maker == owner() or has_ended(maker)):
                with suppress(EngineFault), engine_errors("removing an image", daemon.where):
                    daemon.client.remove_image(found["Id"])
