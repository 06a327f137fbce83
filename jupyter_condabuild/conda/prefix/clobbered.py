"""Clobbered paths of a prefix: whose file the prefix has at a path that several packages bring.

The order of the installations decides that: a package that was installed later may have replaced the file. A lock file
does not contain this order.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from jupyter_condabuild.conda.linking.clobbers import clobbers, link_order, original_path, original_paths, parents
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.prefix.verification import Expected, expectations, is_as_expected


class Clobbered(NamedTuple):
    """A path that several packages bring, as a file or as a folder, with different content.

    `path` is relative to the prefix. `packages` are the dists of the packages with a file there, and `shown` is the
    dist of the package whose file the prefix has; empty if it has the file of none. `by_rule` says whether an
    installation from a lock file leaves the same file there. `exists` says whether the prefix has the path.
    """

    path: str
    packages: tuple[str, ...]
    shown: str
    by_rule: bool
    exists: bool


def clobbered_paths(prefix: Path, records: Sequence[PrefixRecord], of_pip: Collection[str]) -> Iterator[Clobbered]:
    """Yields the clobbered paths of a prefix, sorted.

    Args:
        of_pip: paths that pip wrote.
    """
    found = clobbers({record.dist: original_paths(record.files) for record in records})
    if not found:
        return
    linked = found.shown([dist] for dist in link_order(records))
    expected = _expected(prefix, records, found.owners.keys())
    real = os.path.realpath(prefix)
    for path, dists in found.owners.items():
        if path in of_pip or path.endswith(".pyc"):
            continue
        place, winner = prefix / path, linked.get(path, "")
        is_folder = place.is_dir() and not place.is_symlink() and path in found.blocked
        exists = os.path.lexists(place) and not is_folder
        if winner and not exists and not is_folder and place.parent.is_dir():
            continue  # somebody removed it, which drift finds
        own = [expected[dist, path] for dist in dists if (dist, path) in expected]
        if winner and len(own) > 1 and _is_equal(own) and found.blocked.keys().isdisjoint((path, *parents(path))):
            continue
        matching = [dist for dist in dists if exists and is_as_expected(prefix, expected.get((dist, path)))]
        direct = os.path.realpath(place.parent) == os.path.join(real, os.path.dirname(path)).rstrip("/")
        by_rule = winner in matching and direct if winner else not exists
        shown = winner if winner in matching else matching[-1] if matching else ""
        yield Clobbered(path, tuple(dists), shown, by_rule, exists)


def _expected(prefix: Path, records: Sequence[PrefixRecord], paths: Set[str]) -> dict[tuple[str, str], Expected]:
    """Returns what each package expects at each of the paths, by dist and path."""
    return {
        (record.dist, path): item._replace(path=path)
        for record in records
        if not paths.isdisjoint(original_paths(record.files))
        for item in expectations(prefix, [record])
        if (path := original_path(item.path)) in paths
    }


def _is_equal(expected: Sequence[Expected]) -> bool:
    """Whether all packages bring the same file."""
    sums = {entry.sha256 if entry.kind == "hardlink" else "" for item in expected for entry in item.entries}
    return len(sums) == 1 and "" not in sums
