"""Packages to layers: grouping, order and keys. A function of the lock file alone, so that labmates agree unasked."""

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
"""Archive sizes in bytes, from which a package has a layer of its own: 256 kB, 1, 4, 16, 64 MB, none.

Engines take longer to set up a layer than to unpack a package that is smaller than the first.
"""

BINS = 24
"""Number of layers that smaller packages share, by a hash of their name."""


@dataclass(frozen=True)
class PlannedLayer:
    """One layer of packages, or, with `only`, of some paths of them. `key` is hexadecimal: equal keys, equal files.

    `only` has a path relative to the prefix and the dist of the package whose file lies there. `compiled` says that
    modules that came without bytecode get some.
    """

    key: str
    packages: tuple[CondaPackage, ...]
    only: tuple[tuple[str, str], ...] = ()
    compiled: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """``name-version-build`` of each package."""
        return tuple(package.dist for package in self.packages)

    @property
    def size(self) -> int:
        """Bytes of the packages' archives: an estimate of the compressed layer."""
        return 0 if self.only else sum(package.size or 0 for package in self.packages)


@dataclass(frozen=True)
class LayerPlan:
    """The package layers of an image in order, lowest first."""

    layers: tuple[PlannedLayer, ...]
    threshold: int

    @property
    def identity(self) -> str:
        """Hexadecimal digest of all keys in order: equal for equal package layers."""
        return hashlib.sha256("\n".join(layer.key for layer in self.layers).encode()).hexdigest()


def plan_layers(lockfile: Lockfile, *, budget: int, bytecode: bool = True, native: bool = False) -> LayerPlan:
    """Groups and orders a lock file's packages.

    A package's place depends on that package alone and on the threshold, the smallest that keeps within `budget`: one
    that changes never moves another.

    Args:
        bytecode: whether modules that came without bytecode are compiled.
        native: whether they are, for all that, in layers without noarch Python packages: such a layer is then the same
            for who wants bytecode and who does not. Which of its packages have such modules, no lock file tells.

    Raises LockfileError where a package has no sha256 or no size.
    """
    for package in lockfile.conda:
        if not package.sha256 or package.size is None:
            raise LockfileError(f"The lock file does not give sha256 and size of {package.dist}.")
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


def _size_class(package: CondaPackage) -> int:
    return sum((package.size or 0) >= threshold for threshold in THRESHOLDS)


def _bin(package: CondaPackage, number_of_bins: int) -> int:
    return int.from_bytes(hashlib.sha256(package.name.encode()).digest()[:4], "big") % number_of_bins


def layer_key(packages: Sequence[CondaPackage], site_packages: str, bytecode: bool) -> str:
    """The key of a layer: everything that decides its bytes, and nothing else.

    The URL counts because conda-meta in the image names it; site-packages only where noarch Python files go there.
    """
    members = []
    for package in packages:
        member: dict[str, object] = {"url": package.url, "sha256": package.sha256, "md5": package.md5}
        if package.is_noarch_python:
            member["site_packages"] = site_packages
        members.append(member)
    value = {"writer": WRITER_VERSION, "prefix": PREFIX, "bytecode": bytecode, "packages": members}
    return hashlib.sha256(canonical_json(value)).hexdigest()
