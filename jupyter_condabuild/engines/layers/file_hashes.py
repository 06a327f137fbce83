"""Hashes of files that were rewritten for the image, in the lists of files that pip and conda keep.

With the hashes of the files of this machine, the lists would say that files of the image are damaged, and the same
environment at two places would give two images.

Source: "Recording installed projects" of the Python packaging specifications, for RECORD; conda's CEP 34, for
paths_data.
"""

from __future__ import annotations

import base64
import csv
import io
import posixpath
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jupyter_condabuild.conda.package_cache import hash_file
from jupyter_condabuild.conda.prefix.records import PrefixRecord


class Rewritten(NamedTuple):
    """A file of the environment, and the file that the image has in its place."""

    original: Path
    written: Path


def with_hashes(data: bytes, folder: str, rewritten: Mapping[str, Rewritten]) -> bytes:
    """Returns a RECORD file with the hashes and sizes of the rewritten files.

    A line that does not describe the file of the environment does not change: somebody edited that file.

    Args:
        folder: the folder of the RECORD's paths, relative to the prefix.
        rewritten: the rewritten files by path, relative to the prefix.
    """
    lines = data.decode("utf-8", "surrogateescape").splitlines(keepends=True)
    for number, line in enumerate(lines):
        if ",sha256=" not in line:
            continue
        path, *members = next(csv.reader([line]))
        file = rewritten.get(posixpath.normpath(f"{folder}/{path}"))
        if file and members == _hash_and_size(file.original):
            text = io.StringIO()
            csv.writer(text, lineterminator=line[len(line.rstrip("\r\n")) :]).writerow(
                [path, *_hash_and_size(file.written)]
            )
            lines[number] = text.getvalue()
    return "".join(lines).encode("utf-8", "surrogateescape")


def _hash_and_size(file: Path) -> list[str]:
    digest = base64.urlsafe_b64encode(bytes.fromhex(hash_file(file))).decode().rstrip("=")
    return [f"sha256={digest}", str(file.stat().st_size)]


def record_with_hashes(
    record: PrefixRecord, rewritten: Mapping[str, Rewritten], recompiled: Collection[str]
) -> Mapping[str, Any]:
    """Returns the JSON object of a package's record with the hashes that the files have in the image.

    Args:
        rewritten: the rewritten files by path, relative to the prefix.
        recompiled: the paths of bytecode that the image has in another form, or not at all. It gets no hash.
    """
    data = record.raw.get("paths_data") or {}
    if not rewritten or not data.get("paths"):
        return record.raw
    paths = []
    for raw, entry in zip(data["paths"], record.paths, strict=True):
        if entry.path in recompiled:
            raw = {"_path": raw["_path"], "path_type": "pyc_file"}
        elif entry.path in rewritten and raw.get("sha256_in_prefix"):
            raw = {**raw, "sha256_in_prefix": hash_file(rewritten[entry.path].written)}
        paths.append(raw)
    return {**record.raw, "paths_data": {**data, "paths": paths}}
