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
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.planning.inputs import Prepared
from jupyter_condabuild.requests.build import BuildRequest


def remainder(
    request: BuildRequest,
    prepared: Prepared,
    unavailable: Sequence[tuple[CondaPackage, PackageError]],
    store: Store,
    work: Path,
    report: Report,
) -> list[ReadyLayer]:
    """The overlay, where there is anything for it, and the workspace, where one is included.

    Raises the PackageError of an unavailable package when there is no environment to take it from, NotReproducible
    under --strict, OverlayTooLarge and the StoreErrors.
    """
    lost = {package.dist: error for package, error in unavailable} | dict(prepared.unlockable)
    if lost and prepared.environment is None:
        raise next(iter(lost.values()))
    layers = []
    overlay = overlay_of(request, prepared, lost, work, report)
    if overlay and overlay.entries:
        title = "pip packages, changed and untracked files"
        layers.append(_layer(overlay.entries, f"overlay-{overlay.fingerprint}", title, store, request, report))
    if request.include:
        entries = workspace_of(request, report)
        layers.append(_layer(entries, "", f"files of {Path(request.include).resolve().name}", store, request, report))
    return layers


def workspace_of(request: BuildRequest, report: Report) -> list[Entry]:
    """The files of the folder that a request includes; says which folders stay behind."""
    folder = Path(request.include)
    entries = workspace(folder)
    if lost := left_out(folder, entries):
        hint = f"A line !{lost[0]} in .dockerignore brings it in."
        report(Warning("left-out", f"{' and '.join(lost)} of {folder.resolve().name} stay out of the image.", hint))
    return entries


def overlay_of(
    request: BuildRequest, prepared: Prepared, lost: Mapping[str, PackageError], work: Path, report: Report
) -> Overlay | None:
    """What of the environment comes from no archive; `lost` are packages without one, by dist. None for a lock file.

    Raises NotReproducible under --strict, and OverlayTooLarge.
    """
    environment, drift = prepared.environment, prepared.drift
    if environment is None or drift is None:
        return None
    for dist, error in sorted(lost.items()):
        message = f"{dist} is copied from this environment, since its archive cannot be had: {error.message}"
        report(Warning("taken-from-prefix", message, error.hint))
    if lost and request.strict:
        raise NotReproducible(f"These packages cannot be had again: {', '.join(sorted(lost))}.")
    python = environment.prefix / "bin/python"
    return collect(
        environment,
        drift,
        [record for record in environment.records if record.dist in lost],
        python=python if prepared.bytecode and python.exists() else None,
        work=work / "overlay",
        limit=request.overlay_max_bytes,
    )


def _layer(
    entries: list[Entry], key: str, title: str, store: Store, request: BuildRequest, report: Report
) -> ReadyLayer:
    """A layer of loose files. `key` finds it again in this store alone: it says nothing to other machines."""
    local = hashlib.sha256(f"{key}:{layer.WRITER_VERSION}".encode()).hexdigest() if key else ""
    stored = store.built(local) if local else None
    if stored:
        report(Layer("", (title,), stored.blob.descriptor.size, "reused-local"))
        return ReadyLayer(stored.blob.descriptor, stored.blob.diff_id, store, title, "reused-local")
    try:
        with store.create() as (file, temporary):
            blob = layer.write(entries, file, request.compression_level)
            store.adopt(temporary, blob.descriptor.digest)
    except OSError as error:
        raise from_os_error(error, f"writing the layer of {title}") from None
    if local:
        store.add_layer(local, blob, (title,))
    report(Layer("", (title,), blob.descriptor.size, "built"))
    return ReadyLayer(blob.descriptor, blob.diff_id, store, title, "built")
