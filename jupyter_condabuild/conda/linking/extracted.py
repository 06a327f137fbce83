"""Splits an extracted package into files that an installer takes unchanged, and the few files that it rewrites."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PLAIN = {"_path", "path_type", "sha256", "size_in_bytes"}

PathsJsonEntry = Mapping[str, Any]
"""An entry of info/paths.json."""


@dataclass(frozen=True)
class Split:
    """The paths of a package.

    `plain` are the files that an installer takes unchanged: the path in the package, and the entry with the path in the
    prefix. `rewritten` are the entries that need an installer: files that contain the prefix, links, and entries with
    unusual fields. `entry_points` is True if the installer also writes scripts for entry points.
    """

    plain: Sequence[tuple[str, PathsJsonEntry]]
    rewritten: Sequence[PathsJsonEntry]
    entry_points: bool


def split(extracted: Path, site_packages: str) -> Split | None:
    """Splits the paths of a package in the package cache. Returns None if only an installer can handle the package.

    Args:
        extracted: the extracted package.
        site_packages: the site-packages folder for noarch Python packages, relative to the prefix.

    Source: conda's conda.core.link and rattler's compute_paths, for the target paths of noarch Python packages.
    """
    try:
        paths = json.loads((extracted / "info/paths.json").read_bytes())["paths"]
        noarch = json.loads((extracted / "info/index.json").read_bytes()).get("noarch") == "python"
        if noarch and not site_packages:
            return None
        plain, rewritten = [], []
        for entry in paths:
            name = entry["_path"]
            if name.startswith("/") or ".." in name.split("/"):
                return None
            if entry.keys() == _PLAIN and entry["path_type"] == "hardlink" and entry["sha256"]:
                plain.append((name, {**entry, "_path": target_of(name, site_packages)} if noarch else entry))
            else:
                rewritten.append(entry)
        return Split(plain, rewritten, noarch and _has_entry_points(extracted))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def target_of(name: str, site_packages: str) -> str:
    """Returns the path in the prefix of a path in a noarch Python package."""
    folder, _, rest = name.partition("/")
    return {"site-packages": f"{site_packages}/{rest}", "python-scripts": f"bin/{rest}"}.get(folder, name)


def _has_entry_points(extracted: Path) -> bool:
    try:
        return bool(json.loads((extracted / "info/link.json").read_bytes())["noarch"].get("entry_points"))
    except FileNotFoundError:
        return False


def trim(extracted: Path, rewritten: Sequence[PathsJsonEntry], folder: Path) -> None:
    """Writes a copy of a package to `folder` that contains only the rewritten files. Raises OSError."""
    (folder / "info").mkdir(parents=True)
    for file in (extracted / "info").iterdir():
        if file.name != "paths.json":
            os.symlink(file, folder / "info" / file.name)
    (folder / "info/paths.json").write_text(json.dumps({"paths": list(rewritten), "paths_version": 1}))
    for entry in rewritten:
        target = folder / entry["_path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        source = extracted / entry["_path"]
        if entry.get("path_type") == "directory":
            target.mkdir(exist_ok=True)
            continue
        try:
            os.link(source, target, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:  # `folder` is on another file system, or the file system has no hard links
            shutil.copy2(source, target, follow_symlinks=False)
