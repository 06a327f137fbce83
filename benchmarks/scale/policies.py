"""Policies that group packages into layers: our plan, our plan with other constants or another order, and others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from typing import NamedTuple, Protocol
from unittest.mock import patch

from benchmarks.scale.lab import Lab
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.planning import layer_plan as planning
from jupyter_condabuild.planning.layer_plan import BINS, THRESHOLDS, layer_key

WHITEOUTS = 2000
"""The bytes of the layer of whiteouts, which hides the files of replaced packages in a stacked image."""

MOST_LAYERS = 125 - 3
"""The highest number of package layers: the engines' limit, minus the layers of the base image and the runtime."""

ALL_ALONE = (0, 64 << 10, *THRESHOLDS)
COARSE = (256 << 10, 4 << 20, 64 << 20, 1 << 62)
FINE = (*(1 << power for power in range(18, 27)), 1 << 62)
"""Lists of thresholds other than the powers of four of the plan."""


class Layer(NamedTuple):
    """A layer. Layers with equal keys have equal bytes. `size` is the size of the packages' archives in bytes."""

    key: str
    size: int
    packages: tuple[CondaPackage, ...]


@dataclass(frozen=True)
class Image:
    """The package layers of an image.

    Args:
        layers: the layers, the lowest first.
        hidden: the keys of the layers that upper layers replace.
        canonical: whether the image depends on the lock file only, and not on an earlier image.
    """

    layers: tuple[Layer, ...]
    hidden: frozenset[str] = frozenset()
    canonical: bool = True

    @cached_property
    def size(self) -> int:
        """The bytes of all layers."""
        return sum(layer.size for layer in self.layers)

    @cached_property
    def stale(self) -> int:
        """The bytes of the hidden layers. A node that pulls the image for the first time downloads them for nothing."""
        return sum(layer.size for layer in self.layers if layer.key in self.hidden)


class Policy(Protocol):
    """Makes the image of a lock file. `current` is the image that the tag has, or None."""

    @property
    def name(self) -> str: ...
    def image(self, lockfile: Lockfile, current: Image | None) -> Image: ...


Order = Callable[[Layer], tuple[object, ...]]


@dataclass(frozen=True)
class Planned:
    """Our plan, also with other constants, or with the layers of single packages in another order.

    Args:
        budget: the highest number of layers.
        thresholds: sizes in bytes. Packages from the smallest threshold that keeps the budget have their own layers.
        bins: the number of layers for small packages.
        order: the sort key for layers of single packages. None for the order of the plan.
    """

    name: str
    budget: int = 96
    thresholds: tuple[int, ...] = THRESHOLDS
    bins: int = BINS
    order: Order | None = None

    def image(self, lockfile: Lockfile, current: Image | None) -> Image:  # noqa: ARG002 the image is canonical
        """Returns the canonical image, whatever image the tag has."""
        layers = _planned(lockfile, self.budget, self.thresholds, self.bins)
        if self.order:
            alone = [layer for layer in layers if len(layer.packages) == 1]
            shared = [layer for layer in layers if len(layer.packages) > 1]
            layers = (*sorted(alone, key=self.order), *shared)
        return Image(layers)


@lru_cache(maxsize=4096)  # policies that differ only in their order run one after another and share the plans
def _planned(lockfile: Lockfile, budget: int, thresholds: tuple[int, ...], bins: int) -> tuple[Layer, ...]:
    with patch.multiple(planning, THRESHOLDS=thresholds, BINS=bins):
        plan = planning.plan_layers(lockfile, budget=budget)
    return tuple(Layer(layer.key, layer.size, layer.packages) for layer in plan.layers)


@dataclass(frozen=True)
class Alone:
    """The first `count` packages have a layer each. All others share one layer on top.

    Args:
        first: the sort key of the packages.
    """

    name: str
    count: int = 0
    first: Callable[[CondaPackage], float] = lambda package: 0.0

    def image(self, lockfile: Lockfile, current: Image | None) -> Image:  # noqa: ARG002 the image is canonical
        """Returns the canonical image, whatever image the tag has."""
        packages = sorted(lockfile.conda, key=lambda package: (self.first(package), package.name))
        groups = [*((package,) for package in packages[: self.count]), tuple(packages[self.count :])]
        return Image(tuple(_layer(group, lockfile.site_packages) for group in groups if group))


@dataclass(frozen=True)
class Stacked:
    """Puts new layers on top of the image that the tag has, until too many of its bytes are stale.

    Args:
        share: the highest ratio of stale bytes to the bytes of the canonical image.
        canonical: the policy for the canonical image.
    """

    name: str
    share: float
    canonical: Planned = field(default_factory=lambda: Planned("canonical"))

    def image(self, lockfile: Lockfile, current: Image | None) -> Image:
        """Returns the tag's image with more layers on top, or the canonical image."""
        canonical = self.canonical.image(lockfile, None)
        if current is None:
            return canonical
        visible = {layer.key for layer in current.layers} - current.hidden
        gone = visible - {layer.key for layer in canonical.layers}
        added = [layer for layer in canonical.layers if layer.key not in visible]
        layers = [*current.layers, *added]
        if gone:
            key = hashlib.sha256("\n".join(layer.key for layer in layers).encode()).hexdigest()
            layers.insert(len(current.layers), Layer(key, WHITEOUTS, ()))
            gone |= {key}
        image = Image(tuple(layers), current.hidden | gone, canonical=False)
        comes_back = any(layer.key in current.hidden for layer in added)
        rebuild = comes_back or len(layers) > MOST_LAYERS or image.stale > self.share * canonical.size
        return canonical if rebuild or not visible - gone else image


@cache
def _layer(packages: tuple[CondaPackage, ...], site_packages: str) -> Layer:
    size = sum(package.size or 0 for package in packages)
    return Layer(layer_key(packages, site_packages, bytecode=True), size, packages)


def policies(lab: Lab) -> list[Policy]:
    """Returns the policies to compare. The lab gives the popularity of a project and the number of its releases."""
    rank = {project.name: project.rank for project in lab.projects}
    releases = {project.name: len(project.releases) for project in lab.projects}

    def first(layer: Layer) -> str:
        return layer.packages[0].name

    return [
        *(Planned(f"ours, budget {budget}", budget) for budget in (32, 64)),
        Planned("**ours, budget 96**"),
        Planned("… by name", order=lambda layer: (first(layer),)),
        Planned("… by exact size", order=lambda layer: (-layer.size, first(layer))),
        Planned(
            "… by releases in the year, few first", order=lambda layer: (releases.get(first(layer), 0), first(layer))
        ),
        Planned("… by popularity", order=lambda layer: (rank.get(first(layer), -1),)),
        *(Stacked(f"ours, budget 96, stacked up to {share:.0%} stale", share) for share in (0.1, 0.25, 0.5)),
        Stacked("ours, budget 64, stacked up to 25% stale", 0.25, Planned("canonical", 64)),
        Planned("… small packages alone, too, where the budget allows", thresholds=ALL_ALONE),
        Planned("… small packages are those below 64 kB", thresholds=ALL_ALONE[1:]),
        Planned("… small packages are those below 1 MB", thresholds=THRESHOLDS[1:]),
        Planned("… size classes 256 kB, 4 MB, 64 MB", thresholds=COARSE),
        Planned("… size classes by powers of two", thresholds=FINE),
        *(Planned(f"… {bins} bins", bins=bins) for bins in (8, 48)),
        Planned("ours, budget 120", 120),
        Alone("one layer"),
        *(
            Alone(f"{count} largest alone, one for the rest", count, lambda package: -(package.size or 0))
            for count in (31, 95)
        ),
        Alone("95 most popular alone, one for the rest", 95, lambda package: rank.get(package.name, -1)),
    ]
