"""Images that exist: opened by name wherever they are, and the lock file that an image of ours has inside."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.errors import BadImage, ContentMismatch
from jupyter_condabuild.image.configuration import LABEL_ENGINE, LOCKFILE, lockfile_in
from jupyter_condabuild.image.platforms import host_architecture
from jupyter_condabuild.oci.archive import Archive
from jupyter_condabuild.oci.chunks import as_file
from jupyter_condabuild.oci.daemon import Daemon
from jupyter_condabuild.oci.image import BlobSource, Descriptor, Image, ImageConfig, Index, Manifest
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.job_context import JobContext

LOCK_PATH = "opt/condabuild/conda-lock.yml"
"""Where an image of the docker engine has its lock file."""

_SMALL = 16 << 20


def open_image(location: ImageLocation, job: JobContext, architecture: str = "") -> Image:
    """The image at a location, for a processor (GOARCH name; default this machine's).

    The files and connections that it needs are closed when the job ends. Raises BadReference, BadImage, RegistryError,
    EngineUnavailable, EngineFault.
    """
    architecture = architecture or host_architecture()
    if location.kind != "registry":
        return open_saved(location, architecture, job)
    reference = location.reference
    repository = job.repository(reference)
    found = repository.manifest(reference.target)
    if isinstance(found, Index):
        found = repository.manifest(str(found.select(architecture).digest))
    if not isinstance(found, Manifest):
        raise BadImage(f"{reference} names an index of indexes, not an image.")
    config = b"".join(repository.read(found.config))
    return Image(found, config, {layer.digest: repository for layer in found.layers})


def open_saved(location: ImageLocation, architecture: str, job: JobContext) -> Image:
    """The image in an archive, in a layout folder or in an engine. Raises as `open_image`."""
    if location.is_file:
        return job.keep(Archive(location.path)).image(architecture)
    daemon = job.keep(Daemon.connect(job.docker_host or None))
    return job.keep(daemon.export(location.name, job.scratch)).image(architecture)


def made_by(image: Image) -> str:
    """The engine that made an image, layers or docker; raises BadImage for one that is not ours."""
    config = ImageConfig.parse(image.config)
    if LOCKFILE in config.value:
        return "layers"
    if (config.runtime.get("Labels") or {}).get(LABEL_ENGINE) == "docker":
        return "docker"
    raise BadImage(
        "The image was not made by 'jupyter condabuild': it has no lock file.", "Compare environments or lock files."
    )


def lock_in(image: Image) -> Lockfile:
    """The lock file inside an image of ours. Raises BadImage, LockfileError."""
    if made_by(image) == "layers":
        return lockfile_in(ImageConfig.parse(image.config))
    for layer in reversed(image.manifest.layers):
        if layer.size > _SMALL:
            continue
        for member, content in members(image, layer):
            if member.name.removeprefix("./") == LOCK_PATH and content:
                return load(content.read().decode())
    raise BadImage(f"The image has no /{LOCK_PATH}.", "Build it anew from the environment.")


def members(image: BlobSource, layer: Descriptor) -> Iterator[tuple[tarfile.TarInfo, io.BufferedIOBase | None]]:
    """A layer's entries and, of files, their bytes, to be read before the next; verified at the end."""
    chunks = image.read(layer)
    try:
        with tarfile.open(fileobj=as_file(chunks), mode="r|*", errors="surrogateescape") as tar:
            for member in tar:
                yield member, tar.extractfile(member) if member.isreg() else None  # type: ignore[misc]
        for _ in chunks:
            """The digest is checked with the last byte."""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ContentMismatch(f"The layer {layer.digest} cannot be read: {error}.") from None
