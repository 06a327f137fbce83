"""The layers engine: for each planned layer a blob, from a registry's manifest, the local store, or linked and written.

Whatever is found under a layer's key is used as it is; only what nobody has is fetched, linked and compressed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_condabuild.conda.fetch import locate
from jupyter_condabuild.conda.linking.link import StagedPackage, link
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.distribution.layer_index import LayerIndex, annotate
from jupyter_condabuild.engines.layers import worker_pool, writer
from jupyter_condabuild.errors import CondaBuildError, LinkFailed, PackageError, PackageMismatch
from jupyter_condabuild.events import Layer, LayerState, Log, Progress, Report, Warning
from jupyter_condabuild.image.layers import ReadyLayer
from jupyter_condabuild.image.paths import PREFIX
from jupyter_condabuild.oci.layer import LayerBlob
from jupyter_condabuild.planning.layer_plan import PlannedLayer, layer_key
from jupyter_condabuild.planning.shared_paths import winners_layer
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import listed

COMPILING = 15
"""How many times longer a byte of a noarch Python package takes than one of others, since modules are compiled."""

SMALL = 16 << 20
"""Bytes of archives, noarch ones counted so, up to which worker processes cost more time than they save."""


@dataclass(frozen=True)
class PackageLayers:
    """The layers of a plan in order, and the packages whose archives could not be had."""

    layers: tuple[ReadyLayer, ...]
    unavailable: tuple[tuple[CondaPackage, PackageError], ...] = ()


class LayersEngine:
    """Makes the package layers of one build.

    `ready` is called with each layer as soon as its blob exists, perhaps from another thread, so that an upload can
    begin while others are still being written.
    """

    def __init__(
        self,
        job: JobContext,
        index: LayerIndex,
        sources: PackageSources,
        level: int,
        ready: Callable[[ReadyLayer], None],
        *,
        live: bool,
        registry_first: bool,
    ) -> None:
        """`live` says that an environment stands behind the packages, in which their install scripts have run."""
        self._store = job.store
        self._report = job.report
        self._phase = job.phase
        self._index = index
        self._sources = sources
        self._level = level
        self._ready = ready
        self._live = live
        self._registry_first = registry_first

    def make(self, planned_layers: Sequence[PlannedLayer], lockfile: Lockfile) -> PackageLayers:
        """All layers planned. Raises PackageMismatch, LinkFailed and the StoreErrors."""
        done: dict[str, ReadyLayer] = {}
        for planned in planned_layers:
            found = self._find(planned)
            if found:
                done[planned.key] = found
                self._announce(planned.key, planned.names, found)
        missing = [planned for planned in planned_layers if planned.key not in done]
        layers = list(planned_layers)
        lost: dict[str, PackageError] = {}
        while missing:
            with self._store.folder() as work:
                with self._phase("link"):
                    failures, staged = self._stage(missing, lockfile, work)
                if failures:
                    lost |= failures
                    layers = _without(layers, lost.keys(), lockfile.site_packages)
                    missing = [planned for planned in layers if planned.key not in done]
                missing = self._write(missing, lockfile, staged, work, done)
        packages = dict.fromkeys(_packages(planned_layers))
        unavailable = tuple((package, lost[package.dist]) for package in packages if package.dist in lost)
        return PackageLayers(tuple(done[planned.key] for planned in layers), unavailable)

    def _find(self, planned: PlannedLayer) -> ReadyLayer | None:
        remote = self._index.layers.get(planned.key)
        stored = None
        if remote is None or not self._registry_first:
            stored = self._store.built(planned.key)
        if stored:
            return self._from_store(planned, stored.blob, "reused-local")
        if remote:
            descriptor = annotate(remote.descriptor, planned.key, remote.diff_id, planned.names)
            return ReadyLayer(descriptor, remote.diff_id, remote.repository, _title(planned), "reused-remote")
        return None

    def _from_store(self, planned: PlannedLayer, blob: LayerBlob, state: LayerState) -> ReadyLayer:
        descriptor = annotate(blob.descriptor, planned.key, blob.diff_id, planned.names)
        return ReadyLayer(descriptor, blob.diff_id, self._store, _title(planned), state)

    def _announce(self, key: str, names: tuple[str, ...], layer: ReadyLayer) -> None:
        self._report(Layer(key, names, layer.descriptor.size, layer.state))
        self._ready(layer)

    def _stage(
        self, missing: Sequence[PlannedLayer], lockfile: Lockfile, work: Path
    ) -> tuple[dict[str, PackageError], dict[str, StagedPackage]]:
        """Locates and links the packages of the missing layers, and python with those that need it.

        Returns the packages of these layers that cannot be had and why, and those that were linked, both by dist.
        """
        wanted = list(dict.fromkeys(_packages(missing)))
        python, helpers = lockfile.python, []
        # @EXPLICIT files name no dependencies
        bare = not any(package.depends for package in lockfile.conda)
        if python and python not in wanted and any(bare or _needs_python(package) for package in wanted):
            helpers = [python]
        packages = [*wanted, *helpers]
        self._report(Log(f"Linking {len(packages)} packages."))
        cached, failures = locate(
            packages,
            self._sources,
            work / "downloads",
            lambda package: self._report(Log(f"Downloaded {package.fn}.")),
        )
        if python and python.dist in failures:
            failures |= {package.dist: failures[python.dist] for package in packages if _needs_python(package)}
        try:
            found = [package for package in packages if package.dist not in failures]
            staged = link(found, cached, work / "link", PREFIX, [package.dist for package in helpers])
        except LinkFailed:
            broken = {dist for dist, place in cached.items() if not place.complete}
            if not broken:
                raise
            self._distrust(broken)
            return self._stage(missing, lockfile, work / "again")
        for item in staged.values() if not self._live else ():
            if item.brings(f"bin/.{item.package.name}-post-link.sh"):
                self._report(
                    Warning(
                        "post-link-script-not-run",
                        f"{item.package.dist} has a script that should run when it is installed; layers run none.",
                        "Build from an environment where it ran, and the image gets what it made.",
                    )
                )
        return {package.dist: failures[package.dist] for package in wanted if package.dist in failures}, staged

    def _write(
        self,
        missing: Sequence[PlannedLayer],
        lockfile: Lockfile,
        staged: Mapping[str, StagedPackage],
        work: Path,
        done: dict[str, ReadyLayer],
    ) -> list[PlannedLayer]:
        """Writes layers and adds them to `done`; returns those whose files in the package cache were altered."""
        python = lockfile.python
        interpreter = staged[python.dist].python if python and python.dist in staged else None
        progress = _Total(self._report, sum(planned.size for planned in missing))
        damaged: list[PlannedLayer] = []
        failures: list[CondaBuildError] = []

        def job(planned: PlannedLayer) -> worker_pool.Job:
            temporary = str(work / planned.key)

            def done_with(result: LayerBlob | CondaBuildError) -> None:
                if isinstance(result, PackageMismatch) and not self._sources.distrusted.issuperset(planned.names):
                    damaged.append(planned)
                elif isinstance(result, CondaBuildError):
                    failures.append(result)
                else:
                    self._store.adopt(temporary, result.descriptor.digest)
                    self._store.add_layer(planned.key, result, planned.names)
                    progress.finished(planned)
                    done[planned.key] = self._from_store(planned, result, "built")
                    self._announce(planned.key, planned.names, done[planned.key])

            parts = [staged[package.dist] for package in planned.packages]
            compiler = interpreter if planned.compiled else None
            only: dict[str, list[str]] = {}
            for path, dist in planned.only:
                only.setdefault(dist, []).append(path)
            line = writer.job(parts, only, compiler, temporary, self._level)
            effort = _effort(planned, compiling=compiler is not None)
            return worker_pool.Job(effort, line, lambda count: progress.written(planned, count), done_with)

        jobs = [job(planned) for planned in missing]
        small = len(jobs) == 1 or sum(job.effort for job in jobs) <= SMALL
        worker_pool.run(jobs, 0 if small else worker_pool.cores())
        if failures:
            raise failures[0]
        if damaged:
            self._distrust({name for planned in damaged for name in planned.names})
        return damaged

    def _distrust(self, dists: Set[str]) -> None:
        """From now on these packages are taken from their archives, not from extracted folders in the package cache."""
        self._sources = self._sources.distrusting(dists)
        self._report(
            Warning(
                "package-cache-damaged",
                f"Files of {listed(sorted(dists))} were changed in the package cache; the original archive is used.",
                "'conda clean --packages' removes the damaged copies.",
            )
        )


class _Total:
    """Reports how far the writing of layers is, in bytes of package archives, for each layer and for all."""

    _COMPRESSION = 0.3  # of tar bytes, roughly: how far within a layer is only ever an estimate

    def __init__(self, report: Report, total: int) -> None:
        self._report = report
        self._total = total
        self._finished = 0
        self._partial: dict[str, float] = {}
        self._lock = threading.Lock()

    def written(self, planned: PlannedLayer, tar_bytes: int) -> None:
        with self._lock:
            reached = self._partial.get(planned.key, 0.0) + tar_bytes * self._COMPRESSION
            self._partial[planned.key] = min(reached, float(planned.size))
            self._report(Progress(_title(planned), int(self._partial[planned.key]), planned.size))
            self._total_line()

    def finished(self, planned: PlannedLayer) -> None:
        with self._lock:
            self._partial.pop(planned.key, None)
            self._finished += planned.size
            self._report(Progress(_title(planned), planned.size, planned.size))
            self._total_line()

    def _total_line(self) -> None:
        self._report(Progress("layers", self._finished + int(sum(self._partial.values())), self._total))


def _packages(layers: Sequence[PlannedLayer]) -> list[CondaPackage]:
    return [package for planned in layers for package in planned.packages]


def _needs_python(package: CondaPackage) -> bool:
    return package.is_noarch_python or any(spec.split()[0] == "python" for spec in package.depends if spec.strip())


def _effort(planned: PlannedLayer, *, compiling: bool) -> int:
    """About how much work a layer is, in bytes of archives that are only packed."""
    sizes = ((package.size or 0, package.is_noarch_python) for package in planned.packages)
    return sum(size * COMPILING if compiling and noarch else size for size, noarch in sizes)


def _without(layers: Sequence[PlannedLayer], dists: Set[str], site_packages: str) -> list[PlannedLayer]:
    """The layers without some packages; a layer that lost a package has another key.

    Files of these packages are copied from the environment, on top of all package layers.
    """
    kept = []
    for planned in layers:
        packages = tuple(package for package in planned.packages if package.dist not in dists)
        if packages == planned.packages:
            kept.append(planned)
        elif packages and planned.only:
            by_dist = {package.dist: package for package in packages}
            left = {path: by_dist[dist] for path, dist in planned.only if dist in by_dist}
            kept += [winners_layer(left, site_packages, compiled=planned.compiled)] if left else []
        elif packages:
            key = layer_key(packages, site_packages, planned.compiled)
            kept.append(replace(planned, key=key, packages=packages))
    return kept


def _title(planned: PlannedLayer) -> str:
    if planned.only:
        return "paths of several packages"
    names = planned.names
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
