"""Images that exist: opened by name wherever they are, and the lock file that an image of ours has inside."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.errors import BadImage, ContentMismatch
from jupyter_condabuild.image.base import host_architecture
from jupyter_condabuild.image.configuration import LABEL_ENGINE, LOCKFILE, lockfile_in
from jupyter_condabuild.oci.archive import Archive
from jupyter_condabuild.oci.chunks import as_file
from jupyter_condabuild.oci.daemon import Daemon
from jupyter_condabuild.oci.image import BlobSource, Descriptor, Image, ImageConfig, Index, Manifest, Reference
from jupyter_condabuild.oci.registry import open_registry

LOCK_PATH = "opt/condabuild/conda-lock.yml"
"""Where an image of the docker engine has its lock file."""

_SMALL = 16 << 20


@dataclass(frozen=True)
class Places:
    """What is needed to open images: registries without TLS, the engine's address, and a folder with room."""

    insecure: Collection[str]
    docker_host: str
    work: Path


def open_image(name: str, places: Places, stack: ExitStack) -> Image:
    """An image in a registry, or ``oci-archive:FILE``, ``docker-archive:FILE``, ``docker-daemon:NAME``, or a file.

    What it opens is closed with `stack`. Raises BadReference, BadImage, RegistryError, EngineUnavailable, EngineFault.
    """
    kind, colon, rest = name.partition(":")
    architecture = host_architecture()
    if colon and kind in ("oci-archive", "docker-archive", "oci"):
        return stack.enter_context(Archive(Path(rest))).image(architecture)
    if colon and kind == "docker-daemon":
        daemon = stack.enter_context(Daemon.connect(places.docker_host or None))
        return stack.enter_context(daemon.export(rest, places.work)).image(architecture)
    if Path(name).is_file():
        return stack.enter_context(Archive(Path(name))).image(architecture)
    reference = Reference.parse(name)
    repository = stack.enter_context(open_registry(reference, places.insecure)).repository(reference.repository)
    found = repository.manifest(reference.target)
    if isinstance(found, Index):
        found = repository.manifest(str(found.select(architecture).digest))
    if not isinstance(found, Manifest):
        raise BadImage(f"{reference} names an index of indexes, not an image.")
    config = b"".join(repository.read(found.config))
    return Image(found, config, {layer.digest: repository for layer in found.layers})


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
