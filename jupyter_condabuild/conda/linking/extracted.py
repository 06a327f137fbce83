"""What of an extracted package an installer takes as it is, and what it rewrites: a few files in most packages."""

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
"""An object of info/paths.json."""


@dataclass(frozen=True)
class Split:
    """A package's paths.

    `plain` are those to be taken as they are: where each lies in the package, and what a record says of it in the
    prefix. `rewritten` is what an installer has to do: files that hold the prefix, links, and what is out of the
    ordinary; `entry_points` whether it writes scripts as well.
    """

    plain: Sequence[tuple[str, PathsJsonEntry]]
    rewritten: Sequence[PathsJsonEntry]
    entry_points: bool


def split(extracted: Path, site_packages: str) -> Split | None:
    """The paths of a package in the package cache; None where only an installer knows what to do with it.

    Args:
        site_packages: where noarch Python packages go, relative to the prefix.

    Source: conda's conda.core.link and rattler's compute_paths, for where files of noarch Python packages go.
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
                plain.append((name, {**entry, "_path": _target(name, site_packages)} if noarch else entry))
            else:
                rewritten.append(entry)
        return Split(plain, rewritten, noarch and _has_entry_points(extracted))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _target(name: str, site_packages: str) -> str:
    folder, _, rest = name.partition("/")
    return {"site-packages": f"{site_packages}/{rest}", "python-scripts": f"bin/{rest}"}.get(folder, name)


def _has_entry_points(extracted: Path) -> bool:
    try:
        return bool(json.loads((extracted / "info/link.json").read_bytes())["noarch"].get("entry_points"))
    except FileNotFoundError:
        return False


def trim(extracted: Path, rewritten: Sequence[PathsJsonEntry], folder: Path) -> None:
    """Makes `folder` the same package with nothing in it but what is rewritten. Raises OSError."""
    (folder / "info").mkdir(parents=True)
    for file in (extracted / "info").iterdir():
        if file.name != "paths.json":
            os.symlink(file, folder / "info" / file.name)
    (folder / "info/paths.json").write_text(json.dumps({"paths": list(rewritten), "paths_version": 1}))
    for entry in rewritten:
        target = folder / entry["_path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        source = extracted / entry["_path"]
        try:
            os.link(source, target, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:  # another disk, or one without hard links
            shutil.copy2(source, target, follow_symlinks=False)
