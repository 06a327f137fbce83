"""The layers above the packages: the overlay of what no archive holds, and the user's own folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.engines.layers.overlay import Overlay, collect
from jupyter_condabuild.engines.layers.workspace import left_out, workspace
from jupyter_condabuild.errors import NotReproducible, PackageError, from_os_error
from jupyter_condabuild.events import Layer, Report, Warning
from jupyter_condabuild.image.layers import ReadyLayer
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.layer import Entry
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import listed


def upper_layers(
    request: PlanRequest, inputs: Inputs, unavailable: Sequence[tuple[CondaPackage, PackageError]], job: JobContext
) -> list[ReadyLayer]:
    """The overlay, where there is anything for it, and the workspace, where one is included.

    Raises the PackageError of an unavailable package when there is no environment to take it from, NotReproducible
    under --strict, OverlayTooLarge and the StoreErrors.
    """
    lost = {package.dist: error for package, error in unavailable} | dict(inputs.unlockable)
    if lost and inputs.environment is None:
        raise next(iter(lost.values()))
    layers = []
    overlay = overlay_of(request, inputs, lost, job)
    if overlay and overlay.entries:
        title = "pip packages, changed and untracked files"
        layers.append(_layer(overlay.entries, f"overlay-{overlay.fingerprint}", title, request.compression_level, job))
    if request.include:
        entries = workspace_of(request.include, job.report)
        title = f"files of {request.include.resolve().name}"
        layers.append(_layer(entries, "", title, request.compression_level, job))
    return layers


def workspace_of(folder: Path, report: Report) -> list[Entry]:
    """The files of the user's folder that go into the image; says which folders stay behind."""
    entries = workspace(folder)
    if lost := left_out(folder, entries):
        hint = f"A line !{lost[0]} in .dockerignore brings it in."
        report(Warning("left-out", f"{' and '.join(lost)} of {folder.resolve().name} stay out of the image.", hint))
    return entries


def overlay_of(
    request: PlanRequest, inputs: Inputs, lost: Mapping[str, PackageError], job: JobContext
) -> Overlay | None:
    """What of the environment comes from no archive; `lost` are packages without one, by dist. None for a lock file.

    Raises NotReproducible under --strict, and OverlayTooLarge.
    """
    environment, drift = inputs.environment, inputs.drift
    if environment is None or drift is None:
        return None
    for dist, error in sorted(lost.items()):
        message = f"{dist} is copied from this environment, since its archive cannot be had: {error.message}"
        job.report(Warning("taken-from-prefix", message, error.hint))
    if lost and request.strict:
        raise NotReproducible(f"These packages cannot be had again: {listed(sorted(lost))}.")
    python = environment.prefix / "bin/python"
    return collect(
        environment,
        drift,
        [record for record in environment.records if record.dist in lost],
        python=python if inputs.bytecode and python.exists() else None,
        work=job.folder(),
        limit=request.overlay_max_bytes,
    )


def _layer(entries: list[Entry], key: str, title: str, level: int, job: JobContext) -> ReadyLayer:
    """A layer of loose files. `key` finds it again in this store alone: it says nothing to other machines."""
    local = hashlib.sha256(f"{key}:{layer.WRITER_VERSION}".encode()).hexdigest() if key else ""
    stored = job.store.built(local) if local else None
    if stored:
        job.report(Layer("", (title,), stored.blob.descriptor.size, "reused-local"))
        return ReadyLayer(stored.blob.descriptor, stored.blob.diff_id, job.store, title, "reused-local")
    try:
        with job.store.create() as (file, temporary):
            blob = layer.write(entries, file, level)
            job.store.adopt(temporary, blob.descriptor.digest)
    except OSError as error:
        raise from_os_error(error, f"writing the layer of {title}") from None
    if local:
        job.store.add_layer(local, blob, (title,))
    job.report(Layer("", (title,), blob.descriptor.size, "built"))
    return ReadyLayer(blob.descriptor, blob.diff_id, job.store, title, "built")
