"""The report of drift: the entries that differ, and the warnings that say what the image has of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jupyter_condabuild.conda.linking import modes
from jupyter_condabuild.conda.prefix.clobbered import Clobbered
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.listing import Listing
from jupyter_condabuild.conda.prefix.walk import MODE, root_folders
from jupyter_condabuild.events import Warning
from jupyter_condabuild.text import agreeing, counted, listed, size_text

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


def is_bytecode(path: str) -> bool:
    """Whether a path is in a folder where Python and numba keep caches. They use no cache without its source file."""
    return "__pycache__/" in path


def file_warnings(
    modified: Sequence[DriftEntry], missing: Sequence[DriftEntry], untracked: Sequence[DriftEntry], empty: Sequence[str]
) -> Iterator[Warning]:
    """Yields the warnings of files that are not as their packages bring them, and of files and folders of no package.

    Args:
        empty: the empty folders of no package.
    """
    if modified:
        yield Warning(
            "modified-files",
            f"{_files(modified)} of packages changed since they were installed: {_names(modified)}.",
            "The image contains the changed files. Other users cannot get them from a lock file.",
        )
    if missing:
        yield Warning(
            "missing-files",
            f"The packages of the environment lack {_files(missing)}: {_names(missing)}.",
            "The image does not contain them either. Reinstall the packages to get the files back.",
        )
    yield from untracked_warnings(untracked)
    if special := [entry.path for entry in (*missing, *untracked) if entry.kind == "special"]:
        yield Warning(
            "special-files",
            f"{counted(special, 'path')} of the environment "
            f"{agreeing(special, 'is a pipe, a socket or a device', 'are pipes, sockets or devices')}: "
            f"{listed(special, 5)}.",
            "The image does not contain them. Programs make them again when they start.",
        )
    if empty:
        yield Warning(
            "empty-folders",
            f"No package owns {counted(empty, 'empty folder')}: {listed(empty, 5)}.",
            "The image contains them. Other users cannot get them from a lock file.",
        )


def untracked_warnings(untracked: Iterable[DriftEntry]) -> Iterator[Warning]:
    """Yields the warning of files of no package that the image gets."""
    if copied := [entry for entry in untracked if entry.kind != "special"]:
        yield Warning(
            "untracked-files",
            f"No package owns {_files(copied)}: {_names(copied)}.",
            "The image contains a copy of them. Other users cannot get them from a lock file.",
        )


def _names(entries: Sequence[DriftEntry]) -> str:
    return listed([entry.path for entry in entries], 5)


def _files(entries: Sequence[DriftEntry]) -> str:
    return f"{counted(entries, 'file')} ({size_text(sum(entry.size for entry in entries))})"


def mode_warnings(
    prefix: Path, contents: Listing, owned: Collection[str], without: Collection[str]
) -> Iterator[Warning]:
    """Yields a warning of files that have other permissions in the image, where everybody may read each file.

    Private files that belong to no package are not in the image.

    Args:
        without: the files that the user leaves out.
    """
    modes_here = {status[MODE] for status in contents.statuses.values() if status}  # a few, of many thousand files
    if not any(modes.is_private(mode) or modes.is_special(mode) for mode in modes_here if stat.S_ISREG(mode)):
        return
    changed = []
    for path, status in contents.statuses.items():
        if status and stat.S_ISREG(status[MODE]) and path not in without:
            private = (
                path in owned and modes.is_private(status[MODE]) and os.stat((prefix / path).parent).st_mode & 0o005
            )
            if private or modes.is_special(status[MODE]):
                changed.append(modes.shown(path, status[MODE]))
    yield from modes.mode_warnings(changed)


def clobber_warnings(clobbered: Sequence[Clobbered]) -> Iterator[Warning]:
    """Yields the warnings of paths that several packages bring."""

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


def other_warnings(environment: Environment, unreadable: Sequence[str], nested: Sequence[str]) -> Iterator[Warning]:
    """Yields the warnings of what the image of an environment cannot contain, and of files that pip lacks."""
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
            path for path in distribution.files if not is_bytecode(path) and not (environment.prefix / path).exists()
        ]
        if absent:
            package = distribution.package
            yield Warning(
                "pip-files-missing",
                f"pip's {package.name} {package.version} lacks {counted(absent, 'file')}: {listed(absent, 3)}.",
                f"Reinstall the package: 'pip install --force-reinstall {package.name}=={package.version}'.",
            )
