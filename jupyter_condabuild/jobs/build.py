"""The job `build`: makes an image of an environment or a lock file and delivers it to its destinations."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_condabuild.engines.result import BuildResult
from jupyter_condabuild.errors import BaseUnavailable, RegistryError
from jupyter_condabuild.events import Event, Layer, Phase, Report, Warning
from jupyter_condabuild.planning.default_platforms import for_default_platforms
from jupyter_condabuild.planning.scan import Scan, Scanner
from jupyter_condabuild.requests.build import BuildRequest

if TYPE_CHECKING:  # the walk over the environment begins before it is imported
    from jupyter_condabuild.requests.job_context import JobContext

_SLOW_MODULES = tuple(
    f"jupyter_condabuild.{name}"
    for name in ("oci.transport", "planning.inputs", "image.base", "distribution.destinations", "engines.layers.build")
)
"""The modules that `_imports` imports, each with the modules that it needs. A build without changes needs the first."""


def run(request: BuildRequest, report: Report) -> BuildResult:
    """Builds the image of a request and delivers it to its destinations.

    The image appears under its name only after all of its parts have arrived. Raises CondaBuildError of any kind. If
    the registry of the base cannot be used, the error names the places where an image of the same name is.
    """
    try:
        return _build(request, report)
    except BaseUnavailable as error:
        raise _with_advice(error, request) from None


def _with_advice(error: BaseUnavailable, request: BuildRequest) -> BaseUnavailable:
    if request.base.kind != "registry" or not isinstance(error.__cause__, RegistryError):
        return error
    from jupyter_condabuild.image.nearby_bases import WITHOUT, nearby

    to = request.destination
    base = request.base.reference
    found = nearby(
        base,
        f"{to.registry}/{to.repository.rpartition('/')[0]}" if to else "",
        request.insecure_registries,
        request.allowed_registries,
        request.docker_host,
        Path.cwd(),
        request.debian_mirrors,
    )
    made = [name for name in found if name.startswith("debian-packages:")]
    images = [name for name in found if name not in made]
    advice = [f"An image of this name is here: use --base {images[0]}."] if images else []
    advice += [f"A small Debian can be made of packages: use --base {name}." for name in made]
    advice += [] if images else [WITHOUT.format(base)]
    return BaseUnavailable(error.message, " ".join(filter(None, (*advice, error.hint))))


def _build(request: BuildRequest, report: Report) -> BuildResult:
    if request.archive and request.archive.kind == "sif":
        from jupyter_condabuild.oci.sif.squashfs import check_program

        check_program()  # not at the end of a long build
    request = for_default_platforms(request)
    if request.engine == "docker":
        from jupyter_condabuild.engines.docker.build import build as build_with_docker
        from jupyter_condabuild.requests.job_context import open_job

        with open_job(request, report) as job:
            return BuildResult(build_with_docker(request.parts[0], job))
    if request.prefix:
        with Scanner(request.prefix) as scanner:  # it begins before this module imports all that it needs
            return _build_or_recall(request, report, scanner)
    return _build_or_recall(request, report, None)


def _build_or_recall(request: BuildRequest, report: Report, scanner: Scanner | None) -> BuildResult:
    """Builds with the layers engine, unless the image of an earlier build is up to date."""
    from jupyter_condabuild.requests.job_context import open_job

    recorder = _Recorder(report)
    with open_job(request, recorder) as job:
        started = scanner.since if scanner else time.monotonic()
        scanned = None
        if scanner:
            report(Phase("snapshot", "started"))
            scanned = scanner.scan(_imports(), request.exclude_editable)
        from jupyter_condabuild.jobs import up_to_date

        identity = ""
        if up_to_date.applies(request):
            identity = up_to_date.identity(request, scanned.listing if scanned else None)
            outside = up_to_date.outside(request, scanned)
        if identity and not request.again and (memory := up_to_date.recall(request, identity, job)):
            seconds = time.monotonic() - started
            if scanned:
                report(Phase("snapshot", "done", round(seconds, 3)))
            return BuildResult(memory.report(report, seconds))
        result = _build_layers(request, job, scanned)
        if identity:
            up_to_date.keep(identity, result, outside, recorder.layers.values(), recorder.warnings, job)
        return result


def _build_layers(request: BuildRequest, job: JobContext, scanned: Scan | None) -> BuildResult:
    if len(request.parts) > 1 or request.append_platform:
        from jupyter_condabuild.engines.layers.several import build_several

        return build_several(request, job, scanned)
    from jupyter_condabuild.engines.layers.build import build as build_layers

    return build_layers(request.parts[0], job, scanned)


def _imports() -> Iterator[object]:
    """Imports modules that take long to import, one at each step, while another process walks over the environment."""
    yield from map(importlib.import_module, _SLOW_MODULES)


class _Recorder:
    """A `Report` that forwards events and keeps layers and warnings, which a later build without changes repeats."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.warnings: list[Warning] = []
        self.layers: dict[tuple[str, ...], Layer] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Warning):
            self.warnings.append(event)
        elif isinstance(event, Layer):
            self.layers[event.packages] = event
        self._report(event)
