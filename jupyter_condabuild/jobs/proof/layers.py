"""The layers of packages: each is made again from its packages, and the content is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from jupyter_condabuild.conda import sandbox
from jupyter_condabuild.conda.linking.interpreter import Compiling, is_like_ours
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.distribution.layer_index import LayerIndex
from jupyter_condabuild.engines.layers.engine import LayersEngine
from jupyter_condabuild.engines.layers.reuse import title
from jupyter_condabuild.errors import ImageError, LinkFailed
from jupyter_condabuild.image.layers import CONTESTED, ReadyLayer
from jupyter_condabuild.image.paths import HOME, OUTSIDE, PIP_LIST, PREFIX_IN_LAYER, SOURCES, USER, WORK, in_layer
from jupyter_condabuild.image.platforms import runs_here
from jupyter_condabuild.jobs.proof.bytecode import beside_bytecode
from jupyter_condabuild.jobs.proof.entries import entries, hazards
from jupyter_condabuild.jobs.proof.findings import Findings
from jupyter_condabuild.jobs.proof.stack import Row, Stack
from jupyter_condabuild.jobs.proof.tree import tree
from jupyter_condabuild.jobs.proof.verdict import pip_files
from jupyter_condabuild.oci.image import LAYER_KEY, Descriptor, Image
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.planning.layer_plan import LayerPlan, PlannedLayer, layer_key, plan_layers
from jupyter_condabuild.planning.shared_paths import contested_layer, paths_of
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import agreeing, counted, printable

_ROOTS = (PREFIX_IN_LAYER, in_layer(SOURCES), in_layer(OUTSIDE), in_layer(WORK), in_layer(HOME), in_layer(PIP_LIST))
_NAMED = 20
"""The highest number of paths of one layer that are named."""


class LayersProof:
    """Proves the layers above the base of one image of the layers engine."""

    def __init__(
        self, image: Image, lockfile: Lockfile, sources: PackageSources, level: int, job: JobContext, findings: Findings
    ) -> None:
        """`lockfile` is complete: each package has its sha256 and its size."""
        self._image = image
        self._lockfile = lockfile
        self._sources = sources
        self._level = level
        self._job = job
        self._findings = findings

    def prove(self, stack: Stack, base: Sequence[Descriptor], *, anew: bool) -> None:
        """Compares the content of each layer, and what the layers show together.

        Args:
            base: the layers below.
            anew: whether a layer is made again although this machine has made it before.

        Raises PackageError if a package is not available, StoreError, RegistryError.
        """
        if stack.runtime:
            self._findings.is_same("entrypoint and home")
        else:
            self._findings.is_another("entrypoint and home", "no layer has the content that this program makes")
        ordered = self._canonical(stack)
        plan = LayerPlan(tuple(planned for _, planned in ordered), 0)
        paths = paths_of(plan, None, self._sources, self._lockfile.site_packages)
        contested = contested_layer(plan, paths, self._lockfile.site_packages, self._job.report, self._sources)
        wanted = [*ordered, *self._contested(stack.contested, contested)]
        self._compare(wanted, anew=anew)
        names = {package.dist: package.name for package in self._lockfile.conda}
        self._others(stack, {path: names[dist] for dist, own in paths.items() for path in own})
        if stack.hidden:
            self._hidden(stack, base, [row for row, _ in wanted])

    def _canonical(self, stack: Stack) -> list[tuple[Row, PlannedLayer]]:
        """Returns the layers of packages in the order in which a build without stacking has them."""
        if not stack.hidden:
            return stack.planned
        packages = [planned.packages for _, planned in stack.planned]
        known = replace(self._lockfile, conda=tuple(package for group in packages for package in group))
        canonical = plan_layers(replace(known, conda=tuple(sorted(known.conda))), budget=len(packages) or 1).layers
        rank = {item.packages: number for number, item in enumerate(canonical)}
        return sorted(stack.planned, key=lambda item: rank.get(item[1].packages, len(rank)))

    def _contested(self, rows: Sequence[Row], expected: Sequence[PlannedLayer]) -> list[tuple[Row, PlannedLayer]]:
        """Pairs the layers of paths of several packages. There is one such layer at most."""
        for row in rows[len(expected) :]:
            self._findings.is_another(row.name, "its key is not that of packages of the lock file")
        for _ in expected[len(rows) :]:
            self._findings.is_another(CONTESTED, "the layer is missing")
        return list(zip(rows, expected, strict=False))

    def _compare(self, wanted: Sequence[tuple[Row, PlannedLayer]], *, anew: bool) -> None:
        left: list[tuple[Row, PlannedLayer]] = []
        for row, planned in wanted:
            stored = None if anew else self._job.store.built(planned.key)
            if row.content is None:
                continue  # the layer cannot be read, which is a finding already
            if stored and stored.blob.diff_id == row.content:
                self._same(planned)
            else:
                left.append((row, planned))
        last: Compiling = "never"
        for compiling in self._compilings(left):
            try:
                made = self._make([planned for _, planned in left], compiling)
            except LinkFailed:
                if compiling != "sandbox":
                    raise
                continue  # the interpreter does not run in a sandbox
            last = compiling
            left = [item for item in left if not self._is_same(item, made)]
            # Without annotations, nothing says whether a layer has bytecode.
            other = {row.number: self._otherwise(planned) for row, planned in left if _is_guessed(row, planned)}
            made = self._make(list(other.values()), last)
            left = [item for item in left if not self._is_same((item[0], other.get(item[0].number, item[1])), made)]
        if not left:
            return
        plain = [replace(planned, compiled=False) for _, planned in left]
        with Store(self._job.folder()) as store:
            ready = self._engine(store, "never").make(plain, self._lockfile)
            if ready.unavailable:
                raise ready.unavailable[0][1]
            for (row, planned), layer in zip(left, ready.layers, strict=True):
                if layer.diff_id == row.content:  # a layer without modules
                    self._same(planned)
                else:
                    self._differences(row, planned, store, layer, last)

    def _is_same(self, item: tuple[Row, PlannedLayer], made: Mapping[str, ReadyLayer]) -> bool:
        row, planned = item
        if planned.key not in made or made[planned.key].diff_id != row.content:
            return False
        self._same(planned)
        return True

    def _otherwise(self, planned: PlannedLayer) -> PlannedLayer:
        """Returns the layer of the same packages with bytecode if this layer has none, and without if it has."""
        compiled = not planned.compiled
        key = layer_key(planned.packages, self._lockfile.site_packages, compiled)
        return replace(planned, key=key, compiled=compiled)

    def _same(self, planned: PlannedLayer) -> None:
        self._findings.is_same(*([CONTESTED] if planned.only else planned.names))

    def _compilings(self, left: Sequence[tuple[Row, PlannedLayer]]) -> list[Compiling]:
        """Returns the ways in which the bytecode of layers is made, the first one first.

        Our own interpreter compiles without running anything of the image. The environment's runs in a sandbox alone.
        """
        python = self._lockfile.python
        if python is None or not any(planned.compiled for _, planned in left):
            return ["never"]
        ways: list[Compiling] = ["own"] if is_like_ours(python) else []
        if sandbox.available() and runs_here(self._lockfile.platform):
            ways.append("sandbox")
        return ways or ["never"]

    def _make(self, wanted: Sequence[PlannedLayer], compiling: Compiling) -> dict[str, ReadyLayer]:
        """Makes layers in an empty store. Returns them by key."""
        if not wanted:
            return {}
        with Store(self._job.folder()) as store:
            made = self._engine(store, compiling).make(wanted, self._lockfile)
            if made.unavailable:
                raise made.unavailable[0][1]
            return {planned.key: layer for planned, layer in zip(wanted, made.layers, strict=True)}

    def _engine(self, store: Store, compiling: Compiling) -> LayersEngine:
        return LayersEngine(
            replace(self._job, store=store),
            LayerIndex(),
            self._sources,
            self._level,
            lambda ready: None,
            live=False,
            registry="",
            compiling=compiling,
        )

    def _differences(
        self, row: Row, planned: PlannedLayer, store: Store, made: ReadyLayer, compiling: Compiling
    ) -> None:
        """Compares the entries of a layer with those that the packages give without bytecode.

        Args:
            compiling: the last way in which bytecode was made.
        """
        names = CONTESTED if planned.only else ", ".join(planned.names)
        try:
            found = entries(self._image, row.descriptor)
        except ImageError as error:
            self._findings.is_another(names, error.message)
            return
        expected = entries(store, made.descriptor)
        result = beside_bytecode(self._image, row.descriptor, store, made.descriptor, found, expected)
        for path, reason in result.differing[:_NAMED]:
            self._findings.is_another(f"{names}, /{path}", reason)
        if len(result.differing) > _NAMED:
            self._findings.is_another(names, f"{counted(len(result.differing) - _NAMED, 'more path')}")
        if result.differing:
            return
        modules = counted(result.bytecode, "module")
        if not result.bytecode:
            self._findings.is_another(names, "the layer has the same files, but other bytes")
        elif compiling == "sandbox":
            self._findings.is_another(names, f"the bytecode of {modules} is not what the environment's Python compiles")
        elif compiling == "own":
            ours = "not what this machine's Python compiles, and no sandbox ran the environment's"
            reason = f"the bytecode of {modules} is {ours}"
            self._findings.has_no_proof(names, reason)
        else:
            python = self._lockfile.python
            version = python.version if python else "another"
            reason = f"the bytecode of {modules} needs Python {printable(version)}, and no sandbox ran it"
            self._findings.has_no_proof(names, reason)

    def _others(self, stack: Stack, owners: Mapping[str, str]) -> None:
        """Names the layers that come from no package, and the packages that are in no layer.

        Args:
            owners: the name of the package of each path in the environment.
        """
        in_layers = {package.dist for _, planned in stack.planned for package in planned.packages}
        absent = {package.dist for package in self._lockfile.conda} - in_layers
        for row in stack.others:
            try:
                found = entries(self._image, row.descriptor)
            except ImageError as error:
                self._findings.is_another(row.name, error.message)
                continue
            for path, reason in list(hazards(found, _ROOTS, (0, USER)))[:_NAMED]:
                self._findings.is_another(f"{row.name}, /{path}", reason)
            self._findings.has_no_proof(
                row.name, f"its {counted(found, 'path')} {agreeing(found, 'comes', 'come')} from no package", own=True
            )
            self._findings.own.add(found, pip_files(self._image, row.descriptor), owners)
            copied = {dist for dist in absent if f"{PREFIX_IN_LAYER}/conda-meta/{dist}.json" in found}
            for dist in sorted(copied):
                reason = f"its files are in {row.name}, and not in a layer of packages"
                self._findings.has_no_proof(dist, reason, own=True)
            absent -= copied
        for dist in sorted(absent):
            self._findings.is_another(dist, "is in no layer")

    def _hidden(self, stack: Stack, base: Sequence[Descriptor], above: Sequence[Row]) -> None:
        """Compares the files that a stacked image shows with the files of the same layers in canonical order."""
        runtime = [stack.runtime] if stack.runtime else []
        canonical = [row.descriptor for row in (*runtime, *above, *stack.others)]
        shown = tree(self._image, self._image.manifest.layers)
        expected = tree(self._image, [*base, *canonical])
        wrong = [path for path in sorted({*shown, *expected}) if shown.get(path) != expected.get(path)]
        for path in wrong[:_NAMED]:
            self._findings.is_another(f"/{path}", "a layer that should be hidden shows through")
        if len(wrong) > _NAMED:
            self._findings.is_another("hidden layers", f"{counted(len(wrong) - _NAMED, 'more path')}")


def _is_guessed(row: Row, planned: PlannedLayer) -> bool:
    return LAYER_KEY not in row.descriptor.annotations and not planned.only


def expected_titles(stack: Stack) -> dict[int, str]:
    """Returns the titles of layers by number, as we write them. The other layers keep the titles of the image."""
    titles = {row.number: title(planned) for row, planned in stack.planned}
    titles |= {row.number: CONTESTED for row in stack.contested}
    return titles | ({stack.runtime.number: "entrypoint and home"} if stack.runtime else {})
