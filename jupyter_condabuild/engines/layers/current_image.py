"""The current image, on which a stacked update goes: that of a tag in a registry, or that of a name in an engine."""

from __future__ import annotations

from jupyter_condabuild.distribution.destinations import Destination, loaded
from jupyter_condabuild.image import kept_images
from jupyter_condabuild.image.own_image import OwnImage
from jupyter_condabuild.image.platforms import host_architecture
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.requests.build import BuildRequest
from jupyter_condabuild.requests.job_context import JobContext

Current = OwnImage[Repository] | OwnImage[Store]


class NotStacked(Exception):
    """The image cannot be stacked. The message is the reason, as a clause."""


def current_image(request: BuildRequest, destination: Destination, job: JobContext) -> Current:
    """Returns the image that the name of a build has now, where the build delivers to.

    Raises NotStacked, EngineUnavailable, EngineFault, and the errors of `OwnImage.of`.
    """
    if request.load and not request.push:
        return _in_engine(request, job)
    if not (destination.repository and destination.index.current):
        raise NotStacked("the tag has no image")
    if not destination.index.current_voucher:
        raise NotStacked("nobody whom you trust vouches for the image of the tag")
    return OwnImage.of(destination.index.current, destination.repository)


def _in_engine(request: BuildRequest, job: JobContext) -> OwnImage[Store]:
    """Returns the image that this machine has loaded under the name, if the engine has it still.

    An engine does not say which packages a layer has, and anybody can give an image the name. So the image is the one
    that the store remembers, and the engine only says whether it has this image.
    """
    assert request.reference
    digest = job.store.previous(loaded(request.reference))
    image = kept_images.find(digest, job.store, host_architecture()) if digest else None
    if image is None:
        raise NotStacked("this machine has not loaded an image under this name")
    with Daemon.connect(job.docker_host or None) as daemon:
        if not daemon.keeps_layers():
            raise NotStacked(f"{daemon.name} reads every layer again")
        if daemon.image_id(str(request.reference)) != str(image.manifest.config.digest):
            raise NotStacked("the engine has another image under this name, or none")
    return OwnImage.of(image.manifest, job.store)
