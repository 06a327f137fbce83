"""A folder of the user's that goes into the image: which of its files, by .dockerignore and a list of usual litter."""

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
"""Names of folders that never belong into an image."""

ENVIRONMENT_MARKS = ("conda-meta", "pyvenv.cfg")
"""What tells that a folder is an environment: not part of a project, even if it lies in it."""

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
    """The folder's files under WORK, for the image's user to change, less environments that lie in it.

    A ``.dockerignore`` in the folder counts, after our own list, so that ``!`` lines can bring something back.
    """
    from docker.utils.build import exclude_paths  # its rules are the ones that users know

    ignore = folder / ".dockerignore"
    lines = ignore.read_text("utf-8", "surrogateescape").splitlines() if ignore.is_file() else []
    patterns = [*_IGNORED, ".env", *(line.strip() for line in lines if line.strip() and not line.startswith("#"))]
    found = exclude_paths(str(folder), patterns)
    environments = {os.path.dirname(name) for name in found if os.path.basename(name) in ENVIRONMENT_MARKS} - {""}
    names = {name for name in found if environments.isdisjoint((name, *_parents(name)))}
    root = in_layer(WORK)
    entries = [Entry(root, "directory", 0o1777)]
    entries += [Entry(f"{root}/{name}", "directory", 0o755) for name in {up for name in names for up in _parents(name)}]
    entries += [layer.file_entry(f"{root}/{name}", os.path.join(folder, name)) for name in sorted(names)]
    return [replace(entry, owner=USER) for entry in entries]


def _parents(name: str) -> Iterator[str]:
    while name := os.path.dirname(name):
        yield name


def left_out(folder: Path, entries: Sequence[Entry]) -> list[str]:
    """Which of the bulky folders a workspace has, and its image will not."""
    present = {entry.path.removeprefix(f"{in_layer(WORK)}/").partition("/")[0] for entry in entries}
    return [name for name in BULKY if (folder / name).is_dir() and name not in present]
