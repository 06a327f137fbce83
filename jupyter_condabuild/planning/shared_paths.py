"""Paths that several packages contain: the layer that shows the same files there as conda leaves.

The order of the layers is chosen for pulling. conda links packages in order of dependency, and the last package wins
(see `conda.linking.clobbers`). If the two orders show different files, a small layer above the packages has the
winner's file. So the layer of a package stays a function of that package. An environment that shows another file than
conda's order has this file in its overlay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace

from jupyter_condabuild.conda.contents import package_dependencies, package_paths
from jupyter_condabuild.conda.linking.clobbers import clobbers, link_order, original_paths
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
    plan: LayerPlan,
    paths: Mapping[str, Collection[str]],
    site_packages: str,
    report: Report,
    sources: PackageSources,
) -> list[PlannedLayer]:
    """Returns the layer of the paths at which the stack of package layers shows another file than an installer leaves.

    Args:
        paths: the packages' paths by dist, see `paths_of`. A warning names the packages without paths.
        site_packages: the folder of noarch Python packages, relative to the prefix.
        sources: say on which packages a package depends, if no package of the plan does: an explicit file.

    Returns:
        A list with one layer, or an empty list if there are no such paths.
    """
    packages = {package.dist: package for planned in plan.layers for package in planned.packages}
    unknown = sorted(packages.keys() - paths.keys())
    if unknown:
        report(
            Warning(
                "contents-unknown",
                f"The files of {listed(unknown, 5)} are not known.",
                "If another package has a file at the same path, the image may show the wrong file.",
            )
        )
    linked = packages
    if not any(package.depends for package in packages.values()) and clobbers(paths):
        depends = package_dependencies(list(packages.values()), sources)
        linked = {dist: replace(package, depends=depends.get(dist, ())) for dist, package in packages.items()}
    contested = {path: packages[package.dist] for path, package in winners(paths, plan, linked).items()}
    if not contested:
        return []
    compiled = any(layer.compiled for layer in plan.layers)
    return [winners_layer(contested, site_packages, compiled=compiled)]


def winners_layer(contested: Mapping[str, CondaPackage], site_packages: str, *, compiled: bool) -> PlannedLayer:
    """Returns a layer of some paths. `contested` maps a path to the package whose file the layer has."""
    packages = tuple(dict.fromkeys(contested.values()))
    only = tuple((path, package.dist) for path, package in contested.items())
    return PlannedLayer(_key(contested, site_packages, compiled), packages, only, compiled)


def paths_of(
    plan: LayerPlan, environment: Environment | None, sources: PackageSources, site_packages: str
) -> dict[str, Collection[str]]:
    """Returns the paths of the planned packages, relative to the prefix, by dist.

    The paths come from the environment's records, or without an environment from package caches and channels. A package
    whose paths are not known is left out.
    """
    packages = [package for planned in plan.layers for package in planned.packages]
    if environment:
        dists = {package.dist for package in packages}
        return {record.dist: original_paths(record.files) for record in environment.records if record.dist in dists}
    return dict(package_paths(packages, sources, site_packages))


def winners(
    paths: Mapping[str, Collection[str]], plan: LayerPlan, packages: Mapping[str, CondaPackage]
) -> dict[str, CondaPackage]:
    """Returns the winning package for each path at which the stack shows the file of another package, or no file.

    Bytecode is left out: it belongs to its module, whether an installer or a build compiled it, and whether or not a
    record lists it. A shared module is included in any case if one of its layers is compiled and another is not:
    the bytecode of one package could otherwise be used for the module of the other.

    Args:
        paths: the packages' paths by dist.
        packages: the packages of the plan by dist.
    """
    found = clobbers({dist: paths.get(dist, ()) for dist in packages})
    if not found:
        return {}
    linked = found.shown([dist] for dist in link_order(packages.values()))
    stacked = found.shown([package.dist for package in layer.packages] for layer in plan.layers)
    compiled = {package.dist: layer.compiled for layer in plan.layers for package in layer.packages}
    mixed = {
        path
        for path, dists in found.owners.items()
        if path.endswith(".py") and len({compiled[dist] for dist in dists}) > 1
    }
    return {path: packages[dist] for path, dist in sorted(linked.items()) if stacked.get(path) != dist or path in mixed}


def _key(contested: Mapping[str, CondaPackage], site_packages: str, bytecode: bool) -> str:
    """Returns the key of the layer with the winners' files. Each file is a function of its package."""
    members = {path: [package.url, package.sha256] for path, package in contested.items()}
    value = {"writer": WRITER_VERSION, "prefix": PREFIX, "site_packages": site_packages, "paths": members}
    value["bytecode"] = bytecode
    return hashlib.sha256(canonical_json(value)).hexdigest()
