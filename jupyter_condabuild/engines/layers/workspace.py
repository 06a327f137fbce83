"""Makes the entries of a layer from the selected files of the user's folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from jupyter_condabuild.image.paths import USER, WORK, in_layer
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.layer import Entry
from jupyter_condabuild.planning.own_files.ignore_files import BULKY, parents
from jupyter_condabuild.system import names


def workspace(folder: Path, included: Collection[str]) -> list[Entry]:
    """Returns the entries for files of a folder, under WORK and owned by the user of the image.

    Args:
        included: the selected files and folders, relative to `folder` (see `planning.own_files.selection`).
    """
    root = in_layer(WORK)
    entries = [Entry(root, "directory", 0o1777)]
    folders = {parent for name in included for parent in parents(name)}
    entries += [Entry(f"{root}/{name}", "directory", 0o755) for name in folders]
    source = str(folder)
    entries += [layer.file_entry(f"{root}/{name}", f"{source}/{name}", root=source) for name in sorted(included)]
    form = names.in_image
    return [replace(entry, owner=USER, path=form(entry.path), target=form(entry.target)) for entry in entries]


def left_out(folder: Path, entries: Sequence[Entry]) -> list[str]:
    """Returns the names of bulky folders that are in a workspace, but not among its entries."""
    present = {entry.path.removeprefix(f"{in_layer(WORK)}/").partition("/")[0] for entry in entries}
    return [name for name in BULKY if (folder / name).is_dir() and name not in present]
