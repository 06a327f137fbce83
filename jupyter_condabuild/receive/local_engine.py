"""The engine of this machine: connects to it, brings an image into it, and says what it can give to a container."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jupyter_condabuild.errors import EngineFault, EngineUnavailable, UsageError
from jupyter_condabuild.events import Log, Progress
from jupyter_condabuild.image.paths import ENTRYPOINT
from jupyter_condabuild.oci.engine.containers import ContainerOptions
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.text import size_text

if TYPE_CHECKING:  # a kernel starts faster without them
    from jupyter_condabuild.receive.inspection import Inspection
    from jupyter_condabuild.requests.job_context import JobContext
    from jupyter_condabuild.requests.receive import InspectRequest


def local_engine(request: InspectRequest, folder: Path, command: Sequence[str] = ()) -> Daemon:
    """Connects to an engine on this machine, which can give a folder of this machine to a container.

    Args:
        command: the program that the user wants to run; for the hint if no engine answers.

    Raises EngineUnavailable, UsageError.
    """
    refuse_named(request.docker_host, folder)
    try:
        daemon = Daemon.connect(request.docker_host or None)
    except EngineUnavailable as error:
        apptainer = shutil.which("apptainer") or shutil.which("singularity")
        if not apptainer or not request.reference or request.reference.kind != "registry":
            raise
        program = " ".join(command) or "sh"
        raise EngineUnavailable(
            error.message,
            f"Without an engine, {Path(apptainer).name} can run the image: "
            f"{Path(apptainer).name} exec docker://{request.reference} {ENTRYPOINT} {program}",
        ) from None
    try:
        refuse_remote(daemon.where, folder)
    except UsageError:
        daemon.close()
        raise
    return daemon


def refuse_named(docker_host: str, folder: Path) -> None:
    """Raises UsageError as `refuse_remote` does for the engine that the settings name, before a connection to it."""
    if named := docker_host or os.environ.get("DOCKER_HOST", ""):
        refuse_remote(named, folder)


def refuse_remote(where: str, folder: Path) -> None:
    """Raises UsageError if the engine at an address is on another machine."""
    address = urlsplit(where)
    if address.scheme not in ("unix", "npipe") and address.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise UsageError(
            f"The engine at {where} is on another machine, where a container has no access to {folder}.",
            "Run the command on that machine, or unset DOCKER_HOST.",
        )


def bring(found: Inspection, daemon: Daemon, job: JobContext) -> str:
    """Brings an image into the engine, and returns the name that the engine has for it.

    The name has the digest of the image that the user has seen: a tag may move in the meantime.
    """
    if identity := daemon.image_id(str(found.image.manifest.config.digest)):
        return identity
    total = found.missing or found.size
    if found.location.kind != "registry":
        job.report(Log("Loading the image into the engine."))
        return daemon.load(found.image, "", lambda complete, whole: job.report(Progress("load", complete, whole)))
    pinned = pinned_name(found)
    if daemon.image_id(pinned) is None:
        job.report(Log(f"Pulling {size_text(total)}."))
        if not daemon.pull(pinned, progress=lambda complete: job.report(Progress("pull", min(complete, total), total))):
            raise EngineFault(f"The engine did not find {pinned}.", "Run the command again: the image may have moved.")
    return pinned


def pinned_name(found: Inspection) -> str:
    """Returns the name of an image of a registry with its digest instead of its tag."""
    reference = found.location.reference
    return str(Reference(reference.registry, reference.repository, digest=found.image.manifest.descriptor.digest))


def has_gpu() -> bool:
    """Whether this machine has NVIDIA GPUs and their driver."""
    return Path("/dev/nvidiactl").exists()


@contextmanager
def said_without_gpus(daemon: Daemon, options: ContainerOptions) -> Iterator[None]:
    """Says what to do if the engine cannot give GPUs to the container that starts inside. Raises EngineFault."""
    try:
        yield
    except EngineFault as error:
        if not options.gpus or "device driver" not in error.message:
            raise
        raise EngineFault(
            f"{daemon.name} cannot give NVIDIA GPUs to a container: {error.message}",
            "Install the NVIDIA Container Toolkit, or run the image on the processor: --gpus none",
        ) from None
