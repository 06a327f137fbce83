"""The plan of a build with the docker engine: the steps of the Dockerfile, and the images that serve as a cache."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from jupyter_condabuild.distribution.destinations import cache_references
from jupyter_condabuild.engines.docker.build_tools import check_build_tools
from jupyter_condabuild.engines.docker.context import must_be_vendored
from jupyter_condabuild.engines.docker.estimate import estimate
from jupyter_condabuild.engines.docker.installers import installer
from jupyter_condabuild.engines.docker.recipe import Wanted, recipe
from jupyter_condabuild.engines.layers.forecast import Forecast
from jupyter_condabuild.image.base import Base
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import counted, size_text

_STEPS = ("FROM ", "RUN ", "COPY ", "ADD ")
"""The instructions that take time. The other instructions are settings of the image."""


@dataclass(frozen=True)
class DockerPreview:
    """The plan of a build with the docker engine.

    Only the engine knows which steps it can reuse, and only during the build.

    Args:
        installer: the name of the installer.
        steps: the instructions of the Dockerfile that take time, in order.
        caches: the names of the images whose steps can be reused.
        forecast: the estimated bytes, if the engine can reuse no step.
        compared: whether the forecast is compared with a repository.
    """

    inputs: Inputs
    installer: str
    steps: tuple[str, ...]
    caches: tuple[str, ...]
    forecast: Forecast
    compared: bool

    @property
    def bytes_to_push(self) -> int:
        """The largest number of bytes that a push would send, as an estimate; 0 without a repository."""
        return self.forecast.sent if self.compared else 0

    def summary(self) -> dict[str, Any]:
        """Returns the plan as a JSON object."""
        lockfile = self.inputs.lockfile
        return {
            "engine": "docker",
            "environment": lockfile.digest,
            "packages": len(lockfile.conda),
            "steps": list(self.steps),
            "caches": list(self.caches),
            "bytes_to_push": self.bytes_to_push,
            "bytes_total": self.forecast.size,
            "base_known": self.forecast.base_known,
            "layers": [asdict(part) for part in self.forecast.parts],
            "warnings": [warning.to_json() for warning in self.inputs.warnings],
        }

    def text(self) -> str:
        """Returns the plan as a text: the steps, the caches and a sentence."""
        steps = [f"{number:4}  {step}" for number, step in enumerate(self.steps, 1)]
        caches = [f"      {name}" for name in self.caches] or ["      only the engine's own cache"]
        return "\n".join(["step  instruction", *steps, "", "cache from", *caches, "", self.sentence])

    @property
    def sentence(self) -> str:
        """The plan in a few sentences."""
        lockfile = self.inputs.lockfile
        pip = f" and {counted(lockfile.pip, 'pip package')}" if lockfile.pip else ""
        return (
            f"The docker engine runs {counted(self.steps, 'step')}; {self.installer} installs "
            f"{counted(lockfile.conda, 'package')}{pip}. {self._bytes} "
            "The engine finds out during the build which steps it can reuse."
        )

    @property
    def _bytes(self) -> str:
        size = size_text(self.forecast.size)
        most = f", of which at most {size_text(self.bytes_to_push)} are pushed" if self.compared else ""
        base = "" if self.forecast.base_known else " The base image does not answer: its bytes are not counted."
        return f"An estimate from the sizes of the files: the image has about {size}{most}.{base}"


def preview(request: PlanRequest, inputs: Inputs, base: Base | None, ratio: float, job: JobContext) -> DockerPreview:
    """Returns the preview of a request, without requests to an engine and without downloads.

    Args:
        base: the base image; None if it is not known.
        ratio: the usual size of a layer relative to the archives of its packages.

    Raises the errors of `recipe`.
    """
    environment, drift = inputs.environment, inputs.drift
    if environment is None:
        check_build_tools(inputs.lockfile, job.report)
    made = recipe(
        inputs.lockfile,
        Wanted(
            base=" ".join(str(request.base).split()),
            installer=installer(request.installer),
            installer_image=str(request.installer_image or ""),
            vendored=[
                package
                for package in inputs.lockfile.conda
                if must_be_vendored(package, inputs.sources, shares_host=True)
            ],
            skipped=[package for package in inputs.lockfile.conda if package.dist in inputs.unlockable],
            pip=environment is None,
            removed=[entry.path for entry in drift.missing] if drift else (),
            overlay=bool(
                inputs.unlockable
                or (environment and environment.pip)
                or (drift and (drift.modified or drift.untracked or drift.clobbered or drift.empty))
            ),
            workspace="workspace/" if request.include else "",
            added=sorted(set(request.apt)),
        ),
    )
    text = re.sub(r" \\\n\s*", " ", made.dockerfile)
    steps = tuple(line for line in text.splitlines() if line.startswith(_STEPS))
    caches = tuple(map(str, cache_references(request, job)))
    found = estimate(request, inputs, base, ratio, job)
    return DockerPreview(inputs, request.installer, steps, caches, found, request.destination is not None)
