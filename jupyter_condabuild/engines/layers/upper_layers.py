"""Makes the layers above the packages: the overlay, and the files of the user's folder."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_condabuild.conda.formats.explicit import pip_comments
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.engines.layers.overlay import Overlay, collect
from jupyter_condabuild.engines.layers.own_content import OwnContent, overlay_content, workspace_content
from jupyter_condabuild.engines.layers.workspace import left_out, workspace
from jupyter_condabuild.errors import NotReproducible, PackageError, UsageError, from_os_error
from jupyter_condabuild.events import Layer, Report, Warning
from jupyter_condabuild.image.layers import OVERLAY, ReadyLayer
from jupyter_condabuild.image.paths import PIP_LIST, in_layer
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.layer import Entry, LayerBlob
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import listed

if TYPE_CHECKING:
    from jupyter_condabuild.planning.carried_files import Carried


def upper_layers(
    request: PlanRequest, inputs: Inputs, unavailable: Sequence[tuple[CondaPackage, PackageError]], job: JobContext
) -> list[ReadyLayer]:
    """Returns the overlay, if it has entries, and the workspace, if the request includes a folder.

    Args:
        unavailable: the packages without an archive, which the overlay copies from the environment.

    Raises the PackageError of an unavailable package if there is no environment, NotReproducible if the request is
    strict, OverlayTooLarge, PrefixError or StoreError.
    """
    lost = {package.dist: error for package, error in unavailable} | dict(inputs.unlockable)
    if lost and inputs.environment is None:
        raise next(iter(lost.values()))
    layers = []
    overlay = overlay_of(request, inputs, lost, job)
    if overlay and overlay.entries:
        overlay.entries += _pip_list(inputs)
        key = f"overlay-{overlay.fingerprint}"
        layers.append(_layer(overlay.entries, key, OVERLAY, request.compression_level, job))
        _keep(overlay_content(request, inputs, lost), layers[-1], job)
    if request.include:
        entries = workspace_of(request.include, inputs, job.report)
        title = f"files of {request.include.resolve().name}"
        layers.append(_layer(entries, "", title, request.compression_level, job))
        _keep(workspace_content(request, inputs), layers[-1], job)
    return layers


def _keep(content: OwnContent | None, made: ReadyLayer, job: JobContext) -> None:
    """Keeps the record of a layer under the stamp of its content, so that a plan knows the layer (see `forecast`)."""
    if content:
        blob = LayerBlob(made.descriptor, made.diff_id, 0)
        job.store.add_layer(content.stamp, blob, (made.title,))


def _pip_list(inputs: Inputs) -> list[Entry]:
    """Returns the list of pip packages for the program that prints the lock file."""
    text = pip_comments(inputs.lockfile.pip)
    return [Entry(in_layer(PIP_LIST), data=text.encode("utf-8", "surrogateescape"))] if text else []


def workspace_of(path: Path, inputs: Inputs, report: Report) -> list[Entry]:
    """Returns the entries for the user's folder or file. Reports a warning for bulky folders that are left out."""
    if not path.is_dir():
        return workspace(path.resolve().parent, inputs.own.included)
    folder = path
    entries = workspace(folder, inputs.own.included)
    if names := left_out(folder, entries):
        message = f"The image does not include {' and '.join(names)} of {folder.resolve().name}."
        report(Warning("left-out", message, f"Add the line !{names[0]} to .dockerignore to include {names[0]}."))
    return entries


def overlay_of(
    request: PlanRequest, inputs: Inputs, lost: Mapping[str, PackageError], job: JobContext
) -> Overlay | None:
    """Returns the overlay of the environment, or None if the build starts from a lock file.

    Args:
        lost: by dist, the reasons why the archives of packages are not available. A warning names each package.

    Raises NotReproducible if the request is strict and `lost` is not empty, UsageError if the request leaves out
    changes of files of such a package, OverlayTooLarge, PrefixError or StoreError.
    """
    if inputs.carried:
        return _carried(inputs.carried, request, inputs, job)
    environment, drift = inputs.environment, inputs.drift
    if environment is None or drift is None:
        return None
    for dist, error in sorted(lost.items()):
        message = f"{dist} is copied from this environment, because its archive is not available: {error.message}"
        job.report(Warning("taken-from-prefix", message, error.hint))
    if lost and request.strict:
        raise NotReproducible(f"The archives of these packages are not available: {listed(sorted(lost))}.")
    names = {record.name for record in environment.records if record.dist in lost}
    if changed := [entry for entry in drift.excluded if entry.package in names]:
        raise UsageError(
            f"The change of {changed[0].path} cannot be left out: the image has the files of {changed[0].package} as "
            "this environment has them, because the archive of the package is not available.",
            "Reinstall the package from a channel, or leave the file in.",
        )
    python = environment.prefix / "bin/python"
    return collect(
        environment,
        drift,
        [record for record in environment.records if record.dist in lost],
        inputs.own,
        python=python if inputs.bytecode and python.exists() else None,
        work=job.folder(),
        limit=request.overlay_max_bytes,
        all_clobbered=request.engine == "docker",
    )


def _carried(carried: Carried, request: PlanRequest, inputs: Inputs, job: JobContext) -> Overlay:
    """Returns the overlay of an environment of another platform. Our own interpreter compiles its modules."""
    return collect(
        carried.environment,
        carried.drift,
        [],
        replace(inputs.own, withheld=frozenset()),
        python=Path(sys.executable) if inputs.bytecode else None,
        work=job.folder(),
        limit=request.overlay_max_bytes,
        laid=carried.laid,
    )


def _layer(entries: list[Entry], key: str, title: str, level: int, job: JobContext) -> ReadyLayer:
    """Returns a layer of these entries. The layer is reused if the store has one with the same `key`.

    Args:
        key: identifies the content of the entries in this store, not on other machines; "" if nothing identifies it.
    """
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
