"""pixi.lock: written in version 6, which pixi, rattler and conda's plugin read. Versions 4 to 7 can be read.

https://pixi.sh/latest/workspace/lockfile/
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from jupyter_condabuild.conda.formats import yaml
from jupyter_condabuild.conda.lockfile import Lockfile, check_number, of_packages
from jupyter_condabuild.conda.match_specs import merged_depends
from jupyter_condabuild.conda.packages import (
    PYPI,
    PYPI_SIMPLE,
    CondaPackage,
    PipPackage,
    canonical_name,
    site_packages_of,
)
from jupyter_condabuild.conda.platforms import choose
from jupyter_condabuild.conda.secrets import scrub_url
from jupyter_condabuild.errors import LockfileError


def dump(lockfile: Lockfile, channels: Sequence[str] = ()) -> str:
    """Returns the text. The packages are in the environment ``default``.

    Args:
        channels: the channels in order of priority. Default: the channels of the lock file.
    """
    references: list[dict[str, str]] = [{"conda": package.url} for package in lockfile.conda]
    references += [{"pypi": _location(package)} for package in lockfile.pip]
    default: dict[str, Any] = {"channels": [{"url": channel} for channel in channels or lockfile.channels]}
    if lockfile.pip:
        indexes = {PYPI_SIMPLE if package.index == PYPI else package.index for package in lockfile.pip if package.index}
        default["indexes"] = sorted(indexes) or [PYPI_SIMPLE]
    default["packages"] = {lockfile.platform: references}
    packages = [_conda(package, lockfile) for package in lockfile.conda] + [_pip(package) for package in lockfile.pip]
    return yaml.dump({"version": 6, "environments": {"default": default}, "packages": packages})


def _conda(package: CondaPackage, lockfile: Lockfile) -> dict[str, Any]:
    entry: dict[str, Any] = {"conda": package.url}
    if (CondaPackage.of_url(package.url).name, CondaPackage.of_url(package.url).build) != (package.name, package.build):
        entry |= {"name": package.name, "version": package.version, "build": package.build}
    if package.url.startswith("file:"):  # rattler takes the subdir only from the URL of a server
        entry["subdir"] = package.subdir
    for key, value in (("sha256", package.sha256), ("md5", package.md5), ("depends", list(package.depends))):
        if value:
            entry[key] = value
    if package.kind:
        entry["noarch"] = package.kind
    if package.size is not None:
        entry["size"] = package.size
    if package.name == "python":
        entry["python_site_packages_path"] = lockfile.site_packages
    return entry


def _location(package: PipPackage) -> str:
    if package.url.startswith("file:"):
        return "./" + package.url.removeprefix("file:")
    return package.url or f"{PYPI_SIMPLE if package.index == PYPI else package.index}/{package.name}/"


def _pip(package: PipPackage) -> dict[str, Any]:
    entry: dict[str, Any] = {"pypi": _location(package), "name": package.name, "version": package.version}
    if package.sha256:
        entry["sha256"] = package.sha256
    if package.editable:
        entry["editable"] = True
    return entry


def load(value: Mapping[str, Any], where: str, platform: str) -> Lockfile:
    """Reads one platform of the environment ``default``, or else of the first environment. Raises LockfileError.

    See `formats.load`.
    """
    try:
        version = int(value["version"])
        if not 4 <= version <= 7:
            raise LockfileError(
                f"{where} is a pixi.lock of version {version}.",
                "Only versions 4 to 7 can be read. Write the lock file with a version of pixi that uses one of them.",
            )
        environments = value["environments"]
        environment = environments.get("default") or next(iter(environments.values()))
        platforms = environment["packages"] or {}
        platform = choose(sorted(platforms), platform, where)
        check_number(len(platforms[platform]), where)
        entries = {_reference(entry): entry for entry in value["packages"]}
        conda, pip = [], []
        for reference in platforms[platform]:
            if "conda" in reference:
                conda.append(_load_conda(reference["conda"], entries[reference["conda"]]))
            else:
                pip.append(_load_pip(reference["pypi"], entries[reference["pypi"]], environment.get("indexes") or ()))
    except (KeyError, TypeError, AttributeError, ValueError, StopIteration) as error:
        raise LockfileError(f"{where} is not a complete pixi.lock ({repr(error)[:200]}).") from None
    return of_packages(platform, conda, pip, platforms=sorted(platforms))


def _reference(entry: Mapping[str, Any]) -> str:
    return str(entry.get("conda") or entry.get("pypi") or entry.get("url") or entry.get("path") or "")


def _load_conda(url: str, entry: Mapping[str, Any]) -> CondaPackage:
    fields = {key: entry[key] for key in ("name", "version", "build", "subdir", "sha256", "md5") if entry.get(key)}
    name = fields.get("name") or CondaPackage.of_url(url).name
    package = CondaPackage.of_url(
        scrub_url(url),
        **fields,
        size=int(entry["size"]) if entry.get("size") else None,
        depends=merged_depends(entry.get("depends") or ()),
    ).with_noarch(entry.get("noarch") or "")
    site_packages = entry.get("python_site_packages_path") or ""
    if name == "python" and site_packages != site_packages_of(package.version, package.build):
        return replace(package, python_site_packages_path=site_packages)
    return package


def _load_pip(location: str, entry: Mapping[str, Any], indexes: Sequence[str]) -> PipPackage:
    name = canonical_name(entry["name"])
    url, index = scrub_url(location), ""
    for candidate in (PYPI_SIMPLE, *indexes):
        if url == f"{candidate.rstrip('/')}/{name}/":
            url, index = "", PYPI if candidate.rstrip("/") == PYPI_SIMPLE else scrub_url(candidate)
    if url and "://" not in url and not url.startswith("git+"):
        url = "file:" + posixpath.basename(url.removeprefix("file:").rstrip("/"))
    return PipPackage(
        name=name,
        version=entry.get("version") or "",
        url=url,
        index=index,
        sha256=entry.get("sha256") or "",
        editable=entry.get("editable") == "true",
    )
