"""Paths that several packages bring: what an installer would leave, where the stack of layers would show another.

Layers are ordered for pulling, installers link in order of dependency and let the last one win. Where the two differ,
the winner's file goes into a small layer above the packages. A package's own layer stays a function of that package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence, Set

from jupyter_condabuild.conda.contents import package_paths
from jupyter_condabuild.conda.linking.bytecode import source_of
from jupyter_condabuild.conda.linking.link import link_order
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.events import Report, Warning
from jupyter_condabuild.image.paths import PREFIX
from jupyter_condabuild.oci.image import canonical_json
from jupyter_condabuild.oci.layer import WRITER_VERSION
from jupyter_condabuild.planning.layer_plan import LayerPlan, PlannedLayer
from jupyter_condabuild.text import listed


def contested_layer(
    plan: LayerPlan, paths: Mapping[str, Collection[str]], site_packages: str, report: Report
) -> list[PlannedLayer]:
    """The layer of the paths that the stack of package layers would show from another package than an installer does.

    Args:
        paths: the packages' paths by dist, see `paths_of`; the report names packages without paths.
        site_packages: where noarch Python packages go, relative to the prefix.

    Returns a list of one layer, or an empty list where there are no such paths.
    """
    packages = {package.dist: package for planned in plan.layers for package in planned.packages}
    unknown = sorted(packages.keys() - paths.keys())
    if unknown:
        report(
            Warning(
                "contents-unknown",
                f"Nothing tells the files of {listed(unknown, 5)}.",
                "If another package brings a file of the same name, the image may show the wrong one of the two.",
            )
        )
    contested = winners(paths, plan, packages)
    if not contested:
        return []
    compiled = any(layer.compiled for layer in plan.layers)
    return [winners_layer(contested, site_packages, compiled=compiled)]


def winners_layer(contested: Mapping[str, CondaPackage], site_packages: str, *, compiled: bool) -> PlannedLayer:
    """The layer of some paths, each with the file of one package."""
    packages = tuple(dict.fromkeys(contested.values()))
    only = tuple((path, package.dist) for path, package in contested.items())
    return PlannedLayer(_key(contested, site_packages, compiled), packages, only, compiled)


def paths_of(
    plan: LayerPlan, environment: Environment | None, sources: PackageSources, site_packages: str
) -> dict[str, Collection[str]]:
    """The planned packages' paths relative to the prefix, by dist; packages whose paths nothing tells are left out.

    The environment's records tell the paths, where there is an environment; else package caches and channels do.
    """
    packages = [package for planned in plan.layers for package in planned.packages]
    if environment:
        dists = {package.dist for package in packages}
        return {record.dist: _own_paths(record.raw) for record in environment.records if record.dist in dists}
    return dict(package_paths(packages, sources, site_packages))


def winners(
    paths: Mapping[str, Collection[str]], plan: LayerPlan, packages: Mapping[str, CondaPackage]
) -> dict[str, CondaPackage]:
    """Path to winner, for paths of which the stack shows another package's, or none. `paths` is by dist.

    Bytecode is not named: it goes with its module, whoever compiled it and whether a record lists it or not. A module
    that one layer compiles and another does not is named anyway: the bytecode of one could pass for the other's.
    """
    stack = [(package.dist, paths.get(package.dist, ())) for planned in plan.layers for package in planned.packages]
    everything = set[str]().union(*(found for _, found in stack))
    links = _folders(everything) & everything
    if not links and len(everything) == sum(len(found) for _, found in stack):
        return {}
    owners: dict[str, list[str]] = {}
    for dist, found in stack:
        for path in found:
            owners.setdefault(path, []).append(dist)
    shared = {path: dists for path, dists in owners.items() if len(dists) > 1}
    shared = {path: dists for path, dists in shared.items() if path[-4:] != ".pyc" or source_of(path) not in shared}
    height = {package.dist: number for number, layer in enumerate(plan.layers) for package in layer.packages}
    compiled = {dist: plan.layers[number].compiled for dist, number in height.items()}
    hidden = _behind(links, owners, height)
    if not shared and not hidden:
        return {}
    modules = {path for path in shared if path.endswith(".py") and len({compiled[dist] for dist in shared[path]}) > 1}
    hidden |= modules
    rank = {dist: number for number, dist in enumerate(link_order(list(packages.values())))}
    winner = {path: max(owners[path], key=lambda dist: rank[dist]) for path in {*shared, *hidden}}
    return {
        path: packages[winner[path]] for path in sorted(winner) if path in hidden or winner[path] != owners[path][-1]
    }


def _folders(paths: Set[str]) -> set[str]:
    """All folders that something lies in."""
    folders: set[str] = set()
    new = {path.rpartition("/")[0] for path in paths} - {""}
    while new:
        folders |= new
        new = {folder.rpartition("/")[0] for folder in new} - folders - {""}
    return folders


def _behind(links: Set[str], owners: Mapping[str, Sequence[str]], height: Mapping[str, int]) -> set[str]:
    """Paths below a folder that is a link in a higher layer: an installer makes the folder instead."""
    return {
        path
        for path, dists in owners.items()
        for link in links
        if path.startswith(f"{link}/") and height[owners[link][-1]] > height[dists[-1]]
    }


def _own_paths(raw: Mapping[str, object]) -> Sequence[str]:
    """A record's paths, those that rattler moved aside by the name that the package gave them."""
    files: Sequence[str] = raw.get("files") or ()  # type: ignore[assignment]
    if not any(path.startswith("__clobbers__/") for path in files):
        return files
    return [path.split("/", 2)[2] if path.startswith("__clobbers__/") else path for path in files]


def _key(contested: Mapping[str, CondaPackage], site_packages: str, bytecode: bool) -> str:
    """The layer key of the winners' files: each is a function of its package."""
    members = {path: [package.url, package.sha256] for path, package in contested.items()}
    value = {"writer": WRITER_VERSION, "prefix": PREFIX, "site_packages": site_packages, "paths": members}
    value["bytecode"] = bytecode
    return hashlib.sha256(canonical_json(value)).hexdigest()
