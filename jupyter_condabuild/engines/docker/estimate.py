"""An estimate of the bytes of a build with the docker engine: only the engine knows them, and only during the build."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from jupyter_condabuild.engines.layers.forecast import AT_ONCE, Forecast, Part, State, has, package_bytes
from jupyter_condabuild.engines.layers.own_content import overlay_content, workspace_content
from jupyter_condabuild.image.base import Base
from jupyter_condabuild.oci.image import Descriptor
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.job_context import JobContext

_LEVEL = 3
"""The level of isal whose sizes are nearest to those of the engine, which compresses with zlib's level 6."""


def estimate(request: PlanRequest, inputs: Inputs, base: Base | None, ratio: float, job: JobContext) -> Forecast:
    """Returns the estimated bytes of an image, as if the engine had to make and to send all layers above the base.

    A layer of the base is not sent if the destination has it, or gets it from another repository of its registry.

    Args:
        base: the base image; None if it is not known.
        ratio: the usual size of a layer relative to the archives of its packages; used for a lock file.
    """
    repository = job.repository(request.destination).for_pushing() if request.destination else None
    state: State = "built and uploaded" if repository else "built"
    packages = tuple(package.dist for package in inputs.lockfile.conda)
    size = sum(package_bytes(layer, inputs.environment, _LEVEL, ratio) for layer in inputs.plan.layers)
    parts = [Part("package", "the environment", size, state, packages=packages)]
    for content in (overlay_content(request, inputs, inputs.unlockable), workspace_content(request, inputs)):
        if content:
            parts.append(Part("files", content.title, content.estimate(_LEVEL), state))
    below = tuple(_base_parts(base, repository)) if base else ()
    return Forecast((*below, *parts), base is not None)


def _base_parts(base: Base, repository: Repository | None) -> Iterator[Part]:
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ask") as threads:
        states = threads.map(partial(_base_state, base, repository), base.layers)
        for number, (layer, state) in enumerate(zip(base.layers, states, strict=True), 1):
            source = base.repository.name if state == "mounted" and base.repository else ""
            yield Part("base", f"base layer {number}", layer.size, state, source)


def _base_state(base: Base, repository: Repository | None, layer: Descriptor) -> State:
    if repository is None:
        return "kept"
    if has(repository, layer.digest):
        return "there"
    near = base.repository is not None and base.repository.host == repository.host
    return "mounted" if near else "uploaded"
