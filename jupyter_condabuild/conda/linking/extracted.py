"""Splits an extracted package into files that an installer takes unchanged, and the few files that it rewrites.

The installer gets the rewritten files under names of our own. So the files of a package never meet in the folder of the
installer, whatever its file system takes for one name: `E/Eterm` and `e/eterm`, say.
"""

from __future__ import annotations

import json
import os
import posixpath
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PLAIN = {"_path", "path_type", "sha256", "size_in_bytes"}

_TRANSLATED = ("site-packages", "python-scripts")

PathsJsonEntry = Mapping[str, Any]
"""An entry of info/paths.json."""


@dataclass(frozen=True)
class Extracted:
    """An extracted package.

    `apart` are the files that are not in `folder`, because its file system takes their names for those of others: the
    path in the package, and the file.
    """

    folder: Path
    apart: Mapping[str, str] = field(default_factory=dict)

    def file(self, name: str) -> str:
        """Returns the file of a path in the package."""
        return self.apart.get(name) or f"{self.folder}/{name}"


@dataclass(frozen=True)
class Split:
    """The paths of a package.

    `plain` are the files that an installer takes unchanged: the path in the package, and the entry with the path in the
    prefix. `rewritten` are the entries that need an installer: files that contain the prefix, links, and entries with
    unusual fields. `places` are their paths in the prefix. `entry_points` are those for which the installer also writes
    scripts, as ``NAME = MODULE:FUNCTION``.
    """

    plain: Sequence[tuple[str, PathsJsonEntry]]
    rewritten: Sequence[PathsJsonEntry]
    places: Sequence[str]
    entry_points: Sequence[str]

    def names_for_installer(self, dist: str) -> list[str]:
        """Returns the paths in the package under which the installer gets the rewritten files, and then the scripts."""
        names = []
        for number, entry in enumerate(self.rewritten):
            folder, slash, _ = str(entry["_path"]).partition("/")
            names.append(f"{folder}/{dist}/{number}" if slash and folder in _TRANSLATED else f"{dist}/{number}")
        return names + [f"python-scripts/{dist}.{number}" for number in range(len(self.entry_points))]

    def place(self, installed: str, *, entry_point: bool) -> str:
        """Returns the path in the prefix of what the installer has put at a path: a file, or a script."""
        if entry_point:
            return f"bin/{self.entry_points[int(installed.rpartition('.')[2])].partition('=')[0].strip()}"
        return self.places[int(installed.rpartition("/")[2])]


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
        plain, rewritten, places = [], [], []
        for entry in paths:
            name = entry["_path"]
            if name.startswith("/") or ".." in name.split("/"):
                return None
            if entry.keys() == _PLAIN and entry["path_type"] == "hardlink" and entry["sha256"]:
                plain.append((name, {**entry, "_path": target_of(name, site_packages)} if noarch else entry))
            else:
                rewritten.append(entry)
                places.append(target_of(name, site_packages) if noarch else name)
        return Split(plain, rewritten, places, _entry_points(extracted) if noarch else ())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def target_of(name: str, site_packages: str) -> str:
    """Returns the path in the prefix of a path in a noarch Python package."""
    folder, _, rest = name.partition("/")
    return {"site-packages": f"{site_packages}/{rest}", "python-scripts": f"bin/{rest}"}.get(folder, name)


def _entry_points(extracted: Path) -> list[str]:
    try:
        points = json.loads((extracted / "info/link.json").read_bytes())["noarch"].get("entry_points")
    except FileNotFoundError:
        return []
    if points and not isinstance(points, list):
        raise TypeError
    return list(map(str, points or ()))


def trim(extracted: Extracted, paths: Split, dist: str, folder: Path) -> None:
    """Writes a copy of a package `dist` to `folder` that contains only the rewritten files, under other names.

    Raises OSError.
    """
    (folder / "info").mkdir(parents=True)
    for file in (extracted.folder / "info").iterdir():
        if file.name != "paths.json" and not (file.name == "link.json" and paths.entry_points):
            os.symlink(file, folder / "info" / file.name)
    names = paths.names_for_installer(dist)
    entries = [{**entry, "_path": name} for name, entry in zip(names, paths.rewritten, strict=False)]
    (folder / "info/paths.json").write_text(json.dumps({"paths": entries, "paths_version": 1}))
    if paths.entry_points:
        link = json.loads((extracted.folder / "info/link.json").read_bytes())
        scripts = (posixpath.basename(name) for name in names[len(entries) :])
        functions = (point.partition("=")[2] for point in paths.entry_points)
        link["noarch"]["entry_points"] = [" =".join(pair) for pair in zip(scripts, functions, strict=True)]
        (folder / "info/link.json").write_text(json.dumps(link))
    for name, entry in zip(names, paths.rewritten, strict=False):
        source, target = extracted.file(entry["_path"]), folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.get("path_type") == "directory":
            target.mkdir()
            continue
        try:
            os.link(source, target, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:  # `folder` is on another file system, or the file system has no hard links
            shutil.copy2(source, target, follow_symlinks=False)
