"""What the docker engine will do: the steps of its Dockerfile, and the images that it may take them from."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from jupyter_condabuild.distribution.destinations import cache_references
from jupyter_condabuild.engines.docker.context import needs_us
from jupyter_condabuild.engines.docker.installers import installer
from jupyter_condabuild.engines.docker.recipe import Wanted, recipe
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.job_context import JobContext

_WORKS = ("FROM ", "RUN ", "COPY ", "ADD ")
"""The instructions that take time; the others are settings of the image."""


@dataclass(frozen=True)
class DockerPreview:
    """The steps in order, and images by name; which steps are taken from them only the engine can say, as it builds."""

    inputs: Inputs
    installer: str
    steps: tuple[str, ...]
    caches: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """The plan as a JSON object."""
        lockfile = self.inputs.lockfile
        return {
            "engine": "docker",
            "environment": lockfile.digest,
            "packages": len(lockfile.conda),
            "steps": list(self.steps),
            "caches": list(self.caches),
            "warnings": [asdict(warning) for warning in self.inputs.warnings],
        }

    def text(self) -> str:
        """The steps, the caches and a sentence."""
        steps = [f"{number:4}  {step}" for number, step in enumerate(self.steps, 1)]
        caches = [f"      {name}" for name in self.caches] or ["      none but the engine's own"]
        return "\n".join(["step  instruction", *steps, "", "cache from", *caches, "", self.sentence])

    @property
    def sentence(self) -> str:
        """What a build would do, in one sentence."""
        lockfile = self.inputs.lockfile
        pip = f" and {len(lockfile.pip)} of pip" if lockfile.pip else ""
        return (
            f"The docker engine makes {len(self.steps)} steps; {self.installer} installs {len(lockfile.conda)} packages"
            f"{pip}. Which steps come from a cache, and how much is pushed, is decided while it builds."
        )


def preview(request: PlanRequest, inputs: Inputs, job: JobContext) -> DockerPreview:
    """The preview of a request; no engine and no base is asked, no package is fetched. Raises as `recipe`."""
    environment, drift = inputs.environment, inputs.drift
    made = recipe(
        inputs.lockfile,
        Wanted(
            base=" ".join(str(request.base).split()),
            installer=installer(request.installer),
            installer_image=str(request.installer_image or ""),
            vendored=[one for one in inputs.lockfile.conda if needs_us(one, inputs.sources, shares_host=True)],
            skipped=[one for one in inputs.lockfile.conda if one.dist in inputs.unlockable],
            pip=environment is None,
            removed=[entry.path for entry in drift.missing] if drift else (),
            overlay=bool(
                inputs.unlockable
                or (environment and environment.pip)
                or (drift and (drift.modified or drift.untracked))
            ),
            workspace="workspace/" if request.include else "",
        ),
    )
    text = re.sub(r" \\\n\s*", " ", made.dockerfile)
    steps = tuple(line for line in text.splitlines() if line.startswith(_WORKS))
    caches = tuple(map(str, cache_references(request, job)))
    return DockerPreview(inputs, request.installer, steps, caches)
