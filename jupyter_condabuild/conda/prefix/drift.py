"""Drift: the differences between the files of a prefix and the lists of files in its records and pip's metadata.

These files are not drift: bytecode caches, conda's own metadata and trash, the list of desktop shortcuts, and in a base
environment the package cache and the environments below the prefix. Every other file is reported, including hidden
files and caches: the user decides which files an image leaves out (`excluded`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from jupyter_condabuild.conda.linking.clobbers import CLOBBERS, folders_of
from jupyter_condabuild.conda.prefix.clobbered import Clobbered, clobbered_paths
from jupyter_condabuild.conda.prefix.drift_report import (
    DriftEntry,
    Kind,
    clobber_warnings,
    file_warnings,
    is_bytecode,
    mode_warnings,
    other_warnings,
)
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.fingerprint import stamp_of
from jupyter_condabuild.conda.prefix.listing import Listing, listing
from jupyter_condabuild.conda.prefix.records import SOFTLINK, PrefixRecord
from jupyter_condabuild.conda.prefix.verification import Progress, Verdict, expectations, verify
from jupyter_condabuild.conda.prefix.walk import MODE, SIZE, Status
from jupyter_condabuild.events import Warning


@dataclass(frozen=True)
class Drift:
    """The differences between a prefix and its records. All tuples of entries are sorted by path.

    `bytecode` are caches that Python wrote or rewrote; a build can leave them out. `files` is the number of verified
    paths, `bytes` is the sum of their sizes, and `bytes_read` is the number of bytes that were read to verify them.
    `verified` maps the dist of each unchanged package to its stamp. `pip_links` are the files of pip that are symbolic
    links, and `folder_links` are the links in the place of folders with files of packages. `clobbered` are
    the paths that several packages bring with different content. `empty` are the empty folders of no package.
    `excluded` are the differences that the user leaves out; they are in no other list.
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
    empty: tuple[str, ...] = ()
    excluded: tuple[DriftEntry, ...] = ()

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
        return bool(self.modified or self.missing or self.untracked or self.replaced or self.empty)


def drift(
    environment: Environment,
    contents: Listing | None = None,
    verified: Mapping[str, str] | None = None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    trust_cache: bool = True,
    exclude: Callable[[str], bool] | None = None,
) -> Drift:
    """Compares each file of a prefix with the records.

    Args:
        contents: the listing of the prefix, if the caller has one.
        verified: `Drift.verified` of an earlier comparison. Packages with the same stamps are not compared again.
        workers: the number of threads that read and hash; see `verify`.
        progress: called with the number of bytes done and the total number of bytes.
        trust_cache: whether to skip files that are provably the unchanged files in the package cache.
        exclude: says whether the user leaves out a path, relative to the prefix. A folder ends in a slash.
    """
    prefix = environment.prefix
    pip_files = {path for item in (*environment.pip, *environment.left_out) for path in item.files}
    contents = contents or listing(prefix)
    if environment.platform.startswith("osx"):
        contents = contents.of_macos(chain(pip_files, *(record.files for record in environment.records)))
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
    size = sum(status[SIZE] for status in map(contents.statuses.get, unchanged) if status)
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
            entry = _entry(prefix, verdict)
            # a pipe in the place of a file cannot be in an image
            (bytecode if is_bytecode(path) else missing if entry.kind == "special" else modified).append(entry)
        elif verdict.state == "missing" and not is_bytecode(path):
            missing.append(DriftEntry(path, verdict.size, verdict.expected.package))
    owned = {item.path for item in expected} | unchanged | pip_files
    unowned, folder_links = _unowned(prefix, contents, owned)
    # rattler sometimes leaves empty folders in its folder of clobbered files
    folders = {path for path in contents.empty if not f"{path}/".startswith(CLOBBERS)}
    empty = sorted(folders - owned - folders_of(owned)) if folders else []
    infos = tuple(f"{item.dist_info}/" for item in environment.left_out)  # files that an installer adds later
    untracked = sorted(item for item in unowned if not is_bytecode(item.path) and not item.path.startswith(infos))
    modified, missing = sorted(modified), sorted(missing)
    restored = {item.overwrites for item in environment.left_out if item.overwrites}
    excluded = [entry for entry in (*modified, *missing) if entry.package in restored]
    if exclude:
        entries = (*modified, *missing, *untracked, *(DriftEntry(path, kind="directory") for path in empty))
        excluded += [entry for entry in entries if exclude(f"{entry.path}{'/' * (entry.kind == 'directory')}")]
    without = {entry.path for entry in excluded}
    if without:
        modified, missing, untracked = (
            [entry for entry in entries if entry.path not in without] for entries in (modified, missing, untracked)
        )
        empty = [path for path in empty if path not in without]
    return Drift(
        modified=tuple(modified),
        missing=tuple(missing),
        untracked=tuple(untracked),
        bytecode=tuple(sorted([*bytecode, *(entry for entry in unowned if is_bytecode(entry.path))])),
        warnings=(
            *file_warnings(modified, missing, untracked, empty),
            *mode_warnings(prefix, contents, owned, without),
            *clobber_warnings(clobbered),
            *other_warnings(environment, sorted([*unreadable, *contents.unlisted]), contents.nested),
        ),
        files=len(expected) + len(unchanged),
        bytes=size,
        bytes_read=read,
        verified={
            record.dist: stamps[record.dist]
            for record in environment.records
            if record.dist not in compared or _is_as_recorded(record, contents, differing)
        },
        pip_links=tuple(
            sorted({path for item in environment.pip for path in item.files if _is_link(contents.statuses.get(path))})
        ),
        folder_links=tuple(sorted(folder_links)),
        clobbered=clobbered,
        empty=tuple(empty),
        excluded=tuple(sorted(set(excluded))),
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
    A stamp does not cover the files that links of conda lead to.
    """
    files = set(record.files)
    return (
        record.link_type != SOFTLINK
        and all(contents.statuses.get(path) for path in files)
        and differing.isdisjoint(files)
        and files.issuperset(entry.path for entry in record.paths)
    )


def _unowned(prefix: Path, contents: Listing, owned: set[str]) -> tuple[list[DriftEntry], set[str]]:
    """Returns the paths of a prefix that are not in `owned`, and the links in the place of folders with owned paths."""
    unowned = [path for path in contents.statuses if path not in owned and not _is_trash(path)]
    if not unowned:
        return [], set()
    links = folders_of(owned) & contents.statuses.keys()  # a listing contains links, but no folders
    resolved = _resolved_links(prefix, links, owned)
    return [_unowned_entry(path, contents.statuses[path]) for path in unowned if path not in resolved], links


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
