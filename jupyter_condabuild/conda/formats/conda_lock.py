"""conda-lock.yml version 1, the canonical format (https://conda.github.io/conda-lock/output/#unified-lockfile).

The format has no field for the size of an archive or for the requested specs. They are in ``metadata.custom_metadata``,
which maps strings to strings. The hash of a pip package is often unknown. rattler rejects a file if one package has no
hash, and conda-lock ignores the md5 of pip packages. So an unknown hash is written as an md5 of zeros.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from jupyter_condabuild.conda.channels import named_channels
from jupyter_condabuild.conda.formats import pip_sources, yaml
from jupyter_condabuild.conda.lockfile import Choices, Lockfile, check_number, of_file
from jupyter_condabuild.conda.match_specs import merged_depends, split_depend
from jupyter_condabuild.conda.packages import PYPI, PYPI_SIMPLE, CondaPackage, PipPackage, canonical_name, is_on_pypi
from jupyter_condabuild.conda.platforms import choose
from jupyter_condabuild.conda.secrets import scrub, scrub_url
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.text import listed

CATEGORIES = frozenset(("main", "dev"))
"""The categories that are read by default: those that ``conda-lock install`` installs."""

_UNKNOWN_MD5 = "0" * 32
# Starts of keys in custom_metadata. After them comes the archive's file name, or the pip package's name and version.
_SIZE, _SITE_PACKAGES, _NOARCH = "size/", "site-packages/", "noarch/"
_BUILD, _SUBDIR = "build/", "subdir/"
_INDEX, _EDITABLE = "pip-index/", "pip-editable/"
_CREATED_BY = "created_by"
_REQUESTED = "requested"
"""The key in custom_metadata for the requested specs, which are a list in JSON."""


def dump(lockfile: Lockfile, *others: Lockfile, created_by: str = "jupyter-condabuild") -> str:
    """Returns the canonical text: sorted, without a time stamp, and without data of this machine.

    Args:
        others: the lock files of the same environment for other platforms.
        created_by: the name of the program in the file. conda-lockfiles requires one in ``custom_metadata``
            (conda_lockfiles.conda_lock.v1). The lock file in an image has none.
    """
    lockfiles = sorted((lockfile, *others), key=lambda one: one.platform)
    custom = {key: value for one in lockfiles for key, value in _custom(one, scoped=bool(others)).items()}
    channels = sorted({channel for one in lockfiles for channel in one.channels})
    metadata: dict[str, Any] = {
        "content_hash": {one.platform: one.digest.removeprefix("sha256:") for one in lockfiles},
        "channels": [{"url": channel, "used_env_vars": []} for channel in channels],
        "platforms": [one.platform for one in lockfiles],
        "sources": [],
    }
    if custom:
        if created_by:
            custom[_CREATED_BY] = created_by
        metadata["custom_metadata"] = dict(sorted(custom.items()))
    packages = [_conda(package, one.platform) for one in lockfiles for package in one.conda]
    packages += [_pip(pip, one.platform) for one in lockfiles for pip in one.pip]
    return yaml.dump({"version": 1, "metadata": metadata, "package": packages})


def _custom(lockfile: Lockfile, *, scoped: bool) -> dict[str, str]:
    """Returns what the format has no fields for. With `scoped`, the keys name the platform: file names may be equal."""
    scope = f"{lockfile.platform}/" if scoped else ""
    custom: dict[str, str] = {}
    for package in lockfile.conda:
        named = CondaPackage.of_url(package.url)  # the format has neither build nor subdir
        members = (
            (_SIZE, "" if package.size is None else str(package.size)),
            (_SITE_PACKAGES, package.python_site_packages_path),
            (_NOARCH, package.noarch),
            (_BUILD, package.build if package.build != named.build else ""),
            (_SUBDIR, package.subdir if package.subdir != named.subdir else ""),
        )
        custom |= {f"{key}{scope}{package.fn}": value for key, value in members if value}
    for pip in lockfile.pip:
        if pip.index and (pip.url or pip.index != PYPI):
            custom[f"{_INDEX}{scope}{pip.name}-{pip.version}"] = pip.index
        if pip.editable:
            custom[f"{_EDITABLE}{scope}{pip.name}-{pip.version}"] = "true"
    if lockfile.requested:
        custom[f"{_REQUESTED}/{lockfile.platform}" if scoped else _REQUESTED] = json.dumps(lockfile.requested)
    return custom


def _conda(package: CondaPackage, platform: str) -> dict[str, Any]:
    return {
        "name": package.name,
        "version": package.version,
        "manager": "conda",
        "platform": platform,
        "dependencies": dict(split_depend(depend) for depend in package.depends),
        "url": package.url,
        "hash": {kind: value for kind, value in (("md5", package.md5), ("sha256", package.sha256)) if value},
        "category": "main",
        "optional": False,
    }


def _pip(package: PipPackage, platform: str) -> dict[str, Any]:
    index = PYPI_SIMPLE if package.index == PYPI else package.index
    url = package.url or f"{index}/{package.name}/"
    entry: dict[str, Any] = {
        "name": package.name,
        "version": package.version,
        "manager": "pip",
        "platform": platform,
        "dependencies": {},
        "url": url,
        "hash": {"sha256": package.sha256} if package.sha256 else {"md5": _UNKNOWN_MD5},
    }
    if package.url and not package.index:
        fragment = f"#sha256={package.sha256}" if package.sha256 and "#" not in url else ""
        entry["source"] = {"type": "url", "url": url + fragment}
    return {**entry, "category": "main", "optional": False}


def load(
    value: Mapping[str, Any], where: str, platform: str, categories: Sequence[str] = (), *, other: bool = False
) -> Lockfile:
    """Reads some categories of one platform; see `formats.load`. Raises LockfileError.

    conda-lock repeats a package for each of its categories. The default are `CATEGORIES`.
    """
    if value.get("version") != "1":
        raise LockfileError(
            f"{where} has version {str(value.get('version'))[:40]!r} of the conda-lock format.",
            "Only version 1 can be read. Write the lock file in this version, conda-lock's stable format.",
        )
    try:
        metadata = value["metadata"]
        check_number(len(value["package"]), where)
        custom = {str(key): str(item) for key, item in (metadata.get("custom_metadata") or {}).items()}
        platforms = sorted({entry["platform"] for entry in value["package"]} | set(metadata["platforms"]))
        platform = choose(platforms, platform, where, other=other)
        custom |= _of_platform(custom, platform)
        entries = [entry for entry in value["package"] if entry["platform"] == platform]
        known = {str(entry.get("category") or "main") for entry in entries}
        chosen = _chosen(categories, known, where)
        entries = [entry for entry in entries if (entry.get("category") or "main") in chosen]
        if odd := next((entry for entry in entries if entry["manager"] not in ("conda", "pip")), None):
            raise LockfileError(
                f"{where} has a package of the manager {str(odd['manager'])[:40]!r}: {str(odd['name'])[:100]!r}.",
                "Only packages of conda and pip can be read.",
            )
        entries = [{**entry, "manager": "pip"} if pip_sources.wheel_names(entry["url"]) else entry for entry in entries]
        conda = [_load_conda(entry, custom) for entry in entries if entry["manager"] == "conda"]
        pip = [_load_pip(entry, custom) for entry in entries if entry["manager"] == "pip"]
        channels = named_channels(metadata.get("channels"))
        requested = [scrub(str(spec)) for spec in json.loads(custom.get(_REQUESTED, "[]"))]
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, OverflowError) as error:
        raise yaml.incomplete(where, "conda-lock file", error) from None
    choices = Choices(tuple(platforms), channels=channels, left_out=tuple(sorted(known - chosen)))
    urls = [entry["url"] for entry in entries if entry["manager"] == "conda"]
    pip_urls = {str(entry["name"]): str(entry["url"]) for entry in entries if entry["manager"] == "pip"}
    return of_file(where, platform, conda, pip, requested, choices, urls, pip_urls)


def _of_platform(custom: Mapping[str, str], platform: str) -> dict[str, str]:
    """Returns the members that name a platform, under the keys that they have in a file for one platform."""
    scope = f"/{platform}"
    named = {key: value for key, value in custom.items() if scope in key}
    return {key.replace(f"{scope}/", "/", 1).removesuffix(scope): value for key, value in named.items()}


def _chosen(categories: Sequence[str], known: Set[str], where: str) -> Set[str]:
    """Returns the categories to read. Raises LockfileError if the file lacks one that the user asked for."""
    if unknown := sorted(set(categories) - known):
        raise LockfileError(
            f"{where} has no packages in the category {unknown[0][:100]!r}.",
            f"Its categories are: {listed(sorted(known)) or 'none'}.",
        )
    return frozenset(categories) or CATEGORIES


def _load_conda(entry: Mapping[str, Any], custom: Mapping[str, str]) -> CondaPackage:
    package = CondaPackage.of_url(scrub_url(entry["url"]))
    depends = [f"{name} {spec or ''}".strip() for name, spec in (entry.get("dependencies") or {}).items()]
    size, kind = custom.get(f"{_SIZE}{package.fn}"), custom.get(f"{_NOARCH}{package.fn}", "")
    return replace(
        package,
        name=entry["name"],
        version=entry["version"],
        build=entry.get("build") or custom.get(f"{_BUILD}{package.fn}") or package.build,
        subdir=custom.get(f"{_SUBDIR}{package.fn}") or package.subdir,
        sha256=entry["hash"].get("sha256") or "",
        md5=entry["hash"].get("md5") or "",
        size=int(size) if size else None,
        depends=merged_depends(depends),
        python_site_packages_path=custom.get(f"{_SITE_PACKAGES}{package.fn}", ""),
    ).with_noarch(kind)


def _load_pip(entry: Mapping[str, Any], custom: Mapping[str, str]) -> PipPackage:
    name, version = canonical_name(entry["name"]), entry["version"]
    index = scrub_url(custom.get(f"{_INDEX}{name}-{version}", ""))
    # the place of the source also has the folder of the package in it
    location = str((entry.get("source") or {}).get("url") or entry["url"]).partition("#sha256=")[0]
    url = pip_sources.of_location(location, name)
    if url == f"{PYPI_SIMPLE}/{name}/":
        url, index = "", PYPI
    elif index and url == f"{index}/{name}/":
        url = ""
    elif is_on_pypi(url):
        index = PYPI
    return PipPackage(
        name=name,
        version=version,
        url=url,
        index=index,
        # conda-lock writes the commit of a repository as its sha256
        sha256="" if pip_sources.is_vcs(url) else (entry.get("hash") or {}).get("sha256") or "",
        editable=f"{_EDITABLE}{name}-{version}" in custom,
    )
