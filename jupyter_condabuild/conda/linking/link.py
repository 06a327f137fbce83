"""Links packages with py-rattler into a staging folder, with the contents that the files have at the image's prefix.

The files of a package depend only on its archive: if two packages share a path, each of them gets its own file back.
The record for conda-meta is made from the metadata of the archive and the lock file, never from the live prefix.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_condabuild.conda.linking.bytecode import Compiler, uncompiled
from jupyter_condabuild.conda.linking.check import check
from jupyter_condabuild.conda.linking.extracted import Extracted, Split, split, trim
from jupyter_condabuild.conda.linking.installer import link_all
from jupyter_condabuild.conda.match_specs import split_depend
from jupyter_condabuild.conda.package_cache import Cached, hash_file
from jupyter_condabuild.conda.packages import CondaPackage, site_packages_of
from jupyter_condabuild.conda.paths import link_fault
from jupyter_condabuild.conda.secrets import scrub_json
from jupyter_condabuild.errors import LinkFailed, PackageMismatch, StoreUnwritable, from_os_error
from jupyter_condabuild.system.links import make_link
from jupyter_condabuild.system.names import name_bytes

if TYPE_CHECKING:
    from jupyter_condabuild.conda.linking.archive import Unpacked

_ENTRY_POINT = "unix_python_entry_point"


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """One file of a linked package.

    `path` is relative to the prefix. `executable` is whether its archive has an x bit for it; None if the x bit of
    `source` counts. `source` is the file with the contents. `sha256` is the expected hash of `source`
    (hexadecimal), or empty. For bytecode from a `Compiler`, `source` contains many modules: the contents are `size`
    bytes from `offset` on. `root` is the folder of the package, in which `source` is; empty for bytecode. `target` is
    the target of a symbolic link, which has no `source`.
    """

    path: str
    source: str
    sha256: str = ""
    offset: int = 0
    size: int | None = None
    root: str = ""
    executable: bool | None = None
    target: str = ""


@dataclass(frozen=True)
class StagedPackage:
    """A package that is linked into `folder`. Its extracted archive is `extracted`.

    If the package is `thin`, `folder` contains only the rewritten files, under names of our own (see `Split`); the
    other files are in `extracted`. `target_prefix` is the prefix in the rewritten files. `site_packages` is the
    site-packages folder for noarch Python packages, relative to the prefix. `executables` are the files of the package
    with an x bit, as its archive has them; None if the x bits of `extracted` count. `changed_modes` are the files of
    its archive whose permissions an image does not keep (see `modes.shown`).
    """

    package: CondaPackage
    folder: Path
    extracted: Extracted
    target_prefix: str
    thin: bool = False
    site_packages: str = ""
    executables: frozenset[str] | None = None
    changed_modes: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """The interpreter, if this is the Python package. It runs from any folder."""
        return (self.extracted.folder if self.thin else self.folder) / "bin/python"


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
    extracted = {
        dist: Extracted(unpacked[dist], contents[dist].apart, contents[dist].links)
        if dist in unpacked
        else Extracted(cached.path.absolute())
        for dist, cached in sources.items()
    }
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
            if extracted[dist].apart:
                raise _only_for_others(dist)
            if not make_link(str(extracted[dist].folder), str(cache / dist)):
                raise _needs_links(dist)
    targets = link_all(rest, extracted, checked, cache, target, target_prefix)
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


def _only_for_others(dist: str) -> StoreUnwritable:
    return StoreUnwritable(
        f"{dist} has files whose names differ only in capital letters or accents, or that cannot be names here. In a "
        "package of its old format (without info/paths.json), they need a file system that distinguishes them.",
        "Set store_dir (or CONDABUILD_STORE_DIR) to a folder on such a file system. On macOS, the Disk Utility adds a "
        "volume 'APFS (Case-sensitive)'.",
    )


def _needs_links(dist: str) -> StoreUnwritable:
    return StoreUnwritable(
        f"{dist} can only be linked where symbolic links can be made.",
        "On Windows, turn on the Developer Mode. Or set store_dir (or CONDABUILD_STORE_DIR) to a folder on a disk that "
        "has symbolic links.",
    )


def _trim(package: CondaPackage, extracted: Extracted, paths: Split, folder: Path) -> None:
    try:
        trim(extracted, paths, package.dist, folder)
    except FileNotFoundError as error:
        raise LinkFailed(f"Cannot link {package.dist}: {error.filename} is missing.") from None
    except OSError as error:
        raise from_os_error(error, f"linking {package.dist}", folder) from None


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
    index = json.loads((staged.extracted.folder / "info/index.json").read_bytes())
    found = _split(staged) if staged.thin else None
    files, paths = _as_extracted(staged, found) if found else ([], [])
    for entry in _linked_entries(staged.folder / name, staged.thin):
        path = entry.pop("original_path", entry["_path"])  # the installer renames files with the same path
        source = f"{staged.folder}/{entry['_path']}"
        if found:
            path = found.place(path, entry_point=entry.get("path_type") == _ENTRY_POINT)
        paths.append({**entry, "_path": path})
        expected = entry.get("sha256_in_prefix") or ("" if entry.get("prefix_placeholder") else entry.get("sha256"))
        if entry.get("path_type") == "softlink":
            expected = ""
        elif entry.get("prefix_placeholder") and entry.get("sha256"):
            _verify(staged, path, entry["sha256"])
        is_command = entry.get("path_type") == _ENTRY_POINT
        executable = is_command or _is_executable(staged, _names_in_package(path))
        files.append(LinkedFile(path, source, expected or "", root=str(staged.folder), executable=executable))
    modules = uncompiled(file.path for file in files if not file.target) if compiler and _is_for_python(index) else []
    if compiler and modules:
        sources = {file.path: file.source for file in files}
        sources = {module: sources[module] for module in modules}
        for pyc in compiler.compile(sources, compiled, staged.target_prefix, mtime):
            files.append(LinkedFile(pyc.path, pyc.file, "", pyc.offset, pyc.size))
            paths.append({"_path": pyc.path, "path_type": "pyc_file"})
    return LinkedPackage(tuple(files), name, _record(staged, index, paths))


def _split(staged: StagedPackage) -> Split:
    paths = split(staged.extracted, staged.site_packages)
    if paths is None:
        raise PackageMismatch(f"The metadata of {staged.package.dist} was changed in the package cache.")
    return paths


def _as_extracted(staged: StagedPackage, paths: Split) -> tuple[list[LinkedFile], list[dict[str, Any]]]:
    """Returns the unchanged files and the links of a thin package, and their entries for the record.

    An entry of a link has what rattler writes: the hash of its target.
    """
    root, apart = str(staged.extracted.folder), staged.extracted.apart
    has_x = staged.executables
    files = [
        LinkedFile(
            entry["_path"],
            apart.get(name) or f"{root}/{name}",
            entry["sha256"],
            root=root if name not in apart else posixpath.dirname(apart[name]),
            executable=None if has_x is None else name in has_x,
        )
        for name, entry in paths.plain
    ]
    entries = [dict(entry) for _, entry in paths.plain]
    for name, entry in paths.links:
        target = staged.extracted.target(name)
        if target is None or link_fault(entry["_path"], target):
            raise PackageMismatch(f"{entry['_path']} of {staged.package.dist} was changed in the package cache.")
        files.append(LinkedFile(entry["_path"], "", target=target))
        text = name_bytes(target).decode("utf-8", "replace").encode()
        entries.append(
            {
                "size_in_bytes": len(text),
                **{name: value for name, value in entry.items() if value is not None},
                "sha256_in_prefix": hashlib.sha256(text).hexdigest(),
            }
        )
    return files, entries


def _is_executable(staged: StagedPackage, names: Sequence[str]) -> bool:
    """Whether the file of the package with one of these names has an x bit. The installer's copy may have lost it."""
    if staged.executables is not None:
        return not staged.executables.isdisjoint(names)
    for name in names:
        with suppress(OSError):
            return bool(os.lstat(staged.extracted.file(name)).st_mode & 0o111)
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
    files = map(staged.extracted.file, _names_in_package(path))
    source = next((file for file in files if os.path.isfile(file)), None)
    if source is None or hash_file(Path(source)) != sha256:
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
