"""pixi.lock: written in version 6, which pixi, rattler and conda's plugin read. Versions 4 to 7 can be read.

https://pixi.sh/latest/workspace/lockfile/
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from jupyter_condabuild.conda.channels import named_channels
from jupyter_condabuild.conda.formats import pip_sources, yaml
from jupyter_condabuild.conda.lockfile import Choices, Lockfile, check_number, of_file
from jupyter_condabuild.conda.match_specs import merged_depends
from jupyter_condabuild.conda.packages import (
    PYPI,
    PYPI_SIMPLE,
    CondaPackage,
    PipPackage,
    canonical_name,
    is_on_pypi,
    site_packages_of,
)
from jupyter_condabuild.conda.platforms import choose
from jupyter_condabuild.conda.secrets import scrub, scrub_url
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.text import listed


def dump(lockfile: Lockfile, channels: Sequence[str] = (), others: Sequence[Lockfile] = ()) -> str:
    """Returns the text. The packages are in the environment ``default``.

    Args:
        channels: the channels in order of priority. Default: the channels of the lock file.
        others: the lock files of the same environment for other platforms.
    """
    lockfiles = sorted((lockfile, *others), key=lambda one: one.platform)
    used = channels or sorted({channel for one in lockfiles for channel in one.channels})
    default: dict[str, Any] = {"channels": [{"url": channel} for channel in used]}
    pip = [package for one in lockfiles for package in one.pip]
    if pip:
        indexes = {PYPI_SIMPLE if package.index == PYPI else package.index for package in pip if package.index}
        default["indexes"] = sorted(indexes) or [PYPI_SIMPLE]
    platforms: dict[str, list[dict[str, str]]] = {}
    packages: dict[tuple[str, str], dict[str, Any]] = {}
    for one in lockfiles:
        references: list[dict[str, str]] = [{"conda": package.url} for package in one.conda]
        locations = _locations(one.pip)
        references += [{"pypi": locations[package]} for package in one.pip]
        platforms[one.platform] = references
        for package in one.conda:
            packages.setdefault(("conda", package.url), _conda(package, one))
    for one in lockfiles:
        for item, location in _locations(one.pip).items():
            packages.setdefault(("pypi", location), _pip(item, location))
    default["packages"] = platforms
    return yaml.dump({"version": 6, "environments": {"default": default}, "packages": list(packages.values())})


def _conda(package: CondaPackage, lockfile: Lockfile) -> dict[str, Any]:
    entry: dict[str, Any] = {"conda": package.url}
    file, named = posixpath.basename(urlsplit(package.url).path), CondaPackage.of_url(package.url)
    if named.dist != package.dist or file != package.fn:  # rattler does not decode the name of the file
        entry |= {"name": package.name, "version": package.version, "build": package.build}
    if named.subdir != package.subdir or not package.url.startswith("http"):  # rattler reads it from https URLs only
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


def _locations(packages: Sequence[PipPackage]) -> dict[PipPackage, str]:
    """Returns the locations of pip packages, which are their keys. Folders of the same name are told apart by names."""
    plain = {package: _location(package) for package in packages}
    counts = Counter(plain.values())
    return {package: f"{text}#{package.name}" if counts[text] > 1 else text for package, text in plain.items()}


def _location(package: PipPackage) -> str:
    if package.url.startswith("file:"):
        return "./" + package.url.removeprefix("file:")
    return package.url or f"{PYPI_SIMPLE if package.index == PYPI else package.index}/{package.name}/"


def _pip(package: PipPackage, location: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"pypi": location, "name": package.name, "version": package.version}
    if package.sha256:
        entry["sha256"] = package.sha256
    if package.editable:
        entry["editable"] = True
    return entry


def load(
    value: Mapping[str, Any], where: str, platform: str, environment: str = "", *, other: bool = False
) -> Lockfile:
    """Reads one platform of one environment; see `formats.load`. Raises LockfileError."""
    try:
        version = int(value["version"])
        if not 4 <= version <= 7:
            raise LockfileError(
                f"{where} is a pixi.lock of version {version}.",
                "Only versions 4 to 7 can be read. Write the lock file with a version of pixi that uses one of them.",
            )
        environments = value["environments"]
        name = _environment(environments, environment, where)
        chosen = environments[name]
        platforms = chosen["packages"] or {}
        platform = choose(sorted(platforms), platform, f"The environment {name!r} of {where}", other=other)
        check_number(len(platforms[platform]), where)
        entries = {_reference(entry): entry for entry in value["packages"]}
        conda, pip = [], []
        for reference in platforms[platform]:
            location = str(reference.get("conda") or reference.get("pypi") or "")
            _check_source(reference, location, where)
            if location not in entries:
                raise LockfileError(
                    f"{where} lists {scrub(location[:200])}, but does not describe it.",
                    "The lock file was cut or edited. Write it again: pixi lock.",
                )
            wheel = pip_sources.wheel_names(location)
            if "conda" in reference and not wheel:
                conda.append(_load_conda(location, entries[location]))
            else:
                pip.append(_load_pip(location, {**wheel, **entries[location]}, chosen.get("indexes") or ()))
        channels = named_channels(chosen.get("channels"))
        subdirs = {str(item["name"]): str(item.get("subdir") or item["name"]) for item in value.get("platforms") or ()}
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise yaml.incomplete(where, "pixi.lock", error) from None
    choices = Choices(tuple(sorted(platforms)), tuple(sorted(environments)), name, channels)
    urls = [str(reference["conda"]) for reference in platforms[platform] if "conda" in reference]
    pip_urls = {
        str(entries[url]["name"]): str(url) for reference in platforms[platform] if (url := reference.get("pypi"))
    }
    return of_file(where, subdirs.get(platform, platform), conda, pip, (), choices, urls, pip_urls)


def _environment(environments: Mapping[str, Any], wanted: str, where: str) -> str:
    """Returns the name of the environment to read. Raises LockfileError if the user must choose."""
    names = sorted(environments)
    filled = [name for name in names if environments[name]["packages"]]
    if wanted:
        if wanted in names:
            return wanted
        raise LockfileError(
            f"{where} has no environment {wanted[:100]!r}.", f"Its environments are: {listed(names) or 'none'}."
        )
    if "default" in filled or not filled:
        return "default" if "default" in names or not names else names[0]
    if len(filled) == 1:
        return filled[0]
    raise LockfileError(
        f"{where} has the environments {listed(names)}, and none of them is the default.",
        f"Choose one of them: --environment {filled[0]}.",
    )


def _check_source(reference: Mapping[str, str], location: str, where: str) -> None:
    """Raises LockfileError for a package that is not an archive of a channel or a package of pip."""
    if "pypi" in reference:
        return
    if "conda" in reference and re.match(r"[a-z][a-z0-9+.-]*://", location, re.IGNORECASE):
        return
    title = location or next((str(value) for key, value in reference.items() if key != "name"), "") or str(reference)
    if location.endswith((".conda", ".tar.bz2")):
        raise LockfileError(
            f"{where} has the archive {scrub(title[:200])}, which is in a folder and in no channel.",
            "Upload the archive to a channel, and lock the environment again.",
        )
    raise LockfileError(
        f"{where} has the package {scrub(title[:200])}, which pixi builds from its source. There is no archive of it.",
        "Build from the environment in which pixi installed the package, or upload the package to a channel and lock "
        "the environment again.",
    )


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
    url = pip_sources.of_location(location, name)
    index = PYPI if is_on_pypi(url) else ""
    for candidate in (PYPI_SIMPLE, *indexes):
        if url == f"{candidate.rstrip('/')}/{name}/":
            url, index = "", PYPI if candidate.rstrip("/") == PYPI_SIMPLE else scrub_url(candidate)
    return PipPackage(
        name=name,
        version=entry.get("version") or "",
        url=url,
        index=index,
        sha256="" if pip_sources.is_vcs(url) else entry.get("sha256") or "",
        editable=entry.get("editable") == "true",
    )
