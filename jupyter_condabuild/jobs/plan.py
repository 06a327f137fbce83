"""What to know before a build: the report on an environment, and the preview of a plan against what exists already."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.drift import Drift, drift
from jupyter_condabuild.conda.environment import Environment
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.snapshot import snapshot
from jupyter_condabuild.distribution.destinations import open_places
from jupyter_condabuild.engines.docker.preview import DockerPlan, docker_plan
from jupyter_condabuild.engines.layers.stacking import forecast
from jupyter_condabuild.events import Report, phase
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registries import Registries
from jupyter_condabuild.planning.inputs import Prepared, prepare
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.requests.build import BuildRequest
from jupyter_condabuild.text import size_text

_COMPRESSION = 1.15
"""A layer's compressed size over its package's archive, about: gzip at level 1 against the archive's zstd."""


@dataclass(frozen=True)
class LockReport:
    """An environment, how far it drifted, and its lock file."""

    environment: Environment
    drift: Drift
    lockfile: Lockfile

    def summary(self) -> dict[str, Any]:
        """The report as a JSON object."""
        environment, changes = self.environment, self.drift
        return {
            "name": environment.name,
            "prefix": str(environment.prefix),
            "platform": environment.platform,
            "digest": self.lockfile.digest,
            "conda": len(self.lockfile.conda),
            "pip": len(self.lockfile.pip),
            "channels": dict(Counter(package.channel for package in self.lockfile.conda)),
            "requested": list(self.lockfile.requested),
            "modified": [entry.path for entry in changes.modified],
            "missing": [entry.path for entry in changes.missing],
            "untracked": [entry.path for entry in changes.untracked],
            "warnings": [asdict(warning) for warning in (*environment.warnings, *changes.warnings)],
        }

    def text(self) -> str:
        """The report in two or three lines; warnings have been reported one by one."""
        lockfile = self.lockfile
        python = f", Python {lockfile.python.version}" if lockfile.python else ""
        pip = f", {len(lockfile.pip)} from pip" if lockfile.pip else ""
        channels = Counter(package.channel for package in lockfile.conda).most_common()
        lines = [f"{self.environment.name}: {len(lockfile.conda)} conda packages{pip}{python}, {lockfile.platform}"]
        lines += [f"  {count:4} from {channel}" for channel, count in channels]
        return "\n".join([*lines, f"Environment {lockfile.digest}"])


def lock_report(prefix: Path, report: Report) -> LockReport:
    """Reads an environment. Raises PrefixError."""
    with phase(report, "snapshot"):
        environment = snapshot(prefix)
        changes = drift(environment)
    with phase(report, "lock"):
        found = lock(environment)
    for warning in (*environment.warnings, *changes.warnings):
        report(warning)
    return LockReport(environment, changes, found)


@dataclass(frozen=True)
class Preview:
    """A plan, and where each of its layers is already: in the registry, in the local store, or nowhere.

    `sizes` are compressed bytes by key: known ones, and estimates for layers that do not exist. `stack` says what
    stacking would do, where it was asked for.
    """

    prepared: Prepared
    in_registry: frozenset[str]
    in_store: frozenset[str]
    sizes: dict[str, int]
    compared: bool
    stack: str = ""

    def _state(self, planned: PlannedLayer) -> str:
        if planned.key in self.in_registry:
            return "in registry"
        return "in store" if planned.key in self.in_store else "to build"

    @property
    def reused(self) -> int:
        """Layers that the registry has."""
        return sum(planned.key in self.in_registry for planned in self.prepared.plan.layers)

    @property
    def changed(self) -> int:
        """Packages whose layers the registry lacks."""
        return sum(
            len(planned.packages) for planned in self.prepared.plan.layers if planned.key not in self.in_registry
        )

    @property
    def bytes_to_push(self) -> int:
        """About how many bytes a push would send, the base's layers aside."""
        return sum(
            self.sizes[planned.key] for planned in self.prepared.plan.layers if planned.key not in self.in_registry
        )

    def summary(self) -> dict[str, Any]:
        """The preview as a JSON object."""
        plan, lockfile = self.prepared.plan, self.prepared.lockfile
        return {
            "engine": "layers",
            "environment": lockfile.digest,
            "packages": len(lockfile.conda),
            "packages_changed": self.changed,
            "bytes_to_push": self.bytes_to_push,
            "threshold": plan.threshold,
            "stack": self.stack,
            "layers": [
                {
                    "key": planned.key,
                    "packages": list(planned.names),
                    "size": self.sizes[planned.key],
                    "state": self._state(planned),
                }
                for planned in plan.layers
            ],
            "warnings": [asdict(warning) for warning in self.prepared.warnings],
        }

    def text(self) -> str:
        """The preview as a table and a sentence."""
        plan = self.prepared.plan
        rows = []
        for number, planned in enumerate(plan.layers, 1):
            names = ", ".join(planned.names[:3]) + (
                f" and {len(planned.names) - 3} more" if len(planned.names) > 3 else ""
            )
            rows.append(f"{number:4}  {self.sizes[planned.key] / 1e6:8.2f} MB  {self._state(planned):11}  {names}")
        advice = "" if self.compared else " With -t REFERENCE, compared with what its repository has."
        lines = ["layer        size  state        packages", *rows, "", self.sentence + advice]
        return "\n".join([*lines, *([self.stack] if self.stack else [])])

    @property
    def sentence(self) -> str:
        """What a build would do, in one sentence."""
        plan, lockfile = self.prepared.plan, self.prepared.lockfile
        if self.compared:
            return (
                f"{self.changed} of {len(lockfile.conda)} packages changed; about {size_text(self.bytes_to_push)} to "
                f"push; {self.reused} of {len(plan.layers)} layers already in the registry."
            )
        built = sum(planned.key in self.in_store for planned in plan.layers)
        return (
            f"{len(lockfile.conda)} packages in {len(plan.layers)} layers, {size_text(sum(self.sizes.values()))}; "
            f"{built} layers already in the local store."
        )


def preview(request: BuildRequest, report: Report) -> Preview | DockerPlan:
    """Plans a build; of the layers engine, asks what registries and store have. Raises as `prepare`, RegistryError."""
    with ExitStack() as stack:
        store = stack.enter_context(Store(Path(request.store_dir)))
        work = stack.enter_context(store.folder())
        prepared = prepare(replace(request, strict=False), work, report)
        if request.engine == "docker":
            return docker_plan(request, prepared, stack)
        return compare(prepared, request, store, stack, report)


def compare(prepared: Prepared, request: BuildRequest, store: Store, stack: ExitStack, report: Report) -> Preview:
    """Asks registries and the store which layers of a plan are there. Raises RegistryError."""
    places = open_places(request, store, Registries(stack, request.insecure_registries), report)
    known = places.known_of(prepared.plan.layers, store)
    sizes, in_store = {}, set()
    for planned in prepared.plan.layers:
        if stored := store.built(planned.key):
            in_store.add(planned.key)
            sizes[planned.key] = stored.blob.descriptor.size
        elif planned.key in known.layers:
            sizes[planned.key] = known.layers[planned.key].descriptor.size
        else:
            sizes[planned.key] = int(planned.size * _COMPRESSION)
    forecasted = ""
    if request.stack and request.push:
        forecasted = forecast(known.current, prepared.plan.layers, sum(sizes.values()))
    return Preview(prepared, frozenset(known.layers), frozenset(in_store), sizes, request.push, forecasted)
