"""Splits an extracted package into what an installer takes unchanged, and the few files that it rewrites.

The installer gets the rewritten files under names of our own. So the files of a package never meet in the folder of the
installer, whatever its file system takes for one name: `E/Eterm` and `e/eterm`, say.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_condabuild.system.links import same_or_copied

_PLAIN = {"_path", "path_type", "sha256", "size_in_bytes"}

_SHA256 = re.compile(r"[0-9a-f]{64}")

METADATA = ("index.json", "paths.json", "link.json", "files", "has_prefix", "no_link", "no_softlink")
"""The files below info/ that an installer reads."""

_HAS_PREFIX = re.compile(r'(?:("[^"]+"|[^\s"]+) (text|binary) )?("[^"]+"|[^\s"]+)')
_PLACEHOLDER = "/opt/anaconda1anaconda2anaconda3"  # conda's, where info/has_prefix names only a file

_TRANSLATED = ("site-packages", "python-scripts")

PathsJsonEntry = Mapping[str, Any]
"""An entry of info/paths.json."""


@dataclass(frozen=True)
class Extracted:
    """An extracted package.

    `apart` are the files that are not in `folder`, because its file system takes their names for those of others: the
    path in the package, and the file. `links` are the targets of its symbolic links, which the disk need not have. If
    it is None, all links are in `folder`.
    """

    folder: Path
    apart: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] | None = None

    def file(self, name: str) -> str:
        """Returns the file of a path in the package."""
        return self.apart.get(name) or f"{self.folder}/{name}"

    def target(self, name: str) -> str | None:
        """Returns the target of a symbolic link of the package; None if the path is no link."""
        if self.links is not None:
            return self.links.get(name)
        with suppress(OSError, ValueError):
            return os.readlink(self.file(name))
        return None


@dataclass(frozen=True)
class Split:
    """The paths of a package.

    `plain` are the files that an installer takes unchanged: the path in the package, and the entry with the path in the
    prefix. `links` are the same for symbolic links. `rewritten` are the entries that need an installer: files that
    contain the prefix, and entries with unusual fields. `places` are their paths in the prefix. `entry_points` are
    those for which the installer also writes scripts, as ``NAME = MODULE:FUNCTION``.
    """

    plain: Sequence[tuple[str, PathsJsonEntry]]
    links: Sequence[tuple[str, PathsJsonEntry]]
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


def split(extracted: Extracted, site_packages: str) -> Split | None:
    """Splits the paths of a package. Returns None if only an installer can handle the package.

    Args:
        site_packages: the site-packages folder for noarch Python packages, relative to the prefix.

    Source: conda's conda.core.link and rattler's compute_paths, for the target paths of noarch Python packages.
    """
    try:
        info = extracted.folder / "info"
        paths = (
            json.loads((info / "paths.json").read_bytes())["paths"]
            if os.path.lexists(info / "paths.json")
            else list(_old_entries(extracted))
        )
        noarch = json.loads((info / "index.json").read_bytes()).get("noarch") == "python"
        if noarch and not site_packages:
            return None
        plain, links, rewritten, places = [], [], [], []
        for entry in paths:
            name = entry["_path"]
            if name.startswith("/") or ".." in name.split("/"):
                return None
            if entry.keys() == _PLAIN and entry["path_type"] == "hardlink" and entry["sha256"]:
                plain.append((name, {**entry, "_path": target_of(name, site_packages)} if noarch else entry))
            elif entry.keys() <= _PLAIN and entry["path_type"] == "softlink" and _is_plain_link(entry):
                links.append((name, {**entry, "_path": target_of(name, site_packages)} if noarch else entry))
            else:
                rewritten.append(entry)
                places.append(target_of(name, site_packages) if noarch else name)
        return Split(plain, links, rewritten, places, _entry_points(info) if noarch else ())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _old_entries(extracted: Extracted) -> Iterator[PathsJsonEntry]:
    """Yields the entries of a package of conda-build 2, which has no paths.json, as rattler reads them.

    Raises ValueError for a package with unusual lists: an installer decides what they mean.

    Source: rattler's `PathsJson.from_deprecated_package_directory`; conda's `read_has_prefix`.
    """
    info = extracted.folder / "info"
    if os.path.lexists(info / "no_link"):
        raise ValueError
    names = [line for line in (info / "files").read_bytes().decode().splitlines() if line]
    placeholders: dict[str, dict[str, str]] = {}
    with suppress(FileNotFoundError):
        for line in (info / "has_prefix").read_bytes().decode().splitlines():
            if not (match := _HAS_PREFIX.fullmatch(line)):
                raise ValueError
            placeholder, mode = (match[1] or _PLACEHOLDER).strip('"'), match[2] or "text"
            placeholders[match[3].strip('"')] = {"prefix_placeholder": placeholder, "file_mode": mode}
    if len(set(names)) != len(names) or not placeholders.keys() <= set(names):
        raise ValueError
    for name in names:
        if extracted.target(name) is None:
            yield {"_path": name, "path_type": "hardlink", **placeholders.get(name, {})}
        elif name not in placeholders:
            yield {"_path": name, "path_type": "softlink"}
        else:
            raise ValueError


def _is_plain_link(entry: PathsJsonEntry) -> bool:
    sha256, size = entry.get("sha256"), entry.get("size_in_bytes")
    return (sha256 is None or bool(_SHA256.fullmatch(sha256))) and (size is None or type(size) is int)


def target_of(name: str, site_packages: str) -> str:
    """Returns the path in the prefix of a path in a noarch Python package."""
    folder, _, rest = name.partition("/")
    return {"site-packages": f"{site_packages}/{rest}", "python-scripts": f"bin/{rest}"}.get(folder, name)


def _entry_points(info: Path) -> list[str]:
    try:
        points = json.loads((info / "link.json").read_bytes())["noarch"].get("entry_points")
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
    for name in METADATA:
        if name != "paths.json" and not (name == "link.json" and paths.entry_points):
            with suppress(FileNotFoundError):
                same_or_copied(extracted.folder / "info" / name, folder / "info" / name)
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
        same_or_copied(Path(source), target)
