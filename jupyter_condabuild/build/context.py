"""A folder of the user's that goes into the image: which of its files, by .dockerignore and a list of the usual litter."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from jupyter_condabuild.build.runtime import USER, WORK
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.layer import Entry

IGNORED_FOLDERS = frozenset(
    (".git", ".hg", ".svn", "__pycache__", ".ipynb_checkpoints", ".venv", "node_modules", ".tox", ".nox", ".pixi")
    + (".mypy_cache", ".pytest_cache", ".ruff_cache", ".vscode", ".idea")
)
"""Names of folders that never belong into an image."""

BULKY = ("data", "logs")
"""Names of a workspace's own folders that are left out unless .dockerignore has ``!data`` or ``!logs``."""

_LITTER = ("**/*.pyc", "**/.DS_Store", "**/*.log", "**/*.swp", "**/*~")
_IGNORED = (*(f"**/{name}" for name in sorted(IGNORED_FOLDERS)), *_LITTER, *BULKY)

DOCKERIGNORE = "\n".join(
    [
        "# What the image does not need. A line !data, below these, brings data back.",
        *_IGNORED,
        "Dockerfile",
        ".dockerignore",
        ".env",
        "",
    ]
)
"""A .dockerignore that says the same, and keeps files with passwords out."""


def workspace(folder: Path) -> list[Entry]:
    """The folder's files under WORK, for the image's user to change.

    A ``.dockerignore`` in the folder counts, after our own list, so that ``!`` lines can bring something back.
    """
    from docker.utils.build import exclude_paths  # its rules are the ones that users know

    ignore = folder / ".dockerignore"
    lines = ignore.read_text().splitlines() if ignore.is_file() else []
    patterns = [*_IGNORED, ".env", *(line.strip() for line in lines if line.strip() and not line.startswith("#"))]
    entries = [Entry(WORK.removeprefix("/"), "directory", 0o1777, owner=USER)]
    for name in sorted(exclude_paths(str(folder), patterns)):
        found = layer.file_entry(f"{WORK.removeprefix('/')}/{name}", os.path.join(folder, name))
        entries.append(
            Entry(found.path, found.kind, found.mode, found.mtime, found.source, target=found.target, owner=USER)
        )
    return entries


def left_out(folder: Path, entries: Sequence[Entry]) -> list[str]:
    """Which of the bulky folders a workspace has, and its image will not."""
    present = {entry.path.removeprefix(f"{WORK.removeprefix('/')}/").partition("/")[0] for entry in entries}
    return [name for name in BULKY if (folder / name).is_dir() and name not in present]
