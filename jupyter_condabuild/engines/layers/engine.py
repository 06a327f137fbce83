"""The layers engine: it gets a blob for each planned layer from a registry, from the local store, or by writing it.

A layer that a registry or the store has under the same key is reused. Only for the missing layers are packages fetched,
linked and compressed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_condabuild.conda.fetch import locate
from jupyter_condabuild.conda.linking import modes
from jupyter_condabuild.conda.linking.interpreter import Compiling, Interpreter, chosen
from jupyter_condabuild.conda.linking.link import StagedPackage, link
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.package_cache import Cached
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.distribution.layer_index import LayerIndex
from jupyter_condabuild.distribution.streams import STREAMED_FROM
from jupyter_condabuild.engines.layers import worker_pool, writer
from jupyter_condabuild.engines.layers.reuse import Reuse, title
from jupyter_condabuild.engines.layers.shares import Share
from jupyter_condabuild.errors import CondaBuildError, LinkFailed, PackageError, PackageMismatch
from jupyter_condabuild.events import Layer, Log, Progress, Warning
from jupyter_condabuild.image.layers import ReadyLayer
from jupyter_condabuild.image.paths import PREFIX
from jupyter_condabuild.oci.layer import LayerBlob
from jupyter_condabuild.planning.layer_plan import PlannedLayer, layer_key
from jupyter_condabuild.planning.shared_paths import winners_layer
from jupyter_condabuild.progress import making
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.system import process_tree
from jupyter_condabuild.text import counted, listed

COMPILING = 15
"""The work for a byte of a noarch Python package, whose modules are compiled, relative to a byte of other packages."""

SMALL = 16 << 20
"""The effort (see `_effort`) up to which worker processes cost more time than they save."""


@dataclass(frozen=True)
class PackageLayers:
    """The layers of a plan in order, and the packages whose archives are not available, each with the reason."""

    layers: tuple[ReadyLayer, ...]
    unavailable: tuple[tuple[CondaPackage, PackageError], ...] = ()


class LayersEngine:
    """Makes the package layers of one build."""

    def __init__(
        self,
        job: JobContext,
        index: LayerIndex,
        sources: PackageSources,
        level: int,
        ready: Callable[[ReadyLayer], None],
        *,
        live: bool,
        registry: str,
        compiling: Compiling,
        planned: Callable[[Sequence[PlannedLayer], Mapping[str, ReadyLayer]], object] = lambda missing, found: None,
        growing: Callable[[PlannedLayer, str], object] = lambda layer, path: None,
        abandoned: Callable[[PlannedLayer], object] = lambda layer: None,
    ) -> None:
        """Makes an engine.

        Args:
            index: the layers that registries have, by key.
            sources: the package cache and the channels.
            level: the compression level, 0 to 3.
            ready: called with each layer as soon as its blob exists, possibly from another thread, so that the upload
                can start while other layers are written.
            live: whether the packages come from an environment, in which their install scripts have run.
            registry: the host of the destination. A layer that both this registry and the store have is reused from
                the registry. Empty if there is no destination.
            compiling: the interpreter that compiles modules.
            planned: called once with the layers that must be made, and with the other layers by key.
            growing: called when the file of a large layer that nobody is known to have has grown, with its path.
            abandoned: called when such a file is not used.
        """
        self._store = job.store
        self._report = job.report
        self._phase = job.phase
        self.reuse = Reuse(job.store, index, job.report, registry=registry)
        self._sources = sources
        self._level = level
        self._ready = ready
        self._live = live
        self._compiling = compiling
        self._planned = planned
        self._index = index
        self._growing = growing
        self._abandoned = abandoned
        self._progress = _LayerProgress(job)
        self.fetched: Counter[str] = Counter()
        """The number of bytes that were fetched, by host."""
        self.fetching = 0.0
        """The seconds in which packages were searched for and fetched."""

    def make(self, planned_layers: Sequence[PlannedLayer], lockfile: Lockfile) -> PackageLayers:
        """Returns all planned layers, without the packages whose archives are not available.

        Raises PackageMismatch, LinkFailed or StoreError.
        """
        done: dict[str, ReadyLayer] = {}
        for planned in planned_layers:
            reused = self.reuse.find(planned)
            if reused:
                done[planned.key] = reused
                self._announce(planned.key, planned.names, reused)
        self.reuse.report_hints()
        missing = [planned for planned in planned_layers if planned.key not in done]
        self._planned(missing, done)
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

    def _announce(self, key: str, names: tuple[str, ...], layer: ReadyLayer) -> None:
        self._report(Layer(key, names, layer.descriptor.size, layer.state))
        self._ready(layer)

    def _stage(
        self, missing: Sequence[PlannedLayer], lockfile: Lockfile, work: Path
    ) -> tuple[dict[str, PackageError], dict[str, StagedPackage]]:
        """Finds and links the packages of the missing layers, and python if one of them needs it.

        Returns the errors of the packages of these layers that are not available, and the linked packages; both by
        dist.
        """
        needed = list(dict.fromkeys(_packages(missing)))
        python, helpers = lockfile.python, []
        # @EXPLICIT files do not contain dependencies: any of their packages may need python.
        no_depends = not any(package.depends for package in lockfile.conda)
        if python and python not in needed and any(no_depends or _needs_python(package) for package in needed):
            helpers = [python]
        packages = [*needed, *helpers]
        self._report(Log(f"Linking {counted(packages, 'package')}."))
        begun = time.monotonic()
        cached, failures = locate(packages, self._sources, work / "downloads", self._note_download)
        self.fetching += time.monotonic() - begun
        if python and python.dist in failures:
            failures |= {package.dist: failures[python.dist] for package in packages if _needs_python(package)}
        try:
            available = [package for package in packages if package.dist not in failures]
            staged = link(available, cached, work / "link", PREFIX, [package.dist for package in helpers])
        except LinkFailed:
            incomplete = {dist for dist, place in cached.items() if not place.complete}
            if not incomplete:
                raise
            self._distrust(incomplete)
            return self._stage(missing, lockfile, work / "again")
        if not self._live:
            self._report_modes([staged[package.dist] for package in needed if package.dist in staged], cached)
        return {package.dist: failures[package.dist] for package in needed if package.dist in failures}, staged

    def _note_download(self, package: CondaPackage) -> None:
        self._report(Log(f"Downloaded {package.fn}."))
        if host := self._sources.host(package):
            self.fetched[host] += package.size or 0

    def _report_modes(self, staged: Sequence[StagedPackage], cached: Mapping[str, Cached]) -> None:
        """Says which files of a lock file's packages get other permissions. An environment's report has them, too."""
        changed: list[str] = []
        for item in staged:
            was_extracted = cached[item.package.dist].extracted
            names = modes.changed_in(item.extracted.folder) if was_extracted else item.changed_modes
            changed += [name for name in names if not name.startswith("info/")]
        for warning in modes.mode_warnings(changed):
            self._report(warning)

    def _write(
        self,
        missing: Sequence[PlannedLayer],
        lockfile: Lockfile,
        staged: Mapping[str, StagedPackage],
        work: Path,
        done: dict[str, ReadyLayer],
    ) -> list[PlannedLayer]:
        """Writes the missing layers and adds them to `done`.

        Returns the layers that could not be written because files in the package cache have changed. Their packages
        are taken from archives at the next attempt.
        """
        python = lockfile.python
        interpreter = chosen(self._compiling, staged[python.dist].python if python and python.dist in staged else None)
        if interpreter and not self._live and any(planned.compiled for planned in missing):
            self._report_compiling(interpreter)
        damaged: list[PlannedLayer] = []
        failures: list[CondaBuildError] = []
        efforts = [_effort(planned, compiling=planned.compiled and interpreter is not None) for planned in missing]
        is_small = len(missing) == 1 or sum(efforts) <= SMALL
        share = Share.of(process_tree.processors(), 1 if is_small else len(missing))
        if interpreter:
            interpreter = replace(interpreter, at_once=share.at_once)
        total = sum(planned.size for planned in missing)

        def job(planned: PlannedLayer, effort: int) -> worker_pool.Job:
            temporary = str(work / planned.key)

            is_streamed = planned.size >= STREAMED_FROM and not (
                self._index.of(planned.key) or self._store.layer(planned.key)
            )

            def written(count: int) -> None:
                self._progress.written(planned, count)
                if is_streamed:
                    self._growing(planned, temporary)

            def finish(result: LayerBlob | CondaBuildError) -> None:
                if isinstance(result, CondaBuildError):
                    self._abandoned(planned)
                if isinstance(result, PackageMismatch) and not self._sources.distrusted.issuperset(planned.names):
                    damaged.append(planned)
                elif isinstance(result, CondaBuildError):
                    failures.append(result)
                else:
                    self._store.adopt(temporary, result.descriptor.digest)
                    self._store.add_layer(planned.key, result, planned.names)
                    self._progress.finished(planned)
                    done[planned.key] = self.reuse.from_store(planned, result, "built")
                    self._announce(planned.key, planned.names, done[planned.key])

            parts = [staged[package.dist] for package in planned.packages]
            compiler = interpreter if planned.compiled else None
            only: dict[str, list[str]] = {}
            for path, dist in planned.only:
                only.setdefault(dist, []).append(path)
            threads = share.threads(planned.size, planned.size if is_small else total)
            line = writer.job(parts, only, compiler, temporary, self._level, threads)
            return worker_pool.Job(effort, line, written, finish)

        jobs = [job(planned, effort) for planned, effort in zip(missing, efforts, strict=True)]
        worker_pool.run(jobs, 0 if is_small else share.workers)
        if failures:
            raise failures[0]
        if damaged:
            self._distrust({name for planned in damaged for name in planned.names})
        return damaged

    def _report_compiling(self, interpreter: Interpreter) -> None:
        """Says that a program of the packages runs here, although somebody else may have chosen the packages."""
        if interpreter.sandboxed:
            text = "the lock file's Python in a sandbox, without network, your files and your variables"
            self._report(Log(f"Compiling runs {text}. With build --no-bytecode, nothing is compiled."))
        elif self._compiling == "environment":
            self._report(
                Warning(
                    "compiling-runs-python",
                    "Compiling runs the lock file's Python with your rights, because there is no sandbox here.",
                    "If somebody else made the lock file: install bubblewrap, or use --no-bytecode.",
                )
            )

    def _distrust(self, dists: Set[str]) -> None:
        """Uses the archives of these packages from now on, not their extracted folders in the package cache."""
        self._sources = self._sources.distrusting(dists)
        self._report(
            Warning(
                "package-cache-damaged",
                f"Files of {listed(sorted(dists))} were changed in the package cache; the archives are used instead.",
                "'conda clean --packages' removes the damaged copies.",
            )
        )


class _LayerProgress:
    """Reports the progress of writing layers, in bytes of archives. It never falls, even at a second attempt."""

    _COMPRESSION = 0.3  # a typical ratio of archive bytes to tar bytes: the progress within a layer is an estimate

    def __init__(self, job: JobContext) -> None:
        self._report = job.report
        self._whole = job.progress
        self._partial: dict[str, float] = {}
        self._lock = threading.Lock()

    def written(self, planned: PlannedLayer, tar_bytes: int) -> None:
        with self._lock:
            reached = self._partial.get(planned.key, 0.0) + tar_bytes * self._COMPRESSION
            self._partial[planned.key] = min(reached, float(planned.size))
            self._reached(planned, int(self._partial[planned.key]))

    def finished(self, planned: PlannedLayer) -> None:
        with self._lock:
            self._partial[planned.key] = float(planned.size)
            self._reached(planned, planned.size)
        self._whole.done(making(planned.key))

    def _reached(self, planned: PlannedLayer, complete: int) -> None:
        self._report(Progress(title(planned), complete, planned.size))
        self._whole.reached(making(planned.key), complete, planned.size)


def _packages(layers: Sequence[PlannedLayer]) -> list[CondaPackage]:
    return [package for planned in layers for package in planned.packages]


def _needs_python(package: CondaPackage) -> bool:
    return package.is_noarch_python or any(spec.split()[0] == "python" for spec in package.depends if spec.strip())


def _effort(planned: PlannedLayer, *, compiling: bool) -> int:
    """Returns the estimated work for a layer, in bytes of archives whose modules are not compiled."""
    sizes = ((package.size or 0, package.is_noarch_python) for package in planned.packages)
    return sum(size * COMPILING if compiling and noarch else size for size, noarch in sizes)


def _without(layers: Sequence[PlannedLayer], dists: Set[str], site_packages: str) -> list[PlannedLayer]:
    """Returns the layers without some packages. A layer that loses a package gets another key.

    The overlay, which is above all package layers, gets the files of these packages from the environment.
    """
    kept = []
    for planned in layers:
        packages = tuple(package for package in planned.packages if package.dist not in dists)
        if packages == planned.packages:
            kept.append(planned)
        elif packages and planned.only:
            by_dist = {package.dist: package for package in packages}
            remaining = {path: by_dist[dist] for path, dist in planned.only if dist in by_dist}
            kept += [winners_layer(remaining, site_packages, compiled=planned.compiled)] if remaining else []
        elif packages:
            key = layer_key(packages, site_packages, planned.compiled)
            kept.append(replace(planned, key=key, packages=packages))
    return kept
