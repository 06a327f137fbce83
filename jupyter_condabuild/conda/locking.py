"""Makes the lock file of an environment: the packages that can be installed again, without data of machine and user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import quote, unquote, urlsplit

from jupyter_condabuild.conda.channels import package_url, quoted
from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.match_specs import merged_depends
from jupyter_condabuild.conda.packages import (
    PYPI,
    CondaPackage,
    PipPackage,
    canonical_name,
    is_on_pypi,
    site_packages_of,
)
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.errors import BrokenRecord


def lock(environment: Environment) -> Lockfile:
    """Returns the lock file of an environment. It contains no credentials.

    Raises BrokenRecord for a record whose values no package can have.
    """
    return of_packages(
        environment.platform,
        [_conda_package(record) for record in environment.records],
        [pip_package(distribution.package) for distribution in environment.pip],
        environment.requested,
    )


def without_editable(lockfile: Lockfile, names: Iterable[str]) -> Lockfile:
    """Returns a lock file without the editable installs that have these names, in any spelling."""
    unwanted = {canonical_name(name) for name in names}
    kept = tuple(package for package in lockfile.pip if not (package.editable and package.name in unwanted))
    return lockfile if len(kept) == len(lockfile.pip) else replace(lockfile, pip=kept)


def _conda_package(record: PrefixRecord) -> CondaPackage:
    """Returns the package, with only the fields that every format can contain: a written lock file reads back equal."""
    usual = site_packages_of(record.version, record.build) if record.name == "python" else ""
    site_packages = record.python_site_packages_path
    try:
        package = CondaPackage(
            name=record.name,
            version=record.version,
            build=record.build,
            subdir=record.subdir,
            url=package_url(record),
            sha256=record.sha256.lower(),
            md5=record.md5.lower(),
            size=record.size,
            depends=merged_depends(record.depends),
            python_site_packages_path=site_packages if record.name == "python" and site_packages != usual else "",
        ).with_noarch(record.noarch)
        CondaPackage.of_url(package.url)  # raises ValueError if no lock file can name the package
    except (ValueError, TypeError, AttributeError) as error:
        raise BrokenRecord(f"{record.source} is not a record of a package ({error}).") from None
    return package


def pip_package(package: PipPackage) -> PipPackage:
    """Returns the package without paths of this machine: only the name of a local file or folder stays."""
    url = package.url
    if urlsplit(url).scheme.rpartition("+")[2] == "file":
        url = "file:" + quote(unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2], "+=,@!~()")
    url = quoted(url)
    index = PYPI if is_on_pypi(url) else package.index
    return PipPackage(package.name, package.version, url, index, package.sha256, package.editable)
