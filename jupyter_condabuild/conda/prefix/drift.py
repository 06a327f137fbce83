"""Drift: how far a prefix has moved away from what its records and pip's lists say it holds.

Not drift: bytecode caches, conda's own metadata and trash, and in a base environment its package cache and the
environments below it. Everything else is reported, hidden files and caches included: what is
left out of an image is for people to decide.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.fingerprint import stamp_of
from jupyter_condabuild.conda.prefix.listing import Listing, listing
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.prefix.verification import Progress, Verdict, expectations, verify
from jupyter_condabuild.conda.prefix.walk import MODE, SIZE, Status
from jupyter_condabuild.events import Warning
from jupyter_condabuild.text import counted, listed, size_text

Kind = Literal["file", "symlink", "directory", "special"]


@dataclass(frozen=True, order=True)
class DriftEntry:
    """A path relative to the prefix (any bytes, as `os.fsdecode` has them) that is not as recorded.

    `package` is the conda package that owns it, empty where none does. `size` in bytes is of what lies there, for a
    missing path of what should. Of a socket, pipe or device (`special`) only the name is known.
    """

    path: str
    size: int = 0
    package: str = ""
    kind: Kind = "file"


@dataclass(frozen=True)
class Drift:
    """The differences, each sorted by path.

    `bytecode` are caches that Python wrote or rewrote, which a build can leave out. `files`, `bytes` and `bytes_read`
    count what was verified, what it holds, and what had to be read for it. `verified` has, by dist, the stamps of the
    packages that are as recorded.
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

    def __bool__(self) -> bool:
        return bool(self.modified or self.missing or self.untracked)


def drift(
    environment: Environment,
    lying: Listing | None = None,
    verified: Mapping[str, str] | None = None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    trust_cache: bool = True,
) -> Drift:
    """Compares the prefix with its records, file by file.

    Args:
        lying: the prefix's listing, where there is one already.
        verified: stamps that an earlier drift had; packages that still have them are not looked at again.
        workers: threads that read and hash.
        progress: called with the bytes done and the bytes in all.
        trust_cache: whether a file that is the package cache's own, unchanged since extraction, need not be read.
    """
    prefix = environment.prefix
    of_pip = {path for distribution in environment.pip for path in distribution.files}
    lying = lying or listing(prefix)
    stamps = {record.dist: stamp_of(record, lying.statuses) for record in environment.records}
    unchanged, records = _unchanged(environment.records, stamps, verified or {})
    looked_at = {record.dist for record in records}
    expected = expectations(prefix, records, trust_cache=trust_cache)
    modified: list[DriftEntry] = []
    missing: list[DriftEntry] = []
    bytecode: list[DriftEntry] = []
    unreadable: list[str] = []
    differing: set[str] = set()
    size = sum(status[SIZE] for path in unchanged if (status := lying.statuses.get(path)))
    read = 0
    for verdict in verify(prefix, expected, lying.statuses, workers=workers, progress=progress):
        size += verdict.size
        read += verdict.bytes_read
        if verdict.state == "same":
            continue
        path = verdict.expected.path
        differing.add(path)
        if verdict.state == "unreadable":
            unreadable.append(path)
        elif verdict.state == "modified" and path not in of_pip:
            (bytecode if _is_bytecode(path) else modified).append(_entry(prefix, verdict))
        elif verdict.state == "missing" and not _is_bytecode(path):
            missing.append(DriftEntry(path, verdict.size, verdict.expected.package))
    found = _untracked(prefix, lying, {one.path for one in expected} | unchanged | of_pip)
    unowned = sorted(entry for entry in found if not _is_bytecode(entry.path))
    modified, missing = sorted(modified), sorted(missing)
    return Drift(
        modified=tuple(modified),
        missing=tuple(missing),
        untracked=tuple(unowned),
        bytecode=tuple(sorted([*bytecode, *(entry for entry in found if _is_bytecode(entry.path))])),
        warnings=(
            *_of_files(modified, missing, unowned),
            *_warnings(environment, sorted([*unreadable, *lying.unlisted]), lying.nested),
        ),
        files=len(expected) + len(unchanged),
        bytes=size,
        bytes_read=read,
        verified={
            record.dist: stamps[record.dist]
            for record in environment.records
            if record.dist not in looked_at or _is_as_recorded(record, lying, differing)
        },
    )


def _unchanged(
    records: Sequence[PrefixRecord], stamps: Mapping[str, str], verified: Mapping[str, str]
) -> tuple[set[str], Sequence[PrefixRecord]]:
    """The paths of packages that need not be looked at again, and the records of the others.

    Where one of those shares a path with one of these, nothing is taken for granted: either may have brought the file.
    """
    others = [record for record in records if stamps[record.dist] != verified.get(record.dist)]
    if len(others) == len(records):
        return set(), records
    left = {record.dist for record in others}
    unchanged = {path for record in records if record.dist not in left for path in record.files}
    if any(path in unchanged for record in others for path in record.files):
        return set(), records
    return unchanged, others


def _is_as_recorded(record: PrefixRecord, lying: Listing, differing: Set[str]) -> bool:
    """Whether all is there and the same, and the record's two lists of paths agree: stamps are of the shorter one."""
    files = set(record.files)
    return (
        all(lying.statuses.get(path) for path in files)
        and differing.isdisjoint(files)
        and files.issuperset(entry.path for entry in record.paths)
    )


def _untracked(prefix: Path, lying: Listing, known: set[str]) -> list[DriftEntry]:
    """What lies in a prefix and is not known."""
    unknown = [path for path in lying.statuses if path not in known and not _is_trash(path)]
    if not unknown:
        return []
    seen = _seen_through_links(prefix, lying, known)
    return [_untracked_entry(path, lying.statuses[path]) for path in unknown if path not in seen]


def _seen_through_links(prefix: Path, lying: Listing, known: set[str]) -> set[str]:
    """The real places of paths that a package lists below a folder that is a link, such as lib64."""
    folders: set[str] = set()
    for path in known:
        folder = posixpath.dirname(path)
        while folder and folder not in folders:
            folders.add(folder)
            folder = posixpath.dirname(folder)
    root = os.path.realpath(prefix)
    links = folders.intersection(lying.statuses)  # a folder itself would not be there
    real = {
        f"{folder}/": os.path.relpath(target, root) + "/"
        for folder in links
        if (target := os.path.realpath(f"{prefix}/{folder}")).startswith(f"{root}/")
    }
    return {real[link] + path.removeprefix(link) for path in known for link in real if path.startswith(link)}


def _is_bytecode(path: str) -> bool:
    """Python (and numba) keep caches there, and import nothing from it without the source."""
    return "__pycache__/" in path


def _is_trash(name: str) -> bool:
    return name.endswith((".c~", ".conda_trash"))  # files that conda could not remove at once


def _untracked_entry(path: str, status: Status | None) -> DriftEntry:
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


def _of_files(modified: list[DriftEntry], missing: list[DriftEntry], untracked: list[DriftEntry]) -> Iterator[Warning]:
    def shown(entries: list[DriftEntry]) -> str:
        return listed([entry.path for entry in entries], 5)

    def files(entries: list[DriftEntry]) -> str:
        return f"{counted([entry.path for entry in entries], 'file')} ({size_text(sum(e.size for e in entries))})"

    if modified:
        yield Warning(
            "modified-files",
            f"{files(modified)} of packages changed since they were installed: {shown(modified)}.",
            "The image gets them as they are now; others cannot get them from a lock file.",
        )
    if missing:
        yield Warning(
            "missing-files",
            f"{files(missing)} of packages are gone: {shown(missing)}.",
            "They will not be in the image either; reinstall their packages to get them back.",
        )
    if untracked:
        yield Warning(
            "untracked-files",
            f"{files(untracked)} of no package: {shown(untracked)}.",
            "The image gets a copy of them; others cannot get them from a lock file.",
        )


def _warnings(environment: Environment, unreadable: Sequence[str], nested: Sequence[str]) -> Iterator[Warning]:
    if unreadable:
        yield Warning(
            "unreadable",
            f"{counted(unreadable, 'path')} of the environment cannot be read: {listed(unreadable)}.",
            "The image cannot hold what only others may read; make it readable, or remove it.",
        )
    if nested:
        yield Warning(
            "nested-environment",
            f"{counted(nested, 'environment')} inside this one: {listed(nested)}.",
            "An image is of one environment: build theirs separately.",
        )
    for distribution in environment.pip:
        gone = [
            path for path in distribution.files if not _is_bytecode(path) and not (environment.prefix / path).exists()
        ]
        if gone:
            package = distribution.package
            yield Warning(
                "pip-files-missing",
                f"{counted(gone, 'file')} of pip's {package.name} {package.version} are gone: {listed(gone, 3)}.",
                f"Reinstall it: 'pip install --force-reinstall {package.name}=={package.version}'.",
            )
