"""The layers above the base as the image describes them: which packages each should have, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.engines.layers.assemble import MOST_LAYERS
from jupyter_condabuild.engines.layers.reuse import title
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.image.configuration import CREATED_BY
from jupyter_condabuild.image.layers import CONTESTED
from jupyter_condabuild.jobs.proof.findings import Findings
from jupyter_condabuild.oci.image import LAYER_DIFF_ID, LAYER_KEY, LAYER_PACKAGES, Descriptor, Digest
from jupyter_condabuild.planning.layer_plan import PlannedLayer, layer_key, plan_layers
from jupyter_condabuild.text import printable


@dataclass(frozen=True)
class Row:
    """A layer above the base: its number in the image, its descriptor, the digest of its content, and its title."""

    number: int
    descriptor: Descriptor
    content: Digest | None
    title: str

    @property
    def name(self) -> str:
        """The layer in words."""
        return f"layer {self.number} ({printable(self.title, 100)})"


@dataclass
class Stack:
    """The layers above the base. An image says what each layer should be; only the content of a layer proves it.

    `planned` are the layers of packages in the order of the image. `contested` are layers under a key that belongs to
    no packages of the image alone. `others` come from no package, and `hidden` are replaced by later layers.
    """

    runtime: Row | None = None
    planned: list[tuple[Row, PlannedLayer]] = field(default_factory=list)
    contested: list[Row] = field(default_factory=list)
    others: list[Row] = field(default_factory=list)
    hidden: list[Row] = field(default_factory=list)


def read_stack(
    rows: Sequence[Row], runtime: Digest, hidden: Collection[Digest], lockfile: Lockfile, findings: Findings
) -> Stack:
    """Sorts the layers above the base. What no build of ours writes is added to the findings.

    Args:
        runtime: the digest of the content of the layer with the entrypoint.
    """
    stack = Stack()
    by_dist = {package.dist: package for package in lockfile.conda}
    seen: set[str] = set()
    guessed = {} if any(LAYER_KEY in row.descriptor.annotations for row in rows) else _guessed(rows, lockfile)
    for row in rows:
        key = row.descriptor.annotations.get(LAYER_KEY)
        names = row.descriptor.annotations.get(LAYER_PACKAGES, "").split()
        if row.descriptor.digest in hidden:
            stack.hidden.append(row)
        elif row.content == runtime and stack.runtime is None:
            stack.runtime = row
        elif row.number in guessed:
            stack.planned.append((row, guessed[row.number]))
        elif guessed and row.title == CONTESTED:
            stack.contested.append(row)
        elif not key:
            stack.others.append(row)
        elif unknown := [name for name in names if name not in by_dist]:
            findings.is_another(row.name, f"the lock file has no package {unknown[0]}")
        elif row.descriptor.annotations.get(LAYER_DIFF_ID) != str(row.content):
            findings.is_another(f"{row.name}: {', '.join(names)}", "its annotation names another diff_id")
        elif planned := _planned(key, tuple(by_dist[name] for name in names), lockfile):
            if again := seen.intersection(names):
                findings.is_another(row.name, f"a lower layer has {min(again)} already")
            seen.update(names)
            stack.planned.append((row, planned))
        else:
            stack.contested.append(row)
    if not stack.hidden:  # else the files that a container shows are compared
        _check_order(stack, findings)
    return stack


def _check_order(stack: Stack, findings: Findings) -> None:
    """Checks that packages are above the entrypoint, and contested paths above the packages."""
    first = stack.runtime.number if stack.runtime else 0
    last = max((row.number for row, _ in stack.planned), default=0)
    for row in [*(row for row, _ in stack.planned), *stack.contested]:
        if row.number < first:
            findings.is_another(row.name, "it is below the layer with the entrypoint")
    for row in stack.contested:
        if row.number < last:
            findings.is_another(row.name, "it is below a layer of packages")


def _planned(key: str, packages: tuple[CondaPackage, ...], lockfile: Lockfile) -> PlannedLayer | None:
    for compiled in (True, False):
        if key == layer_key(packages, lockfile.site_packages, compiled):
            return PlannedLayer(key, packages, compiled=compiled)
    return None


def _guessed(rows: Sequence[Row], lockfile: Lockfile) -> dict[int, PlannedLayer]:
    """Returns the planned layer of each layer of packages, by number, for an image whose layers have no annotations.

    A docker-archive and an engine keep no annotations. The titles in the history show the plan: it is the plan of one
    of the possible budgets.
    """
    titles = [row.title for row in rows]
    numbers = {row.title: row.number for row in reversed(rows)}
    for bytecode in (True, False):
        for budget in (96, *range(len(rows), MOST_LAYERS), *range(1, len(rows))):
            try:
                layers = plan_layers(lockfile, budget=budget, bytecode=bytecode, native=True).layers
            except LockfileError:
                return {}
            if layers and all(title(layer) in titles for layer in layers):
                return {numbers[title(layer)]: layer for layer in layers}
    return {}


def titles_of(history: Sequence[str]) -> list[str]:
    """Returns the lines of a history without the words that begin each line of ours."""
    return [line.removeprefix(CREATED_BY) for line in history]
