"""What the docker engine will do: the steps of its Dockerfile, and the images that it may take them from."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from jupyter_condabuild.distribution.destinations import cache_names
from jupyter_condabuild.engines.docker.context import needs_us
from jupyter_condabuild.engines.docker.installers import installer
from jupyter_condabuild.engines.docker.recipe import Wanted, recipe
from jupyter_condabuild.oci.registries import Registries
from jupyter_condabuild.planning.inputs import Prepared
from jupyter_condabuild.requests.build import BuildRequest

_WORKS = ("FROM ", "RUN ", "COPY ", "ADD ")
"""The instructions that take time; the others are settings of the image."""


@dataclass(frozen=True)
class DockerPlan:
    """The steps in order, and images by name; which steps are taken from them only the engine can say, as it builds."""

    prepared: Prepared
    installer: str
    steps: tuple[str, ...]
    caches: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """The plan as a JSON object."""
        lockfile = self.prepared.lockfile
        return {
            "engine": "docker",
            "environment": lockfile.digest,
            "packages": len(lockfile.conda),
            "steps": list(self.steps),
            "caches": list(self.caches),
            "warnings": [asdict(warning) for warning in self.prepared.warnings],
        }

    def text(self) -> str:
        """The steps, the caches and a sentence."""
        steps = [f"{number:4}  {step}" for number, step in enumerate(self.steps, 1)]
        caches = [f"      {name}" for name in self.caches] or ["      none but the engine's own"]
        return "\n".join(["step  instruction", *steps, "", "cache from", *caches, "", self.sentence])

    @property
    def sentence(self) -> str:
        """What a build would do, in one sentence."""
        lockfile = self.prepared.lockfile
        pip = f" and {len(lockfile.pip)} of pip" if lockfile.pip else ""
        return (
            f"The docker engine makes {len(self.steps)} steps; {self.installer} installs {len(lockfile.conda)} packages"
            f"{pip}. Which steps come from a cache, and how much is pushed, is decided while it builds."
        )


def docker_plan(request: BuildRequest, prepared: Prepared, stack: ExitStack) -> DockerPlan:
    """The plan of a request. Neither an engine nor a base is asked, and no package is fetched. Raises as `recipe`."""
    environment, drift = prepared.environment, prepared.drift
    made = recipe(
        prepared.lockfile,
        Wanted(
            base=" ".join(request.base.split()),
            installer=installer(request.installer),
            installer_image=request.installer_image,
            vendored=[one for one in prepared.lockfile.conda if needs_us(one, prepared.sources, shares_host=True)],
            skipped=[one for one in prepared.lockfile.conda if one.dist in prepared.unlockable],
            pip=environment is None,
            removed=[entry.path for entry in drift.missing] if drift else (),
            overlay=bool(
                prepared.unlockable
                or (environment and environment.pip)
                or (drift and (drift.modified or drift.untracked))
            ),
            workspace="workspace/" if request.include else "",
        ),
    )
    text = re.sub(r" \\\n\s*", " ", made.dockerfile)
    steps = tuple(line for line in text.splitlines() if line.startswith(_WORKS))
    caches = cache_names(request, Registries(stack, request.insecure_registries))
    return DockerPlan(prepared, request.installer, steps, caches)
