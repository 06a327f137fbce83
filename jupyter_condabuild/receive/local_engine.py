"""The engine of this machine: connects to it, brings an image into it, and says what it can give to a container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jupyter_condabuild.errors import EngineFault, EngineUnavailable, UsageError
from jupyter_condabuild.events import Log, Progress
from jupyter_condabuild.oci.engine.containers import ContainerOptions
from jupyter_condabuild.oci.engine.daemon import CONNECT_SECONDS, Daemon
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.receive import apptainer
from jupyter_condabuild.receive.local_image import sandbox, way_of
from jupyter_condabuild.text import size_text

if TYPE_CHECKING:  # a kernel starts faster without them
    from jupyter_condabuild.receive.inspection import Inspection
    from jupyter_condabuild.requests.job_context import JobContext
    from jupyter_condabuild.requests.receive import CheckRequest, InspectRequest, KernelInstallRequest, RunRequest


LOOK_SECONDS = 2.0
"""The time that an engine has to answer while an image is described."""


def local_engine(request: InspectRequest, folder: Path, limit: float = CONNECT_SECONDS) -> Daemon:
    """Connects to an engine on this machine, which can give a folder of this machine to a container.

    Args:
        limit: seconds to wait for the answer of each address.

    Raises EngineUnavailable, UsageError.
    """
    refuse_named(request.docker_host, folder)
    try:
        daemon = Daemon.connect(request.docker_host or None, limit)
    except EngineUnavailable as error:
        raise EngineUnavailable(
            error.message,
            "Start Docker or Podman, or set DOCKER_HOST. Or add --without-engine: the image is unpacked and runs in a "
            "sandbox. Or install its packages into a folder: jupyter condabuild recreate REFERENCE PREFIX",
        ) from None
    try:
        refuse_remote(daemon.where, folder)
    except UsageError:
        daemon.close()
        raise
    return daemon


def engine_or_sandbox(
    request: RunRequest | KernelInstallRequest | CheckRequest, folder: Path, job: JobContext
) -> Daemon | str:
    """Returns the engine of this machine, or the program that runs images without one (see `local_image.sandbox`).

    Apptainer runs the image if no engine answers and the user has named none.

    Raises EngineUnavailable, UsageError.
    """
    if request.without_engine:
        return sandbox()
    try:
        return job.keep(local_engine(request, folder))
    except EngineUnavailable:
        if request.docker_host or os.environ.get("DOCKER_HOST") or not (program := apptainer.program()):
            raise
        job.report(Log(f"No engine answers, so {program} runs the image."))
        return program


def ways(request: InspectRequest) -> tuple[str, ...]:
    """Returns how this machine can run an image: ``engine``, and ``bubblewrap`` or ``apptainer`` without an engine."""
    found = []
    with suppress(EngineUnavailable, UsageError):
        local_engine(request, Path(), LOOK_SECONDS).close()
        found.append("engine")
    with suppress(EngineUnavailable):
        found.append(way_of(sandbox()))
    return tuple(found)


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


def bring(found: Inspection, daemon: Daemon, job: JobContext, name: str = "") -> str:
    """Brings an image into the engine, and returns the name that the engine has for it.

    The name has the digest of the image that the user has seen: a tag may move in the meantime.

    Args:
        name: the name that the engine gives to an image that no registry has; empty for an image that can be pulled.
    """
    if name:
        job.report(Log(f"Loading the image into the engine as {name}."))
        return daemon.load(found.image, name, lambda complete, whole: job.report(Progress("load", complete, whole)))
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
