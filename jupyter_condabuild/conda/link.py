"""Packages to files as they lie at the image's prefix: verified and linked by py-rattler into a staging folder.

A package's files are a function of its archive alone: a path that two packages share is given back to each of them, and
the record for conda-meta is written from the archive's own metadata and the lock file, never from the live prefix.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.bytecode import Compiler, uncompiled
from jupyter_condabuild.conda.lockfile import split_depend
from jupyter_condabuild.conda.package_cache import Cached, hash_file
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.secrets import scrub, scrub_json
from jupyter_condabuild.errors import CondaBuildError, DiskFull, LinkFailed, PackageMismatch

PREFIX = "/opt/env"
"""Where the environment lies in every image."""


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """One path of a linked package, relative to the prefix; `sha256` is of what must lie at `source`, or empty."""

    path: str
    source: str
    sha256: str = ""


@dataclass(frozen=True)
class StagedPackage:
    """A package linked into `folder`, whose archive's own files lie in `extracted`."""

    package: CondaPackage
    folder: Path
    extracted: Path


def link(
    packages: Sequence[CondaPackage],
    sources: Mapping[str, Cached],
    folder: Path,
) -> dict[str, StagedPackage]:
    """Links packages for PREFIX into new folders below `folder`; the result is by dist.

    Args:
        packages: noarch Python packages need the python package among them.
        sources: dist to the verified archive or extracted folder.

    Packages that get in each other's way (one has a link where another has a folder) are linked each by itself. Raises
    LinkFailed or DiskFull, with credentials removed from the message.
    """
    import asyncio  # costs every layer writer 30 ms, and they only read what was linked

    cache, target = folder / "pkgs", folder / "env"
    cache.mkdir(parents=True)
    for package in packages:
        if sources[package.dist].extracted:
            os.symlink(sources[package.dist].path.absolute(), cache / package.dist)
    targets = {package.dist: target for package in packages}
    try:
        asyncio.run(_install(packages, sources, cache, target))
    except LinkFailed:
        if len(packages) == 1:
            raise
        targets = {package.dist: folder / package.dist for package in packages}
        python = [package for package in packages if package.name == "python"]
        for package in packages:
            needed = [package, *python] if package.is_noarch_python else [package]
            asyncio.run(_install(needed, sources, cache, targets[package.dist]))
    return {package.dist: StagedPackage(package, targets[package.dist], cache / package.dist) for package in packages}


async def _install(
    packages: Sequence[CondaPackage],
    sources: Mapping[str, Cached],
    cache: Path,
    target: Path,
) -> None:
    import rattler
    from rattler.exceptions import (
        CacheDirError,
        FetchRepoDataError,
        InstallerError,
        InvalidUrlError,
        IoError,
        LinkError,
    )

    records = [_rattler_record(package, sources[package.dist].path.absolute().as_uri()) for package in packages]
    try:
        await rattler.install(
            records,
            target,
            cache_dir=cache,
            alternative_target_prefix=PREFIX,
            execute_link_scripts=False,
            show_progress=False,
        )
    except (InvalidUrlError, CacheDirError, FetchRepoDataError, InstallerError, IoError, LinkError) as error:
        raise _named(error, packages) from None


def link_order(packages: Sequence[CondaPackage]) -> list[str]:
    """The dists in the order in which an installer links them: what a package depends on before it."""
    from rattler.repo_data import PackageRecord

    ordered = PackageRecord.sort_topologically([_rattler_record(package, package.url) for package in packages])
    by_name = {package.name: package.dist for package in packages}
    return [by_name[record.name.normalized] for record in ordered]


def _rattler_record(package: CondaPackage, url: str) -> Any:
    from rattler.package import BuildString
    from rattler.repo_data import PackageRecord, RepoDataRecord

    record = PackageRecord(
        name=package.name,
        version=package.version,
        build=BuildString(package.build),
        build_number=package.build_number or 0,
        subdir=package.subdir,
        noarch="python" if package.is_noarch_python else "generic" if package.subdir == "noarch" else None,
        depends=list(package.depends),
        sha256=bytes.fromhex(package.sha256) if package.sha256 else None,
        md5=bytes.fromhex(package.md5) if package.md5 else None,
        python_site_packages_path=package.python_site_packages_path or None,
    )
    return RepoDataRecord(record, package.fn, url, package.channel)


def _named(error: Exception, packages: Sequence[CondaPackage]) -> CondaBuildError:
    text = scrub(_chain(error))
    if os.strerror(errno.ENOSPC) in text or os.strerror(errno.EDQUOT) in text:
        return DiskFull("No space left while linking packages.")
    name = next((package.dist for package in packages if package.fn in text or package.dist in text), "a package")
    return LinkFailed(f"Cannot link {name}: {text}")


def _chain(error: BaseException) -> str:
    texts = [str(error)]
    while error.__cause__:
        error = error.__cause__
        texts.append(str(error))
    return ": ".join(dict.fromkeys(texts))


@dataclass(frozen=True)
class LinkedPackage:
    """What a package puts into the prefix: its files, and its record for conda-meta as canonical JSON bytes."""

    files: tuple[LinkedFile, ...]
    record_path: str
    record: bytes


def linked_package(staged: StagedPackage, compiler: Compiler | None, mtime: int, compiled: Path) -> LinkedPackage:
    """The files and record of one staged package.

    Args:
        compiler: of the environment's Python. A package that needs Python gets bytecode for the modules that came
            without; with None it stays as it is.
        mtime: the time (seconds since the epoch) that the layer gives their sources.
        compiled: a folder for bytecode. The staged files themselves may be the package cache's own.

    Raises PackageMismatch when a file whose prefix was rewritten is not, in the package cache, the one that the package
    came with; others are left to who reads the bytes.
    """
    package, folder = staged.package, staged.folder
    name = f"conda-meta/{package.dist}.json"
    record = json.loads((folder / name).read_bytes())
    index = json.loads((staged.extracted / "info/index.json").read_bytes())
    files, paths = [], []
    for entry in record["paths_data"]["paths"]:
        path = entry.pop("original_path", entry["_path"])  # what another package's file of that name displaced
        source = f"{folder}/{entry['_path']}"
        paths.append({**entry, "_path": path})
        expected = entry.get("sha256_in_prefix") or ("" if entry.get("prefix_placeholder") else entry.get("sha256"))
        if entry.get("path_type") == "softlink":
            expected = ""
        elif entry.get("prefix_placeholder") and entry.get("sha256"):
            _verify(staged, path, entry["sha256"])
        files.append(LinkedFile(path, source, expected or ""))
    modules = uncompiled(file.path for file in files) if compiler and _is_for_python(index) else []
    if compiler and modules:
        sources = {file.path: file.source for file in files}
        sources = {module: sources[module] for module in modules}
        for path in compiler.compile(sources, compiled, PREFIX, mtime):
            files.append(LinkedFile(path, f"{compiled}/{path}"))
            paths.append({"_path": path, "path_type": "pyc_file"})
    return LinkedPackage(tuple(files), name, _record(staged, index, paths))


def _is_for_python(index: Mapping[str, Any]) -> bool:
    """By what the archive says of itself: lock files may leave dependencies out, and no layer may depend on that."""
    needed = {split_depend(depend)[0] for depend in index.get("depends") or ()}
    return index.get("noarch") == "python" or "python" in needed


def _verify(staged: StagedPackage, path: str, sha256: str) -> None:
    extracted = staged.extracted
    candidates = [path, path[path.find("site-packages/") :], path.replace("bin/", "python-scripts/", 1)]
    source = next((extracted / name for name in candidates if (extracted / name).is_file()), None)
    if source is None or hash_file(source) != sha256:
        raise PackageMismatch(f"{path} of {staged.package.dist} was changed in the package cache.")


def _record(staged: StagedPackage, index: Mapping[str, Any], paths: list[dict[str, Any]]) -> bytes:
    package = staged.package
    paths.sort(key=lambda entry: entry["_path"])
    value = {
        **scrub_json(index),
        "url": package.url,
        "channel": package.channel,
        "subdir": package.subdir,
        "fn": package.fn,
        "sha256": package.sha256,
        "requested_specs": [],
        "files": [entry["_path"] for entry in paths],
        "paths_data": {"paths_version": 1, "paths": paths},
    }
    if package.md5:
        value["md5"] = package.md5
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
