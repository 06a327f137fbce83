"""The job `plan`: the layers of a build, and which of them the registries and the local store have already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from jupyter_condabuild.distribution.destinations import open_destination
from jupyter_condabuild.engines.docker.preview import DockerPreview, preview
from jupyter_condabuild.engines.layers.reuse import Reuse
from jupyter_condabuild.engines.layers.stacking import forecast
from jupyter_condabuild.events import Report
from jupyter_condabuild.planning.inputs import Inputs, read_inputs
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.text import size_text
from jupyter_condabuild.trust.signature import Signature, signature_of, summary_of

_COMPRESSION = 1.15
"""The estimated ratio of a layer's compressed size to its packages' archives: gzip at level 1 to the archive's zstd."""


@dataclass(frozen=True)
class LayersPreview:
    """A plan, and the place of each of its layers: in the registry, in the local store, or nowhere.

    `in_registry` and `in_store` have keys of layers. `claimed` has the keys of layers that a registry claims to have,
    but that nobody whom the user trusts vouches for: they are built, compared, and not uploaded. `sizes` maps a key to
    the compressed size in bytes; for a layer that does not exist, the size is an estimate. `compared` says whether the
    plan is compared with a repository. `stacking` says what --stack would do; empty without --stack. `signature` is the
    signature of the image that the tag has now; None if it has none.
    """

    inputs: Inputs
    in_registry: frozenset[str]
    in_store: frozenset[str]
    claimed: frozenset[str]
    sizes: dict[str, int]
    compared: bool
    stacking: str = ""
    signature: Signature | None = None

    def _state(self, planned: PlannedLayer) -> str:
        if planned.key in self.in_registry:
            return "in registry"
        return "in store" if planned.key in self.in_store else "to build"

    @property
    def reused(self) -> int:
        """The number of layers that the registry has."""
        return sum(planned.key in self.in_registry for planned in self.inputs.plan.layers)

    @property
    def changed(self) -> int:
        """The number of packages whose layers the registry does not have."""
        return sum(len(planned.packages) for planned in self._missing())

    @property
    def bytes_to_push(self) -> int:
        """The estimated number of bytes that a push would send, without the base's layers."""
        return sum(self.sizes[planned.key] for planned in self._missing())

    def _missing(self) -> Iterator[PlannedLayer]:
        there = self.in_registry | self.claimed
        return (planned for planned in self.inputs.plan.layers if planned.key not in there)

    def summary(self) -> dict[str, Any]:
        """Returns the preview as a JSON object."""
        plan, lockfile = self.inputs.plan, self.inputs.lockfile
        return {
            "engine": "layers",
            "environment": lockfile.digest,
            "packages": len(lockfile.conda),
            "packages_changed": self.changed,
            "bytes_to_push": self.bytes_to_push,
            "threshold": plan.threshold,
            "stack": self.stacking,
            **summary_of(self.signature),
            "layers": [
                {
                    "key": planned.key,
                    "packages": list(planned.names),
                    "size": self.sizes[planned.key],
                    "state": self._state(planned),
                }
                for planned in plan.layers
            ],
            "warnings": [asdict(warning) for warning in self.inputs.warnings],
        }

    def text(self) -> str:
        """Returns the preview as a table and a sentence."""
        plan = self.inputs.plan
        rows = []
        for number, planned in enumerate(plan.layers, 1):
            names = ", ".join(planned.names[:3]) + (
                f" and {len(planned.names) - 3} more" if len(planned.names) > 3 else ""
            )
            rows.append(f"{number:4}  {self.sizes[planned.key] / 1e6:8.2f} MB  {self._state(planned):11}  {names}")
        advice = "" if self.compared else " Add -t REFERENCE to compare the plan with a repository."
        lines = ["layer        size  state        packages", *rows, "", self.sentence + advice]
        signed = f"The image that the tag has now: {self.signature.sentence}" if self.signature else ""
        return "\n".join([*lines, *filter(None, (self.stacking, signed))])

    @property
    def _claims(self) -> str:
        if not self.claimed:
            return ""
        return f" The registry claims to have {len(self.claimed)} more; they are built here and compared."

    @property
    def sentence(self) -> str:
        """A sentence that says what a build would do."""
        plan, lockfile = self.inputs.plan, self.inputs.lockfile
        if self.compared:
            return (
                f"{self.changed} of {len(lockfile.conda)} packages changed; about {size_text(self.bytes_to_push)} to "
                f"push; {self.reused} of {len(plan.layers)} layers already in the registry.{self._claims}"
            )
        built = sum(planned.key in self.in_store for planned in plan.layers)
        return (
            f"{len(lockfile.conda)} packages in {len(plan.layers)} layers, {size_text(sum(self.sizes.values()))}; "
            f"{built} layers already in the local store."
        )


def run(request: PlanRequest, report: Report) -> LayersPreview | DockerPreview:
    """Plans a build. With the layers engine, looks up the layers in registries and the store.

    Raises RegistryError, and the errors of `read_inputs` except NotReproducible.
    """
    with open_job(request, report) as job:
        inputs = read_inputs(replace(request, strict=False), job)
        return preview(request, inputs, job) if request.engine == "docker" else preview_layers(inputs, request, job)


def preview_layers(inputs: Inputs, request: PlanRequest, job: JobContext) -> LayersPreview:
    """Looks up the layers of a plan in registries and the store. Raises RegistryError."""
    store = job.store
    destination = open_destination(request, job)
    index = destination.index_of(inputs.plan.layers, store)
    reuse = Reuse(store, index, job.report, registry_first=True)
    sizes, in_store, in_registry, claimed = {}, set(), set(), set()
    for planned in inputs.plan.layers:
        reused = reuse.find(planned)
        if reused and reused.state == "reused-remote":
            in_registry.add(planned.key)
        elif index.of(planned.key):
            claimed.add(planned.key)
        if store.built(planned.key):
            in_store.add(planned.key)
        sizes[planned.key] = reused.descriptor.size if reused else int(planned.size * _COMPRESSION)
    compared, stacking = request.destination is not None, ""
    if request.stack and compared:
        stacking = forecast(index.current, inputs.plan.layers, sum(sizes.values()))
    signature = None
    if destination.repository and index.current:
        signature = signature_of(destination.repository, index.current.descriptor, job)
    return LayersPreview(
        inputs, frozenset(in_registry), frozenset(in_store), frozenset(claimed), sizes, compared, stacking, signature
    )
