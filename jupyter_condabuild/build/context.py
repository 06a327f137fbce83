"""A folder of the user's that goes into the image: which of its files, by .dockerignore and a list of the usual litter."""

from __future__ import annotations

import os
from pathlib import Path

from jupyter_condabuild.build.runtime import USER, WORK
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.layer import Entry

IGNORED_FOLDERS = frozenset(
    (".git", ".hg", ".svn", "__pycache__", ".ipynb_checkpoints", ".venv", "node_modules", ".tox", ".nox", ".pixi")
    + (".mypy_cache", ".pytest_cache", ".ruff_cache", ".vscode", ".idea")
)
"""Names of folders that never belong into an image."""

_IGNORED = (*(f"**/{name}" for name in sorted(IGNORED_FOLDERS)), "**/*.pyc", "**/.DS_Store")


def workspace(folder: Path) -> list[Entry]:
    """The folder's files under WORK, for the image's user to change.

    A ``.dockerignore`` in the folder counts, after our own list, so that ``!`` lines can bring something back.
    """
    from docker.utils.build import exclude_paths  # its rules are the ones that users know

    ignore = folder / ".dockerignore"
    lines = ignore.read_text().splitlines() if ignore.is_file() else []
    patterns = [*_IGNORED, *(line.strip() for line in lines if line.strip() and not line.startswith("#"))]
    entries = [Entry(WORK.removeprefix("/"), "directory", 0o1777, owner=USER)]
    for name in sorted(exclude_paths(str(folder), patterns)):
        found = layer.file_entry(f"{WORK.removeprefix('/')}/{name}", os.path.join(folder, name))
        entries.append(
            Entry(found.path, found.kind, found.mode, found.mtime, found.source, target=found.target, owner=USER)
        )
    return entries
