"""The licences of all packages of a build, of an environment, or of a lock file: conda's and pip's."""

from __future__ import annotations

from collections.abc import Callable

from jupyter_condabuild.conda.licenses import licenses, pip_license
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.login_stores import read_logins
from jupyter_condabuild.conda.package_cache import PackageCaches, default_folders
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import License
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.sbom.inventory import pip_dist
from jupyter_condabuild.sbom.licensing import is_expression


def needs_texts(name: str) -> bool:
    """Whether the name of a licence says too little without the package's licence files."""
    return not is_expression(name)


def licenses_of(inputs: Inputs) -> dict[str, License]:
    """Returns the licences of the packages of a build, as `bill_of` takes them. It may read from channels."""
    found = _licenses(inputs.lockfile, inputs.sources, inputs.environment, needs_texts)
    outside = {
        pip_dist(item.package): pip_license(folder, item.dist_info) for folder, item in inputs.own.outside.distributions
    }
    carried = inputs.carried.environment if inputs.carried else None
    copied = (
        {pip_dist(item.package): pip_license(carried.prefix, item.dist_info) for item in carried.pip} if carried else {}
    )
    return outside | copied | found


def licenses_in(
    lockfile: Lockfile, environment: Environment | None, needs_texts: Callable[[str], bool] = needs_texts
) -> dict[str, License]:
    """Returns the licences of the packages of a lock file, as `bill_of` takes them. It may read from channels.

    Args:
        environment: the environment that the lock file was made from, or None.
        needs_texts: whether the licence files of a package are read, by the name of its licence.
    """
    records = environment.records if environment else ()
    urls = {record.dist: record.url for record in records if record.url}
    caches = PackageCaches(default_folders(environment.prefix if environment else None))
    return _licenses(lockfile, PackageSources(caches, urls, logins=read_logins()), environment, needs_texts)


def _licenses(
    lockfile: Lockfile, sources: PackageSources, environment: Environment | None, needs_texts: Callable[[str], bool]
) -> dict[str, License]:
    found = licenses(lockfile.conda, sources, environment, needs_texts)
    if environment:
        for distribution in environment.pip:
            found[pip_dist(distribution.package)] = pip_license(environment.prefix, distribution.dist_info)
    return found
