"""Opens an image by its name, in a registry, an archive or an engine, and reads the lock file inside the image."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.conda.lockfile import MOST_BYTES, Lockfile
from jupyter_condabuild.errors import BadImage, LockfileError
from jupyter_condabuild.image.configuration import LABEL_ENGINE, LOCKFILE, lockfile_in
from jupyter_condabuild.image.platforms import host_architecture
from jupyter_condabuild.oci.archive import Archive
from jupyter_condabuild.oci.documents import read_document
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.image import BlobSource, Descriptor, Digest, Image, ImageConfig, Manifest
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.layer_reader import entries
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import size_text

LOCK_PATH = "opt/condabuild/conda-lock.yml"
"""The path of the lock file in an image of the docker engine."""

_SMALL = 16 << 20
"""The size in bytes of the largest layer that can have the lock file. Larger layers are not read."""

_UNPACKED = 256 << 20
"""The largest size in bytes of such a layer after decompression."""


def open_image(location: ImageLocation, job: JobContext, architecture: str = "") -> Image:
    """Opens the image at a location. Its files and connections are closed when the job ends.

    Args:
        architecture: the processor, as a GOARCH name. By default it is this machine's if there are several images.

    Raises BadReference, BadImage, RegistryError, EngineUnavailable, EngineFault.
    """
    if location.kind != "registry":
        return open_saved(location, architecture or host_architecture(), job)
    reference = location.reference
    repository = job.repository(reference)
    manifest = repository.manifest(reference.target)
    if isinstance(manifest, Index):
        manifest = repository.manifest(str(manifest.select(architecture or host_architecture()).digest))
    if not isinstance(manifest, Manifest):
        raise BadImage(f"{reference} names an index of indexes, not an image.")
    config = read_document(repository, manifest.config)
    if architecture and (actual := ImageConfig.parse(config).architecture) != architecture:
        raise BadImage(f"{reference} is an image for linux/{actual}, not for linux/{architecture}.", "Omit --platform.")
    return Image(manifest, config, {layer.digest: repository for layer in manifest.layers})


def images_at(location: ImageLocation, job: JobContext) -> tuple[Descriptor, ...]:
    """Returns the images for several platforms that a name or an archive has; empty if it has one image without index.

    Raises the errors of `open_image`.
    """
    if location.kind == "registry":
        document = job.repository(location.reference).manifest(location.reference.target)
        return document.images if isinstance(document, Index) else ()
    return job.keep(Archive(location.path)).images if location.is_file else ()


def index_digest(location: ImageLocation, job: JobContext) -> Digest:
    """Returns the digest of what a name or an archive has: that of an index, if it has one. Raises as `open_image`."""
    if location.kind == "registry":
        return job.repository(location.reference).manifest(location.reference.target).descriptor.digest
    return job.keep(Archive(location.path)).digests[0]


def open_saved(location: ImageLocation, architecture: str, job: JobContext) -> Image:
    """Opens the image in an archive, a layout folder or an engine, or makes it of Debian's packages.

    Raises the errors of `open_image`, BaseUnavailable and UnsafePackage.
    """
    if location.kind == "sif":
        raise BadImage(
            f"{location.name} is a SIF, which only Apptainer and Singularity read.",
            "Name the image in a registry or in an OCI archive. A SIF runs: jupyter condabuild run FILE.sif",
        )
    if location.kind == "debian-packages":
        from jupyter_condabuild.image.debian_image import find, make

        return make(find(location.name, architecture, job), job)
    if location.is_file:
        return job.keep(Archive(location.path)).image(architecture)
    daemon = job.keep(Daemon.connect(job.docker_host or None))
    return job.keep(daemon.export(location.name, job.scratch)).image(architecture)


def made_by(image: Image) -> str:
    """Returns the engine that made an image: ``layers`` or ``docker``. Raises BadImage if neither made it."""
    config = ImageConfig.parse(image.config)
    if LOCKFILE in config.value:
        return "layers"
    if (config.runtime.get("Labels") or {}).get(LABEL_ENGINE) == "docker":
        return "docker"
    raise BadImage(
        "The image was not made by 'jupyter condabuild': it has no lock file.",
        "Use an image that 'jupyter condabuild' made, or compare environments or lock files.",
    )


def lock_in(image: Image) -> Lockfile:
    """Returns the lock file inside an image of either engine. Raises BadImage, LockfileError, ContentMismatch."""
    if made_by(image) == "layers":
        return lockfile_in(ImageConfig.parse(image.config))
    for layer in reversed(image.manifest.layers):
        if layer.size > _SMALL:
            continue
        for member, content in entries(image, layer, _UNPACKED):
            if member.name.removeprefix("./") == LOCK_PATH and content:
                return _lock(content.read(MOST_BYTES + 1))
    raise BadImage(f"The image has no lock file at /{LOCK_PATH}.", "Build the image again from the environment.")


def _lock(data: bytes) -> Lockfile:
    if len(data) > MOST_BYTES:
        raise LockfileError(f"The lock file in the image has more than {size_text(MOST_BYTES)}.")
    try:
        return load(data.decode(), check=False)
    except UnicodeDecodeError:
        raise LockfileError("The lock file in the image is not a text in UTF-8.") from None


def members(image: BlobSource, layer: Descriptor) -> Iterator[tuple[tarfile.TarInfo, io.BufferedIOBase | None]]:
    """Yields the entries of a layer, each with its bytes if it is a file. See `layer_reader.entries`."""
    yield from entries(image, layer)
