"""Links packages with py-rattler into a staging folder, with the contents that the files have at the image's prefix.

The files of a package depend only on its archive: if two packages share a path, each of them gets its own file back.
The record for conda-meta is made from the metadata of the archive and the lock file, never from the live prefix.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_condabuild.conda.linking.bytecode import Compiler, uncompiled
from jupyter_condabuild.conda.linking.check import Checked, check, collide
from jupyter_condabuild.conda.linking.extracted import Split, split, trim
from jupyter_condabuild.conda.match_specs import split_depend
from jupyter_condabuild.conda.package_cache import Cached, hash_file
from jupyter_condabuild.conda.packages import CondaPackage, site_packages_of
from jupyter_condabuild.conda.secrets import scrub, scrub_json
from jupyter_condabuild.errors import (
    CondaBuildError,
    DiskFull,
    LinkFailed,
    PackageMismatch,
    UnsafePackage,
    from_os_error,
)
from jupyter_condabuild.text import listed

if TYPE_CHECKING:
    from jupyter_condabuild.conda.linking.archive import Unpacked


_LINUX = "linux-64"
"""The platform as which packages are linked: on each system, an image has the folders and the commands of Linux."""


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """One file of a linked package.

    `path` is relative to the prefix. `executable` is whether its archive has an x bit for it; None if the x bit of
    `source` counts. `source` is the file with the contents. `sha256` is the expected hash of `source`
    (hexadecimal), or empty. For bytecode from a `Compiler`, `source` contains many modules: the contents are `size`
    bytes from `offset` on. `root` is the folder of the package, in which `source` is; empty for bytecode.
    """

    path: str
    source: str
    sha256: str = ""
    offset: int = 0
    size: int | None = None
    root: str = ""
    executable: bool | None = None


@dataclass(frozen=True)
class StagedPackage:
    """A package that is linked into `folder`. Its extracted archive is `extracted`.

    If the package is `thin`, `folder` contains only the rewritten files; the other files are in `extracted`.
    `target_prefix` is the prefix in the rewritten files. `site_packages` is the site-packages folder for noarch Python
    packages, relative to the prefix. `executables` are the files of the package with an x bit, as its archive has them;
    None if the x bits of `extracted` count. `changed_modes` are the files of its archive whose permissions an image
    does not keep (see `modes.shown`).
    """

    package: CondaPackage
    folder: Path
    extracted: Path
    target_prefix: str
    thin: bool = False
    site_packages: str = ""
    executables: frozenset[str] | None = None
    changed_modes: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """The interpreter, if this is the Python package. It runs from any folder."""
        return (self.extracted if self.thin else self.folder) / "bin/python"


def link(
    packages: Sequence[CondaPackage],
    sources: Mapping[str, Cached],
    folder: Path,
    target_prefix: str,
    helpers: Collection[str] = (),
) -> dict[str, StagedPackage]:
    """Links packages into new folders below `folder`. Returns the staged packages by dist.

    Archives are unpacked first. Every path of every package is checked before the installer gets the package. Packages
    with conflicting paths (one has a link where another has a folder) are linked separately.

    Args:
        packages: the packages. If there are noarch Python packages, the python package must be among them.
        sources: maps a dist to the verified archive or the extracted folder.
        target_prefix: the prefix of the image, which is written into the files.
        helpers: dists of packages that are only needed to link the other packages.

    Raises UnsafePackage, LinkFailed or DiskFull. The message contains no credentials.
    """
    cache, target = folder / "pkgs", folder / "env"
    cache.mkdir(parents=True)
    python = [package for package in packages if package.name == "python"]
    site_packages = _site_packages(python[0]) if python else ""
    unpacked = {dist: folder / "unpacked" / dist for dist, cached in sources.items() if not cached.extracted}
    contents: dict[str, Unpacked] = {}
    if unpacked:
        from jupyter_condabuild.conda.linking.archive import unpack_all  # imports zipfile, tarfile and zstd

        sha256 = {package.dist: package.sha256 for package in packages}
        found = unpack_all((sources[dist].path, path, sha256.get(dist, "")) for dist, path in unpacked.items())
        contents = dict(zip(unpacked, found, strict=True))
    extracted = {dist: unpacked.get(dist) or cached.path.absolute() for dist, cached in sources.items()}
    checked = {package.dist: check(package, extracted[package.dist], site_packages) for package in packages}
    for package in packages:
        if checked[package.dist].for_version and not package.is_noarch_python:
            # The key of its layer lacks the site-packages folder, so that the layer would be used for another Python.
            raise LinkFailed(
                f"Cannot link {package.dist}: it is a noarch Python package, but the lock file does not say so.",
                "Write the lock file with 'jupyter condabuild lock', which says so.",
            )
    thin = {dist: item.split for dist, item in checked.items() if item.split}
    rest = [
        package
        for package in packages
        if not (paths := thin.get(package.dist))
        or ((paths.rewritten or paths.entry_points) and package.dist not in helpers)
    ]
    if any(checked[package.dist].noarch_python for package in rest):
        rest = list(dict.fromkeys([*rest, *python]))
    for package in rest:
        dist = package.dist
        if dist in thin:
            _trim(package, extracted[dist], thin[dist], cache / dist)
        else:
            os.symlink(extracted[dist], cache / dist)
    targets = _link_all(rest, extracted, checked, cache, target, target_prefix)
    return {
        package.dist: StagedPackage(
            package,
            targets.get(package.dist, target),
            extracted[package.dist],
            target_prefix,
            package.dist in thin,
            site_packages,
            *((content.executables, content.changed) if (content := contents.get(package.dist)) else ()),
        )
        for package in packages
    }


def _site_packages(python: CondaPackage) -> str:
    return python.python_site_packages_path or site_packages_of(python.version, python.build)


def _trim(package: CondaPackage, extracted: Path, paths: Split, folder: Path) -> None:
    try:
        trim(extracted, paths.rewritten, folder)
    except FileNotFoundError as error:
        raise LinkFailed(f"Cannot link {package.dist}: {error.filename} is missing.") from None
    except OSError as error:
        raise from_os_error(error, f"linking {package.dist}", folder) from None


def _link_all(
    packages: Sequence[CondaPackage],
    extracted: Mapping[str, Path],
    checked: Mapping[str, Checked],
    cache: Path,
    target: Path,
    target_prefix: str,
) -> dict[str, Path]:
    """Links packages together, or separately if that is not possible. Returns the folder of each package by dist."""
    if not packages:
        return {}
    import asyncio  # takes 30 ms; the layer writers import this module, but they do not link

    if not collide(checked[package.dist] for package in packages):
        try:
            asyncio.run(_install(packages, extracted, cache, target, target_prefix))
            return dict.fromkeys((package.dist for package in packages), target)
        except LinkFailed:
            if len(packages) == 1:
                raise
    targets = {package.dist: target.with_name(package.dist) for package in packages}
    python = [package for package in packages if package.name == "python"]
    for package in packages:
        needed = list(dict.fromkeys([package, *python])) if checked[package.dist].noarch_python else [package]
        if collide(checked[item.dist] for item in needed):
            raise UnsafePackage(f"{package.dist} has paths inside of a link of {python[0].dist}.")
        asyncio.run(_install(needed, extracted, cache, targets[package.dist], target_prefix))
    return targets


async def _install(
    packages: Sequence[CondaPackage],
    extracted: Mapping[str, Path],
    cache: Path,
    target: Path,
    target_prefix: str,
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
    from rattler.platform import Subdir

    # The URL is that of a folder, so that the installer cannot fetch what was not checked.
    records = [rattler_record(package, extracted[package.dist].as_uri()) for package in packages]
    try:
        await rattler.install(
            records,
            target,
            cache_dir=cache,
            alternative_target_prefix=target_prefix,
            platform=Subdir(_LINUX),
            execute_link_scripts=False,
            show_progress=False,
        )
    except (InvalidUrlError, CacheDirError, FetchRepoDataError, InstallerError, IoError, LinkError) as error:
        raise _link_error(error, packages) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # rattler's own faults; the class cannot be imported
            raise
        raise LinkFailed(f"Cannot link {listed([package.dist for package in packages], 3)}.") from None


def rattler_record(package: CondaPackage, url: str) -> Any:
    """Returns the package as a RepoDataRecord of rattler, at a URL."""
    from rattler.package import BuildString
    from rattler.repo_data import PackageRecord, RepoDataRecord

    record = PackageRecord(
        name=package.name,
        version=package.version,
        build=BuildString(package.build),
        build_number=package.build_number or 0,
        subdir=package.subdir,
        noarch=package.kind or None,  # type: ignore[arg-type]  # the texts that it names
        depends=list(package.depends),
        sha256=bytes.fromhex(package.sha256) if package.sha256 else None,
        md5=bytes.fromhex(package.md5) if package.md5 else None,
        python_site_packages_path=package.python_site_packages_path or None,
    )
    return RepoDataRecord(record, package.fn, url, package.channel)


def _link_error(error: Exception, packages: Sequence[CondaPackage]) -> CondaBuildError:
    text = scrub(_message_with_causes(error))
    if os.strerror(errno.ENOSPC) in text or os.strerror(errno.EDQUOT) in text:
        return DiskFull("No space left while linking packages.")
    name = next((package.dist for package in packages if package.fn in text or package.dist in text), "a package")
    return LinkFailed(f"Cannot link {name}: {text}")


def _message_with_causes(error: BaseException) -> str:
    texts = [str(error)]
    while error.__cause__:
        error = error.__cause__
        texts.append(str(error))
    return ": ".join(dict.fromkeys(texts))


@dataclass(frozen=True)
class LinkedPackage:
    """The files of a package, and its record for conda-meta: path and canonical JSON."""

    files: tuple[LinkedFile, ...]
    record_path: str
    record: bytes


def linked_package(staged: StagedPackage, compiler: Compiler | None, mtime: int, compiled: str) -> LinkedPackage:
    """Returns the files and the record of one staged package.

    Args:
        compiler: compiles the modules that have no bytecode, if the package needs Python. None: nothing is compiled.
        mtime: the modification time (seconds since the epoch) that the layer gives the modules.
        compiled: the start of the paths of the files with bytecode. It must not be in a staged folder, whose files may
            be those of the package cache.

    Raises PackageMismatch if the package cache has changed metadata, or a changed version of a file whose prefix was
    rewritten. The caller verifies the other files when it reads them. Raises the errors of `Compiler.compile`.
    """
    name = f"conda-meta/{staged.package.dist}.json"
    index = json.loads((staged.extracted / "info/index.json").read_bytes())
    files, paths = _as_extracted(staged) if staged.thin else ([], [])
    for entry in _linked_entries(staged.folder / name, staged.thin):
        path = entry.pop("original_path", entry["_path"])  # the installer renames files with the same path
        source = f"{staged.folder}/{entry['_path']}"
        paths.append({**entry, "_path": path})
        expected = entry.get("sha256_in_prefix") or ("" if entry.get("prefix_placeholder") else entry.get("sha256"))
        if entry.get("path_type") == "softlink":
            expected = ""
        elif entry.get("prefix_placeholder") and entry.get("sha256"):
            _verify(staged, path, entry["sha256"])
        is_command = entry.get("path_type") == "unix_python_entry_point"
        executable = is_command or _is_executable(staged, _names_in_package(path))
        files.append(LinkedFile(path, source, expected or "", root=str(staged.folder), executable=executable))
    modules = uncompiled(file.path for file in files) if compiler and _is_for_python(index) else []
    if compiler and modules:
        sources = {file.path: file.source for file in files}
        sources = {module: sources[module] for module in modules}
        for pyc in compiler.compile(sources, compiled, staged.target_prefix, mtime):
            files.append(LinkedFile(pyc.path, pyc.file, "", pyc.offset, pyc.size))
            paths.append({"_path": pyc.path, "path_type": "pyc_file"})
    return LinkedPackage(tuple(files), name, _record(staged, index, paths))


def _as_extracted(staged: StagedPackage) -> tuple[list[LinkedFile], list[dict[str, Any]]]:
    """Returns the unchanged files of a thin package, and their entries for the record."""
    paths = split(staged.extracted, staged.site_packages)
    if paths is None:
        raise PackageMismatch(f"The metadata of {staged.package.dist} was changed in the package cache.")
    root = str(staged.extracted)
    has_x = staged.executables
    files = [
        LinkedFile(
            entry["_path"],
            f"{root}/{name}",
            entry["sha256"],
            root=root,
            executable=None if has_x is None else name in has_x,
        )
        for name, entry in paths.plain
    ]
    return files, [dict(entry) for _, entry in paths.plain]


def _is_executable(staged: StagedPackage, names: Sequence[str]) -> bool:
    """Whether the file of the package with one of these names has an x bit. The installer's copy may have lost it."""
    if staged.executables is not None:
        return not staged.executables.isdisjoint(names)
    for name in names:
        with suppress(OSError):
            return bool(os.lstat(staged.extracted / name).st_mode & 0o111)
    return False


def _names_in_package(path: str) -> list[str]:
    """Returns the names that a file may have in its package, by its path in the prefix."""
    return [path, path[path.find("site-packages/") :], path.replace("bin/", "python-scripts/", 1)]


def _linked_entries(record: Path, thin: bool) -> list[dict[str, Any]]:
    """Returns the entries of the paths that the installer linked. A thin package may have none."""
    if thin and not record.exists():
        return []
    entries: list[dict[str, Any]] = json.loads(record.read_bytes())["paths_data"]["paths"]
    return entries


def _is_for_python(index: Mapping[str, Any]) -> bool:
    """Whether a package needs Python, according to the archive's own metadata.

    A lock file may leave out dependencies, and the bytes of a layer must not depend on that.
    """
    needed = {split_depend(depend)[0] for depend in index.get("depends") or ()}
    return index.get("noarch") == "python" or "python" in needed


def _verify(staged: StagedPackage, path: str, sha256: str) -> None:
    extracted = staged.extracted
    source = next((extracted / name for name in _names_in_package(path) if (extracted / name).is_file()), None)
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
