"""Drift: the differences between the files of a prefix and the lists of files in its records and pip's metadata.

These files are not drift: bytecode caches, conda's own metadata and trash, the list of desktop shortcuts, and in a base
environment the package cache and the environments below the prefix. Every other file is reported, including hidden
files and caches: the user decides which files an image leaves out.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jupyter_condabuild.conda.prefix.clobbered import Clobbered, clobbered_paths
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.fingerprint import stamp_of
from jupyter_condabuild.conda.prefix.listing import Listing, listing
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.prefix.verification import Progress, Verdict, expectations, verify
from jupyter_condabuild.conda.prefix.walk import MODE, SIZE, Status, root_folders
from jupyter_condabuild.events import Warning
from jupyter_condabuild.text import counted, listed, size_text

Kind = Literal["file", "symlink", "directory", "special"]


@dataclass(frozen=True, order=True)
class DriftEntry:
    """A path of the prefix that differs from the records.

    `path` is relative to the prefix (any bytes, decoded with `os.fsdecode`). `package` is the conda package that owns
    the path, or empty. `size` is the size of the file in bytes, or the size in the record if the file is missing. The
    kind ``special`` is a socket, a pipe, a device, or a path without a file status.
    """

    path: str
    size: int = 0
    package: str = ""
    kind: Kind = "file"


@dataclass(frozen=True)
class Drift:
    """The differences between a prefix and its records. All tuples of entries are sorted by path.

    `bytecode` are caches that Python wrote or rewrote; a build can leave them out. `files` is the number of verified
    paths, `bytes` is the sum of their sizes, and `bytes_read` is the number of bytes that were read to verify them.
    `verified` maps the dist of each unchanged package to its stamp. `pip_links` are the files of pip that are symbolic
    links, and `folder_links` are the links in the place of folders with files of packages. `clobbered` are
    the paths that several packages bring with different content.
    """

    modified: tuple[DriftEntry, ...] = ()
    missing: tuple[DriftEntry, ...] = ()
    untracked: tuple[DriftEntry, ...] = ()
    bytecode: tuple[DriftEntry, ...] = ()
    warnings: tuple[Warning, ...] = ()
    files: int = 0
    bytes: int = 0
    bytes_read: int = 0
    verified: Mapping[str, str] = field(default_factory=dict)
    pip_links: tuple[str, ...] = ()
    folder_links: tuple[str, ...] = ()
    clobbered: tuple[Clobbered, ...] = ()

    @property
    def links(self) -> tuple[str, ...]:
        """The symbolic links that no package brings, sorted."""
        found = {entry.path for entry in (*self.untracked, *self.modified) if entry.kind == "symlink"}
        return tuple(sorted(found.union(self.pip_links)))

    @property
    def replaced(self) -> tuple[Clobbered, ...]:
        """The clobbered paths at which an installation from a lock file leaves another file, or no file."""
        return tuple(item for item in self.clobbered if not item.by_rule)

    def __bool__(self) -> bool:
        return bool(self.modified or self.missing or self.untracked or self.replaced)


def drift(
    environment: Environment,
    contents: Listing | None = None,
    verified: Mapping[str, str] | None = None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    trust_cache: bool = True,
) -> Drift:
    """Compares each file of a prefix with the records.

    Args:
        contents: the listing of the prefix, if the caller has one.
        verified: `Drift.verified` of an earlier comparison. Packages with the same stamps are not compared again.
        workers: the number of threads that read and hash; see `verify`.
        progress: called with the number of bytes done and the total number of bytes.
        trust_cache: whether to skip files that are provably the unchanged files in the package cache.
    """
    prefix = environment.prefix
    pip_files = {path for distribution in environment.pip for path in distribution.files}
    contents = contents or listing(prefix)
    stamps = {record.dist: stamp_of(record, contents.statuses) for record in environment.records}
    unchanged, records = _unchanged(environment.records, stamps, verified or {})
    compared = {record.dist for record in records}
    clobbered = tuple(clobbered_paths(prefix, environment.records, pip_files))
    taken = {item.path for item in clobbered if item.shown or not item.exists}
    expected = expectations(prefix, records, trust_cache=trust_cache)
    modified: list[DriftEntry] = []
    missing: list[DriftEntry] = []
    bytecode: list[DriftEntry] = []
    unreadable: list[str] = []
    differing = {item.path for item in clobbered if not item.by_rule}
    size = sum(status[SIZE] for path in unchanged if (status := contents.statuses.get(path)))
    read = 0
    for verdict in verify(prefix, expected, contents.statuses, workers=workers, progress=progress):
        size += verdict.size
        read += verdict.bytes_read
        if verdict.state == "same":
            continue
        path = verdict.expected.path
        if path in taken:
            continue
        differing.add(path)
        if verdict.state == "unreadable":
            unreadable.append(path)
        elif verdict.state == "modified" and path not in pip_files:
            (bytecode if _is_bytecode(path) else modified).append(_entry(prefix, verdict))
        elif verdict.state == "missing" and not _is_bytecode(path):
            missing.append(DriftEntry(path, verdict.size, verdict.expected.package))
    unowned, folder_links = _unowned(prefix, contents, {item.path for item in expected} | unchanged | pip_files)
    untracked = sorted(entry for entry in unowned if not _is_bytecode(entry.path))
    modified, missing = sorted(modified), sorted(missing)
    return Drift(
        modified=tuple(modified),
        missing=tuple(missing),
        untracked=tuple(untracked),
        bytecode=tuple(sorted([*bytecode, *(entry for entry in unowned if _is_bytecode(entry.path))])),
        warnings=(
            *_file_warnings(modified, missing, untracked),
            *_clobber_warnings(clobbered),
            *_other_warnings(environment, sorted([*unreadable, *contents.unlisted]), contents.nested),
        ),
        files=len(expected) + len(unchanged),
        bytes=size,
        bytes_read=read,
        verified={
            record.dist: stamps[record.dist]
            for record in environment.records
            if record.dist not in compared or _is_as_recorded(record, contents, differing)
        },
        pip_links=tuple(sorted(path for path in pip_files if _is_link(contents.statuses.get(path)))),
        folder_links=tuple(sorted(folder_links)),
        clobbered=clobbered,
    )


def _unchanged(
    records: Sequence[PrefixRecord], stamps: Mapping[str, str], verified: Mapping[str, str]
) -> tuple[set[str], Sequence[PrefixRecord]]:
    """Returns the paths of the packages that have their verified stamps, and the records of the other packages.

    If a package with its verified stamp shares a path with another package, all records are returned: either package
    may have written the file.
    """
    others = [record for record in records if stamps[record.dist] != verified.get(record.dist)]
    if len(others) == len(records):
        return set(), records
    other_dists = {record.dist for record in others}
    unchanged = {path for record in records if record.dist not in other_dists for path in record.files}
    if any(path in unchanged for record in others for path in record.files):
        return set(), records
    return unchanged, others


def _is_as_recorded(record: PrefixRecord, contents: Listing, differing: Set[str]) -> bool:
    """Whether all files of a package are present and unchanged.

    A record has two lists of paths, and a stamp covers only `PrefixRecord.files`. So this list must contain all paths.
    """
    files = set(record.files)
    return (
        all(contents.statuses.get(path) for path in files)
        and differing.isdisjoint(files)
        and files.issuperset(entry.path for entry in record.paths)
    )


def _unowned(prefix: Path, contents: Listing, owned: set[str]) -> tuple[list[DriftEntry], set[str]]:
    """Returns the paths of a prefix that are not in `owned`, and the links in the place of folders with owned paths."""
    unowned = [path for path in contents.statuses if path not in owned and not _is_trash(path)]
    if not unowned:
        return [], set()
    links = _folder_links(contents, owned)
    resolved = _resolved_links(prefix, links, owned)
    return [_unowned_entry(path, contents.statuses[path]) for path in unowned if path not in resolved], links


def _folder_links(contents: Listing, owned: set[str]) -> set[str]:
    """Returns the links below which a package lists files, such as lib64."""
    folders: set[str] = set()
    for path in owned:
        folder = posixpath.dirname(path)
        while folder and folder not in folders:
            folders.add(folder)
            folder = posixpath.dirname(folder)
    return folders.intersection(contents.statuses)  # a listing contains links, but no folders


def _resolved_links(prefix: Path, links: set[str], owned: set[str]) -> set[str]:
    """Returns the real paths of files that a package lists below a link to a folder."""
    root = os.path.realpath(prefix)
    real = {
        f"{folder}/": os.path.relpath(target, root) + "/"
        for folder in links
        if (target := os.path.realpath(f"{prefix}/{folder}")).startswith(f"{root}/")
    }
    return {real[link] + path.removeprefix(link) for path in owned for link in real if path.startswith(link)}


def _is_link(status: Status | None) -> bool:
    return bool(status and stat.S_ISLNK(status[MODE]))


def _is_bytecode(path: str) -> bool:
    """Whether a path is in a folder where Python and numba keep caches. They use no cache without its source file."""
    return "__pycache__/" in path


def _is_trash(name: str) -> bool:
    return name.endswith((".c~", ".conda_trash"))  # conda renames a file that it cannot remove


def _unowned_entry(path: str, status: Status | None) -> DriftEntry:
    return DriftEntry(path, status[SIZE], kind=_kind(status[MODE])) if status else DriftEntry(path, kind="special")


def _entry(prefix: Path, verdict: Verdict) -> DriftEntry:
    path = verdict.expected.path
    try:
        kind = _kind(os.lstat(prefix / path).st_mode)
    except OSError:
        kind = "file"
    return DriftEntry(path, verdict.size, verdict.expected.package, kind)


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISLNK(mode):
        return "symlink"
    return "directory" if stat.S_ISDIR(mode) else "special"


def _file_warnings(
    modified: list[DriftEntry], missing: list[DriftEntry], untracked: list[DriftEntry]
) -> Iterator[Warning]:
    def names(entries: list[DriftEntry]) -> str:
        return listed([entry.path for entry in entries], 5)

    def files(entries: list[DriftEntry]) -> str:
        return f"{counted([entry.path for entry in entries], 'file')} ({size_text(sum(e.size for e in entries))})"

    if modified:
        yield Warning(
            "modified-files",
            f"{files(modified)} of packages changed since they were installed: {names(modified)}.",
            "The image contains the changed files. Other users cannot get them from a lock file.",
        )
    if missing:
        yield Warning(
            "missing-files",
            f"The packages of the environment lack {files(missing)}: {names(missing)}.",
            "The image does not contain them either. Reinstall the packages to get the files back.",
        )
    if untracked:
        yield Warning(
            "untracked-files",
            f"No package owns {files(untracked)}: {names(untracked)}.",
            "The image contains a copy of them. Other users cannot get them from a lock file.",
        )


def _clobber_warnings(clobbered: Sequence[Clobbered]) -> Iterator[Warning]:
    def names(items: list[Clobbered]) -> str:
        return listed([f"{item.path} ({', '.join(item.packages)})" for item in items], 5)

    replaced = [item for item in clobbered if not item.by_rule]
    if replaced:
        yield Warning(
            "clobbered-files",
            f"At {counted(replaced, 'path')}, several packages have different files, and the environment does not show "
            f"the file that conda leaves there: {names(replaced)}.",
            "The image shows what the environment shows. Other users get other files from a lock file.",
        )
    if shared := [item for item in clobbered if item.by_rule]:
        yield Warning(
            "shared-paths",
            f"At {counted(shared, 'path')}, several packages have different files: {names(shared)}.",
            "The image shows the file of the package that is installed last, as the environment does.",
        )


def _other_warnings(environment: Environment, unreadable: Sequence[str], nested: Sequence[str]) -> Iterator[Warning]:
    if unreadable:
        yield Warning(
            "unreadable",
            f"{counted(unreadable, 'path')} of the environment cannot be read: {listed(unreadable)}.",
            "The image cannot contain what you cannot read. Make these paths readable, or remove them.",
        )
    if folders := root_folders(str(environment.prefix)):
        yield Warning(
            "root-prefix",
            f"The environment is a base environment. These folders of it are not in the image: {listed(folders)}.",
            "They hold the package cache, other environments and builds. Build the image of each other environment "
            "separately.",
        )
    if nested:
        yield Warning(
            "nested-environment",
            f"The environment contains {counted(nested, 'other environment')}: {listed(nested)}.",
            "An image contains one environment. Build the image of each other environment separately.",
        )
    for distribution in environment.pip:
        absent = [
            path for path in distribution.files if not _is_bytecode(path) and not (environment.prefix / path).exists()
        ]
        if absent:
            package = distribution.package
            yield Warning(
                "pip-files-missing",
                f"pip's {package.name} {package.version} lacks {counted(absent, 'file')}: {listed(absent, 3)}.",
                f"Reinstall the package: 'pip install --force-reinstall {package.name}=={package.version}'.",
            )
