"""Clobbers: paths that several packages bring, and the package whose file an installer leaves there.

conda links one package after another. A file replaces what is at its path, also a folder with all its files; a folder
replaces a file.

Source: `create_link` in conda.gateways.disk.create, and PrefixGraph in conda.models.prefix_graph for the order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from jupyter_condabuild.conda.linking.bytecode import source_of
from jupyter_condabuild.conda.match_specs import split_depend

CLOBBERS = "__clobbers__/"
"""The folder in which rattler keeps the files of the other packages: ``__clobbers__/PACKAGE/PATH``."""


class Linked(Protocol):
    """A package: a record of a prefix, or a package of a lock file."""

    @property
    def name(self) -> str: ...
    @property
    def dist(self) -> str: ...
    @property
    def depends(self) -> Sequence[str]: ...


def link_order(packages: Collection[Linked]) -> list[str]:
    """Returns the dists in the order in which conda links them.

    First come the packages that no dependency connects with another one, then the packages without dependencies, then
    those that need only these, and so on; by name in each group.
    """
    dists = {package.name.lower(): package.dist for package in packages}
    needs: dict[str, set[str]] = {}
    for package in packages:
        name = package.name.lower()
        needs[name] = {split_depend(depend)[0].lower() for depend in package.depends} & dists.keys() - {name}
    needs.get("python", set()).discard("pip")
    if "menuinst" in needs:  # conda links it before all other packages that need Python
        for name in (name for name in needs if "python" in needs[name] and name not in needs["menuinst"]):
            needs[name] |= {"menuinst"} - {name}
    needed = set[str]().union(*needs.values())
    order = dict.fromkeys(sorted(name for name in needs if not needs[name] and name not in needed))
    while needs:
        free = sorted(name for name in needs if not needs[name])
        if not free:  # a circle of dependencies
            free = [min(needs, key=lambda name: (len(needs[name]), dists[name]))]
        order |= dict.fromkeys(free)
        for name in free:
            del needs[name]
        for others in needs.values():
            others.difference_update(free)
    return [dists[name] for name in order]


def original_paths(paths: Sequence[str]) -> Sequence[str]:
    """Returns `original_path` of each path."""
    return list(map(original_path, paths)) if CLOBBERS in "\0".join(paths) else paths


def original_path(path: str) -> str:
    """Returns the path that a package has for a file; rattler's records name the place where it moved the file."""
    return path.split("/", 2)[2] if path.startswith(CLOBBERS) and path.count("/") > 1 else path


@dataclass(frozen=True)
class Clobbers:
    """The paths at which packages disagree.

    `owners` are the dists of the packages with a file at each of these paths. `blocked` are the paths that are a folder
    in another package; `below` are the paths in each of these folders.
    """

    owners: Mapping[str, Sequence[str]]
    blocked: Mapping[str, Collection[str]]

    def __bool__(self) -> bool:
        return bool(self.owners)

    def shown(self, groups: Iterable[Sequence[str]]) -> dict[str, str]:
        """Returns the dist of the package whose file is left at each path, for the paths that are left.

        Args:
            groups: dists, in the order in which their files are put into place. The files of one group are put there
                together: in a group, the last file of a path is used, and a folder replaces a file.
        """
        own: dict[str, list[str]] = {}
        for path, dists in self.owners.items():
            for dist in dists:
                own.setdefault(dist, []).append(path)
        result: dict[str, str] = {}
        for group in groups:
            added = {path: dist for dist in group for path in own.get(dist, ())}
            folders = {folder for path in added for folder in parents(path) if folder in self.blocked}
            for path in folders:
                result.pop(path, None)
                added.pop(path, None)
            for path in added.keys() & self.blocked.keys():
                for inner in self.blocked[path]:
                    result.pop(inner, None)
            result |= added
        return result


def clobbers(paths: Mapping[str, Collection[str]]) -> Clobbers:
    """Finds the paths at which packages disagree. `paths` are the packages' paths by dist.

    Bytecode is left out if its module is such a path: it belongs to the module.
    """
    everything = set[str]().union(*paths.values())
    blocked: dict[str, list[str]] = {path: [] for path in folders_of(everything) & everything}
    if not blocked and len(everything) == sum(len(own) for own in paths.values()):
        return Clobbers({}, {})
    owners: dict[str, list[str]] = {}
    for dist, own in paths.items():
        for path in own:
            owners.setdefault(path, []).append(dist)
    chosen = {path for path, dists in owners.items() if len(dists) > 1} | blocked.keys()
    for path in everything if blocked else ():
        for folder in parents(path):
            if folder in blocked:
                blocked[folder].append(path)
                chosen.add(path)
    modules = {path for path in chosen if path[-4:] == ".pyc" and source_of(path) in chosen}
    return Clobbers({path: owners[path] for path in sorted(chosen - modules)}, blocked)


def parents(path: str) -> Iterator[str]:
    """Yields the folders above a path, the nearest one first."""
    while (slash := path.rfind("/")) > 0:
        path = path[:slash]
        yield path


def folders_of(paths: Collection[str]) -> set[str]:
    """Returns every folder that contains one of the paths."""
    folders: set[str] = set()
    new = {path.rpartition("/")[0] for path in paths} - {""}
    while new:
        folders |= new
        new = {folder.rpartition("/")[0] for folder in new} - folders - {""}
    return folders
