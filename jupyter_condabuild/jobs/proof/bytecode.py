"""Bytecode in a layer whose bytes could not be made again: the rest of the layer is compared without it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_condabuild.conda.linking.bytecode import source_of
from jupyter_condabuild.image.opener import members
from jupyter_condabuild.image.paths import PREFIX_IN_LAYER
from jupyter_condabuild.jobs.proof.entries import Node, differences
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.image import BlobSource, Descriptor

_RECORD = re.compile(rf"{PREFIX_IN_LAYER}/conda-meta/[^/]+\.json")
_FOLDER = "__pycache__"


@dataclass(frozen=True)
class Comparison:
    """The paths that differ, each with the reason, and the paths of bytecode that only a compiler could prove."""

    differing: list[tuple[str, str]]
    bytecode: list[str]


def beside_bytecode(
    image: BlobSource,
    descriptor: Descriptor,
    store: BlobSource,
    made: Descriptor,
    found: Mapping[str, Node],
    expected: Mapping[str, Node],
) -> Comparison:
    """Compares a layer with the layer that the packages give without bytecode.

    Args:
        descriptor: the layer of the image.
        made: the layer that was made without bytecode.
        found: the entries of the layer of the image.
        expected: the entries of the layer that was made.

    Raises BadImage or ContentMismatch.
    """
    bytecode = [path for path, node in found.items() if path not in expected and _is_bytecode(path, node, expected)]
    folders = {path.rpartition("/")[0] for path in bytecode}
    differing, records = [], []
    for path, reason in differences(expected, found):
        if path in bytecode or (path in folders and found[path] == Node("a folder", 0o755, (0, 0), "", layer.EPOCH)):
            continue
        if _RECORD.fullmatch(path) and reason == "content" and bytecode:
            records.append(path)
        else:
            differing.append((path, reason))
    if records:
        compiled = {path.removeprefix(f"{PREFIX_IN_LAYER}/") for path in bytecode}
        theirs, ours = (_records(*place, records) for place in ((image, descriptor), (store, made)))
        differing += [(path, "content") for path in records if _without(theirs[path], compiled) != ours[path]]
    return Comparison(sorted(differing), bytecode)


def _is_bytecode(path: str, node: Node, expected: Collection[str]) -> bool:
    """Whether a path is bytecode of a module of the layer, as a build writes it."""
    folder, _, name = path.rpartition("/")
    if not name.endswith(".pyc") or folder.rpartition("/")[2] != _FOLDER or source_of(path) not in expected:
        return False
    return (node.kind, node.mode, node.owner, node.extra, node.times) == ("a file", 0o644, (0, 0), (), 1)


def _records(source: BlobSource, descriptor: Descriptor, paths: Collection[str]) -> dict[str, Any]:
    """Returns the JSON of records in a layer; None for a file that is not JSON."""
    found: dict[str, Any] = {}
    for member, content in members(source, descriptor):
        if member.name in paths and content:
            try:
                found[member.name] = json.loads(content.read())
            except (ValueError, RecursionError):
                found[member.name] = None
    return found


def _without(record: Any, compiled: Collection[str]) -> Any:
    """Returns a record without the bytecode that a build adds."""
    try:
        paths = record["paths_data"]["paths"]
        added = {entry["_path"] for entry in paths if entry == {"_path": entry["_path"], "path_type": "pyc_file"}}
        if not added <= set(compiled):
            return None
        kept = [entry for entry in paths if entry["_path"] not in added]
        files = [path for path in record["files"] if path not in compiled]
        return {**record, "files": files, "paths_data": {**record["paths_data"], "paths": kept}}
    except (KeyError, TypeError, AttributeError):
        return None
