"""Selects the files of the user's folder for the image, by a default list and by .dockerignore."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from jupyter_condabuild.image.paths import USER, WORK, in_layer
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.layer import Entry

_CACHES = ("__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache")
_TOOLS = (".git", ".hg", ".svn", ".venv", "node_modules", ".tox", ".nox", ".pixi", ".vscode", ".idea")
IGNORED_FOLDERS = frozenset((*_CACHES, *_TOOLS))
"""Names of folders that are left out of an image by default."""

ENVIRONMENT_MARKS = ("conda-meta", "pyvenv.cfg")
"""Names in a folder that mark it as an environment. An environment inside a project is not part of the project."""

BULKY = ("data", "logs")
"""Names of folders at the top of a workspace that are left out unless .dockerignore has ``!data`` or ``!logs``."""

_LITTER = ("**/*.pyc", "**/.DS_Store", "**/*.log", "**/*.swp", "**/*~")
_IGNORED = (*(f"**/{name}" for name in sorted(IGNORED_FOLDERS)), *_LITTER, *BULKY)

DOCKERIGNORE = "\n".join(
    [
        "# Files that the image does not need. To include the folder data, add the line !data at the end.",
        *_IGNORED,
        "Dockerfile",
        ".dockerignore",
        ".env",
        "",
    ]
)
"""A .dockerignore with the same list; it also leaves out .env, which may contain passwords."""


def workspace(folder: Path) -> list[Entry]:
    """Returns the entries for the files of a folder, under WORK and owned by the user of the image.

    The lines of a ``.dockerignore`` in the folder follow the default list, so that ``!`` lines can include files again.
    Environments in the folder are left out.
    """
    from docker.utils.build import exclude_paths  # Docker's own rules for .dockerignore, which users know

    ignore = folder / ".dockerignore"
    lines = ignore.read_text("utf-8", "surrogateescape").splitlines() if ignore.is_file() else []
    patterns = [*_IGNORED, ".env", *(line.strip() for line in lines if line.strip() and not line.startswith("#"))]
    selected = exclude_paths(str(folder), patterns)
    environments = {os.path.dirname(name) for name in selected if os.path.basename(name) in ENVIRONMENT_MARKS} - {""}
    names = {name for name in selected if environments.isdisjoint((name, *_parents(name)))}
    root = in_layer(WORK)
    entries = [Entry(root, "directory", 0o1777)]
    folders = {parent for name in names for parent in _parents(name)}
    entries += [Entry(f"{root}/{name}", "directory", 0o755) for name in folders]
    source = str(folder)
    entries += [layer.file_entry(f"{root}/{name}", f"{source}/{name}", root=source) for name in sorted(names)]
    return [replace(entry, owner=USER) for entry in entries]


def _parents(name: str) -> Iterator[str]:
    while name := os.path.dirname(name):
        yield name


def left_out(folder: Path, entries: Sequence[Entry]) -> list[str]:
    """Returns the names of bulky folders that are in a workspace, but not among its entries."""
    present = {entry.path.removeprefix(f"{in_layer(WORK)}/").partition("/")[0] for entry in entries}
    return [name for name in BULKY if (folder / name).is_dir() and name not in present]
