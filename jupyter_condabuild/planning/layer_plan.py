"""The plan of the package layers: their grouping, their order and their keys.

The plan is a function of the lock file and the options. So two builds of the same lock file agree on the layers without
any coordination.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.image.paths import PREFIX
from jupyter_condabuild.oci.image import canonical_json
from jupyter_condabuild.oci.layer import WRITER_VERSION

THRESHOLDS = (*(4**power << 10 for power in range(4, 9)), 1 << 62)
"""Archive sizes in bytes from which a package has its own layer: 256 kB, 1, 4, 16, 64 MB, or no package at all.

An engine takes longer to set up a layer than to unpack a package that is smaller than the first threshold.
"""

BINS = 24
"""The number of layers that the packages below the threshold share. A hash of the package's name selects the layer."""


@dataclass(frozen=True)
class PlannedLayer:
    """A layer with all files of its packages or, with `only`, with some of their files.

    `key` is a hexadecimal digest: equal keys mean equal files. `only` has pairs of a path, relative to the prefix, and
    the dist of the package whose file is at that path. `compiled` says whether the build adds bytecode to modules whose
    packages contain none.
    """

    key: str
    packages: tuple[CondaPackage, ...]
    only: tuple[tuple[str, str], ...] = ()
    compiled: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The dist of each package: ``name-version-build``."""
        return tuple(package.dist for package in self.packages)

    @property
    def size(self) -> int:
        """The size of the packages' archives in bytes, an estimate of the compressed layer's size; 0 with `only`."""
        return 0 if self.only else sum(package.size or 0 for package in self.packages)


@dataclass(frozen=True)
class LayerPlan:
    """The package layers of an image, lowest first. `threshold` is the one of `THRESHOLDS` that the plan uses."""

    layers: tuple[PlannedLayer, ...]
    threshold: int


def plan_layers(lockfile: Lockfile, *, budget: int, bytecode: bool = True, native: bool = False) -> LayerPlan:
    """Groups the packages of a lock file into layers, and orders the layers.

    The place of a package depends on that package and on the threshold. The threshold is the smallest that keeps the
    number of layers within `budget`. So a package that changes never moves another package, as long as the threshold
    stays the same.

    Args:
        budget: the highest number of layers.
        bytecode: whether the build adds bytecode to modules whose packages contain none.
        native: whether layers without noarch Python packages get bytecode even if `bytecode` is false. Such a layer is
            then the same with and without `bytecode`. A lock file does not say which packages have modules without
            bytecode, so the plan cannot decide for each package.

    Raises LockfileError if a package has no sha256 or no size.
    """
    check_hashes(lockfile.conda)
    number_of_bins = min(BINS, budget)

    def count(limit: int) -> int:
        small = {_bin(package, number_of_bins) for package in lockfile.conda if (package.size or 0) < limit}
        return len(small) + sum((package.size or 0) >= limit for package in lockfile.conda)

    threshold = next(limit for limit in THRESHOLDS if limit == THRESHOLDS[-1] or count(limit) <= budget)
    alone = [package for package in lockfile.conda if (package.size or 0) >= threshold]
    alone.sort(key=lambda package: (-_size_class(package), package.name))
    bins: dict[int, list[CondaPackage]] = {}
    for package in lockfile.conda:
        if (package.size or 0) < threshold:
            bins.setdefault(_bin(package, number_of_bins), []).append(package)
    groups = [[package] for package in alone] + [bins[number] for number in sorted(bins)]
    site = lockfile.site_packages
    layers = []
    for group in groups:
        compiled = bytecode or (native and not any(package.is_noarch_python for package in group))
        layers.append(PlannedLayer(layer_key(group, site, compiled), tuple(group), compiled=compiled))
    return LayerPlan(tuple(layers), threshold)


def check_hashes(packages: Sequence[CondaPackage]) -> None:
    """Raises LockfileError if a package has no sha256 or no size."""
    for package in packages:
        if not package.sha256 or package.size is None:
            raise LockfileError(f"The lock file does not have both sha256 and size of {package.dist}.")


def _size_class(package: CondaPackage) -> int:
    return sum((package.size or 0) >= threshold for threshold in THRESHOLDS)


def _bin(package: CondaPackage, number_of_bins: int) -> int:
    return int.from_bytes(hashlib.sha256(package.name.encode()).digest()[:4], "big") % number_of_bins


def layer_key(packages: Sequence[CondaPackage], site_packages: str, bytecode: bool) -> str:
    """Returns the key of a layer: a hexadecimal digest of everything that decides the layer's bytes, and nothing else.

    The URL is part of the key because conda-meta in the image contains it. The URL also names the package: another name
    is part of the key, so that a layer is not reused for a name that nobody has compared with the archive.
    `site_packages` is part of the key only for noarch Python packages, because their files go there.
    """
    members = []
    for package in packages:
        member: dict[str, object] = {"url": package.url, "sha256": package.sha256, "md5": package.md5}
        if not package.fn.startswith(f"{package.dist}."):
            member["dist"] = package.dist
        if package.is_noarch_python:
            member["site_packages"] = site_packages
        members.append(member)
    value = {"writer": WRITER_VERSION, "prefix": PREFIX, "bytecode": bytecode, "packages": members}
    return hashlib.sha256(canonical_json(value)).hexdigest()
