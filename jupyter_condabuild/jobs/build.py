"""build(request, report): the whole job, from an environment or a lock file to an image where it was asked to go."""

from __future__ import annotations

import importlib
import time
from pathlib import Path

from jupyter_condabuild.engines.result import BuildResult
from jupyter_condabuild.events import Event, Layer, Phase, Report, Warning
from jupyter_condabuild.planning.scan import look
from jupyter_condabuild.requests.build import BuildRequest


def build(request: BuildRequest, report: Report) -> BuildResult:
    """Builds the image of a request and brings it where it was asked to go.

    Raises CondaBuildError of any kind. Nothing is visible under the image's name before all of it has arrived.
    """
    if request.engine == "docker":
        from jupyter_condabuild.engines.docker.build import build as build_with_docker

        return BuildResult(build_with_docker(request, report))
    started = time.monotonic()
    seen = None
    if request.prefix:
        report(Phase("snapshot", "started"))
        seen = look(Path(request.prefix), started, meanwhile=_import)
    from jupyter_condabuild.engines.layers.build import build as build_layers
    from jupyter_condabuild.jobs import up_to_date

    identity = up_to_date.identity(request, seen.listing if seen else None) if up_to_date.may_stand(request) else ""
    if identity and not request.again and (memory := up_to_date.remembered(request, identity)):
        seconds = time.monotonic() - started
        if seen:
            report(Phase("snapshot", "done", round(seconds, 3)))
        return BuildResult(memory.report(report, seconds))
    told = Told(report)
    result = build_layers(request, told, seen)
    if identity:
        up_to_date.keep(
            request, identity, result.event, told.layers.values(), told.warnings, result.base, result.sources
        )
    return result


def _import() -> None:
    """Loads what takes long, while the environment is walked over."""
    importlib.import_module("jupyter_condabuild.oci.transport")
    importlib.import_module("jupyter_condabuild.engines.layers.build")


class Told:
    """Passes events on, and keeps those that are worth telling again."""

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
