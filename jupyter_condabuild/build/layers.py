"""The layers engine: for each planned layer a blob, from a registry's manifest, the local store, or linked and written.

Whatever is found under a layer's key is used as it is; only what nobody has is fetched, linked and compressed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_condabuild.build import pool, writer
from jupyter_condabuild.build.known import Known, annotate
from jupyter_condabuild.build.phase import phase
from jupyter_condabuild.build.plan import PlannedLayer, layer_key
from jupyter_condabuild.conda.fetch import locate
from jupyter_condabuild.conda.link import StagedPackage, link
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.package_cache import PackageCaches
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.errors import CondaBuildError, PackageError, PackageMismatch
from jupyter_condabuild.events import Layer, LayerState, Log, Progress, Report, Warning
from jupyter_condabuild.oci.image import BlobSource, Descriptor, Digest
from jupyter_condabuild.oci.layer import LayerBlob
from jupyter_condabuild.oci.layout import Store

SMALL = 4 << 20
"""Bytes of archives up to which a worker process costs more time than it saves."""


@dataclass(frozen=True)
class ReadyLayer:
    """A layer that exists: what stands in the manifest, its diff_id, and who can read its blob."""

    descriptor: Descriptor
    diff_id: Digest
    source: BlobSource
    title: str
    state: LayerState


@dataclass(frozen=True)
class Origin:
    """Where packages come from: package caches, and dist to a download URL that may hold credentials.

    `live` says that an environment stands behind them, in which install scripts have run.
    """

    caches: PackageCaches
    urls: Mapping[str, str]
    live: bool


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
        store: Store,
        known: Known,
        origin: Origin,
        level: int,
        report: Report,
        ready: Callable[[ReadyLayer], None],
        *,
        registry_first: bool,
    ) -> None:
        self._store = store
        self._known = known
        self._origin = origin
        self._level = level
        self._report = report
        self._ready = ready
        self._registry_first = registry_first
        self._distrusted: set[str] = set()

    def make(self, planned_layers: Sequence[PlannedLayer], lockfile: Lockfile, bytecode: bool) -> PackageLayers:
        """All layers planned. Raises PackageMismatch, LinkFailed and the StoreErrors."""
        done: dict[str, ReadyLayer] = {}
        for planned in planned_layers:
            found = self._find(planned)
            if found:
                done[planned.key] = found
                self._announce(planned.key, planned.names, found)
        missing = [planned for planned in planned_layers if planned.key not in done]
        unavailable: tuple[tuple[CondaPackage, PackageError], ...] = ()
        layers = list(planned_layers)
        if missing:
            with self._store.folder() as work:
                with phase(self._report, "link"):
                    failures, staged = self._stage(missing, lockfile, work)
                if failures:
                    lost = [package for package in _packages(layers) if package.dist in failures]
                    unavailable = tuple((package, failures[package.dist]) for package in lost)
                    layers = _without(layers, set(failures), lockfile.site_packages, bytecode)
                    missing = [planned for planned in layers if planned.key not in done]
                self._write(missing, lockfile, staged, work, bytecode, done)
        return PackageLayers(tuple(done[planned.key] for planned in layers), unavailable)

    def _find(self, planned: PlannedLayer) -> ReadyLayer | None:
        remote = self._known.layers.get(planned.key)
        stored = None
        if remote is None or not self._registry_first:
            stored = self._store.layer(planned.key)
        if stored and self._store.has(stored.blob.descriptor):
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
        """Locates and links the packages of the missing layers, and python with those that need it."""
        packages = list(dict.fromkeys(_packages(missing)))
        python = lockfile.python
        if python and python not in packages and any(_needs_python(package) for package in packages):
            packages.append(python)
        self._report(Log(f"Linking {len(packages)} packages."))
        sources, failures = locate(
            packages,
            self._origin.caches,
            work / "downloads",
            urls=self._origin.urls,
            distrusted=self._distrusted,
            done=lambda package: self._report(Log(f"Downloaded {package.fn}.")),
        )
        if python and python.dist in failures:
            failures |= {package.dist: failures[python.dist] for package in packages if package.is_noarch_python}
        staged = link([package for package in packages if package.dist not in failures], sources, work / "link")
        for item in staged.values() if not self._origin.live else ():
            if (item.folder / f"bin/.{item.package.name}-post-link.sh").exists():
                self._report(
                    Warning(
                        "post-link-script-not-run",
                        f"{item.package.dist} has a script that should run when it is installed; layers run none.",
                        "Build from an environment where it ran, and the image gets what it made.",
                    )
                )
        return failures, staged

    def _write(
        self,
        missing: Sequence[PlannedLayer],
        lockfile: Lockfile,
        staged: Mapping[str, StagedPackage],
        work: Path,
        bytecode: bool,
        done: dict[str, ReadyLayer],
    ) -> None:
        python = lockfile.python
        interpreter = (
            staged[python.dist].folder / "bin/python" if bytecode and python and python.dist in staged else None
        )
        progress = _Total(self._report, sum(planned.size for planned in missing))
        damaged: list[PlannedLayer] = []
        failures: list[CondaBuildError] = []

        def job(planned: PlannedLayer) -> pool.Job:
            temporary = str(work / planned.key)

            def done_with(result: LayerBlob | CondaBuildError) -> None:
                if isinstance(result, PackageMismatch) and not self._distrusted.issuperset(planned.names):
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
            line = writer.job(parts, planned.only, interpreter, temporary, self._level)
            return pool.Job(planned.size, line, lambda count: progress.written(planned, count), done_with)

        small = len(missing) == 1 or sum(planned.size for planned in missing) <= SMALL
        pool.run([job(planned) for planned in missing], 0 if small else pool.cores())
        if failures:
            raise failures[0]
        if damaged:
            self._repair(damaged, lockfile, work, bytecode, done)

    def _repair(
        self,
        damaged: Sequence[PlannedLayer],
        lockfile: Lockfile,
        work: Path,
        bytecode: bool,
        done: dict[str, ReadyLayer],
    ) -> None:
        """Once more from the archives, for packages whose extracted folders in the package cache were altered."""
        names = {name for planned in damaged for name in planned.names}
        self._distrusted |= names
        self._report(
            Warning(
                "package-cache-damaged",
                f"Files of {', '.join(sorted(names))} were changed in the package cache; the original archive is used.",
                "'conda clean --packages' removes the damaged copies.",
            )
        )
        again = work / "repair"
        failures, staged = self._stage(damaged, lockfile, again)
        if failures:
            raise next(iter(failures.values()))
        self._write(damaged, lockfile, staged, again, bytecode, done)


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


def _without(layers: Sequence[PlannedLayer], dists: set[str], site: str, bytecode: bool) -> list[PlannedLayer]:
    """The layers less some packages; a layer that lost one has another key."""
    kept = []
    for planned in layers:
        packages = tuple(package for package in planned.packages if package.dist not in dists)
        if packages == planned.packages:
            kept.append(planned)
        elif packages and not planned.only:
            kept.append(replace(planned, key=layer_key(packages, site, bytecode), packages=packages))
    return kept


def _title(planned: PlannedLayer) -> str:
    if planned.only:
        return "paths of several packages"
    names = planned.names
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
