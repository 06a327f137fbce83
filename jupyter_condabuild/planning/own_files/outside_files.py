"""OutsideFiles: the files outside of a prefix that an environment uses, and which of them go into the image."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_condabuild.conda.prefix.drift import Drift
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.launch import of_shell
from jupyter_condabuild.conda.prefix.outside import (
    Inside,
    Place,
    distributions_in,
    leads_nowhere,
    link_places,
    possible_places,
    python_places,
    target_of,
)
from jupyter_condabuild.conda.prefix.outside_settings import setting_places
from jupyter_condabuild.conda.prefix.pip import PipDistribution
from jupyter_condabuild.errors import PrefixNotAllowed, UsageError
from jupyter_condabuild.events import Warning
from jupyter_condabuild.image.paths import OUTSIDE, PREFIX
from jupyter_condabuild.planning.own_files.extent import Extent
from jupyter_condabuild.planning.own_files.ignore_files import folder_files, source_files
from jupyter_condabuild.requests.build import PlanRequest, has_home
from jupyter_condabuild.requests.outside import refuse_system
from jupyter_condabuild.text import counted, listed, printable

MOST_LISTED = 10
"""The number of links or settings that a warning lists."""

MOST_SHOWN = 1000
"""The number of characters of a path that a warning shows."""


@dataclass(frozen=True)
class Taken:
    """A place whose files go into the image.

    `files` maps the name of each file, relative to `root`, to its absolute path in the image. `target` is the place
    itself in the image.
    """

    place: Place
    target: str
    root: Path
    files: Mapping[str, str]


@dataclass(frozen=True)
class OutsideFiles:
    """The places outside of a prefix: those whose files go into the image, and all other places.

    `excluded` are the places that the request leaves out by name. `folder_links` are the links of the prefix in the
    place of folders with files of packages. `dangling` are links in folders outside of the prefix that go into the
    image, as texts with their targets, which do not.
    """

    taken: tuple[Taken, ...] = ()
    left: tuple[Place, ...] = ()
    excluded: tuple[Place, ...] = ()
    folder_links: frozenset[str] = frozenset()
    dangling: tuple[str, ...] = ()

    @property
    def replaced_links(self) -> frozenset[str]:
        """The links, relative to the prefix, that the image does not get, because it has files in their places."""
        taken = {item.place.link for item in self.taken}
        return frozenset(taken | {place.link for place in (*self.left, *self.excluded) if self._is_covered(place)})

    @property
    def distributions(self) -> Iterator[tuple[Path, PipDistribution]]:
        """The Python distributions in the taken places, each with the folder that its files are relative to."""
        for item in self.taken:
            if not item.place.link:
                yield from ((item.place.path.parent, found) for found in distributions_in(item.place))

    @property
    def targets(self) -> Mapping[Path, str]:
        """The path in the image of each taken place."""
        return {item.place.path: item.target for item in self.taken}

    @property
    def moved(self) -> Mapping[Path, str]:
        """The new path of each place whose path in other files is replaced, as in the modules of editable installs."""
        return {item.place.path: item.target for item in self.taken if item.place.kind == "editable"}

    def _is_covered(self, place: Place) -> bool:
        return place.link in self.folder_links

    def warnings(self) -> Iterator[Warning]:
        """Yields warnings of all places but those that the request leaves out by name."""
        for place in self.left:
            if place.kind not in ("link", "setting"):
                yield Warning(
                    "outside-prefix",
                    f"Python imports from {_shown(place.path)} ({_shown(place.source)}), outside of the environment: "
                    f"{_contents(place)}.",
                    _HINT,
                )
        links = [place for place in self.left if place.link]
        for place in links:
            if self._is_covered(place):
                yield Warning(
                    "outside-prefix",
                    f"{_shown(place.link)} is a link to {_shown(place.path)}, outside of the environment: "
                    f"{_contents(place)}. "
                    "The image has the files of the packages in its place.",
                    _HINT,
                )
        kept = [place for place in links if not self._is_covered(place)]
        if existing := [place for place in kept if os.path.exists(place.path)]:
            names = _listed(existing, lambda place: f"{place.link} -> {place.path} ({Extent.of(place.path)})")
            yield Warning(
                "outside-prefix",
                f"The environment has {counted(existing, 'link')} to files outside of it: {names}.",
                "The image contains the links, but not the files. Mount the files at the same paths in the container, "
                "or put them into the image: --include-outside PATH. --without-outside PATH accepts a link as it is.",
            )
        broken = [f"{place.link} -> {place.path}" for place in kept if not os.path.exists(place.path)]
        if broken or self.dangling:
            yield Warning(
                "dangling-links",
                f"{counted([*broken, *self.dangling], 'link')} will lead to no file in the image: "
                f"{listed([*broken, *self.dangling])}.",
                "The image contains the links as they are. Remove the links, or replace them with the files.",
            )
        if settings := [place for place in self.left if place.kind == "setting"]:
            yield Warning(
                "outside-settings",
                f"Settings name {counted(settings, 'place')} outside of the environment: "
                f"{_listed(settings, lambda place: f'{place.path} ({place.source}, {Extent.of(place.path)})')}.",
                "The image contains neither the files nor the variables. Install into the environment what it needs, "
                "or mount the files in the container and set the variables there.",
            )
        if self.taken:
            names = listed([f"{item.place.path} ({counted(item.files, 'file')})" for item in self.taken])
            yield Warning(
                "outside-taken",
                f"The image contains files from outside of the environment, as requested: {names}.",
                "Other users cannot get them from a lock file.",
            )


_HINT = (
    "The image does not contain these files. To put them into the image, add --include-outside PATH. "
    "If the environment does not need them, add --without-outside PATH."
)


def outside_files(request: PlanRequest, environment: Environment, drift: Drift) -> OutsideFiles:
    """Finds the places outside of a prefix, and decides as the request says which go into the image.

    Raises UsageError if the request names a path that is no such place, or asks for a home folder.
    """
    absent = [entry.path for entry in drift.excluded]
    pth = {posixpath.basename(path) for path in absent if posixpath.dirname(path) == environment.site_packages}
    places = [*python_places(environment, request.launch, pth), *link_places(environment, drift.links)]
    changed = [entry.path for entry in (*drift.untracked, *drift.modified)]
    settings = setting_places(environment, request.launch, changed)
    asked = [environment.prefix, Path.cwd()]
    include = _Named("--include-outside", request.include_outside, asked)
    without = _Named("--without-outside", request.without_outside, asked)
    taken, left, excluded = [], [], []
    targets: set[str] = set()
    for place in places:
        included, unwanted = include(place, environment.prefix), without(place, environment.prefix)
        if unwanted:
            excluded.append(place)
        elif included and (os.path.isdir(place.path) or os.path.isfile(place.path)):
            taken.append(_taken(place, targets))
        else:
            left.append(place)
    for place in settings:
        (excluded if without(place, environment.prefix) else left).append(place)
    for place in link_places(environment, [entry.path for entry in drift.excluded if entry.kind == "symlink"]):
        include(place, environment.prefix)  # the link is left out; an option may name its target nevertheless
        without(place, environment.prefix)
    include.check(places)
    without.check([*places, *settings])
    for item in taken:
        check_allowed(item.place.path, item.place.source, request.allow_prefixes)
    out = {place.link for place in places}
    dangling = [
        f"{link} -> {os.readlink(environment.prefix / link)}"
        for link in drift.links
        if link not in out and leads_nowhere(environment.prefix / link)
    ]
    return OutsideFiles(tuple(taken), tuple(left), tuple(excluded), frozenset(drift.folder_links), tuple(dangling))


def dangling_links(folders: Iterable[tuple[Path, Iterable[str]]], inside: Inside) -> Iterator[str]:
    """Yields the links in some folders that lead out of all folders of the image, as texts with their targets.

    Args:
        folders: pairs of a folder and the names of its files.
        inside: the folders whose files go into the image.
    """
    for folder, names in folders:
        for name in sorted(names):
            target = target_of(folder / name)
            if target and (not inside(target) or leads_nowhere(folder / name)):
                yield f"{folder / name} -> {target}"


def check_allowed(folder: Path, title: str, allowed: Iterable[str]) -> None:
    """Raises PrefixNotAllowed if a folder that an environment names is below none of the allowed folders.

    Any environment can name any folder, and the image gets the files there.

    Args:
        title: what names the folder.
        allowed: the setting allow_prefixes. If it is empty, every folder is allowed.
    """
    roots = [Path(os.path.realpath(os.path.expanduser(root))) for root in allowed]
    if roots and not any(Path(os.path.realpath(folder)).is_relative_to(root) for root in roots):
        raise PrefixNotAllowed(
            f"{title} has its source in {_shown(folder)}, which is not among the folders that this server may build.",
            "Install the package from an archive, or ask the administrator of this server for allow_prefixes.",
        )


def lock_warnings(environment: Environment) -> list[Warning]:
    """Returns the warnings for a lock file: of what Python imports from outside, with the variables of this process."""
    places = OutsideFiles(left=tuple(python_places(environment, of_shell())))
    hint = "The lock file does not bring these files. Install the packages into the environment."
    return [replace(warning, hint=hint) for warning in places.warnings()]


def watched_places(request: PlanRequest, environment: Environment, links: Sequence[str]) -> dict[Path, bool]:
    """Returns the paths of all places, also of those that do not exist, and whether their files go into the image."""
    places = [*possible_places(environment, request.launch), *link_places(environment, links)]
    include = _Named("--include-outside", request.include_outside, [environment.prefix, Path.cwd()])
    return {place.path: include(place, environment.prefix) for place in places}


class _Named:
    """The paths that an option names. A folder stands for all places below it."""

    def __init__(self, option: str, given: Sequence[str], folders: Sequence[Path]) -> None:
        self._option = option
        self._paths = {text: {os.path.normpath(folder / text) for folder in folders} for text in given}
        self._used: set[str] = set()

    def __call__(self, place: Place, prefix: Path) -> bool:
        ends = [place.path, Path(os.path.realpath(place.path)), *([prefix / place.link] if place.link else [])]
        names = {str(folder) for end in ends for folder in (end, *end.parents)}
        used = [text for text, paths in self._paths.items() if not paths.isdisjoint(names)]
        self._used.update(used)
        return bool(used)

    def check(self, places: Sequence[Place]) -> None:
        """Raises UsageError for a path that is the path of no place."""
        for text in self._paths:
            if text not in self._used:
                known = listed([str(place.path) for place in places])
                raise UsageError(
                    f"{self._option} names {_shown(text)}, but the environment imports nothing from there, "
                    "and no link of it leads there.",
                    f"The option can name these places: {known}."
                    if known
                    else "Remove the option: the environment uses no such file outside of it.",
                )


def _taken(place: Place, targets: set[str]) -> Taken:
    path = place.path
    refuse_system(path, _shown(place.link or place.source))
    if os.path.isdir(path) and has_home(path):
        raise UsageError(
            f"{_shown(path)} ({_shown(place.source)}) is a home folder, or contains one.",
            "A home folder has logins, keys and histories. Move the code that the environment needs to another folder.",
        )
    target = f"{PREFIX}/{place.link}" if place.link else _target(place, targets)
    if not os.path.isdir(path):
        file = Path(os.path.realpath(path))  # it may be a link to another version, as in a cache of models
        return Taken(place, target, file.parent, {file.name: target})
    names = source_files(path).kept if place.kind in ("pythonpath", "pth", "editable") else folder_files(path)
    return Taken(place, target, path, {name: f"{target}/{name}" for name in names})


def _target(place: Place, targets: set[str]) -> str:
    """Returns a new path in the image. It ends in the name of the place, and has no other folder of this machine."""
    number, target = 1, f"{OUTSIDE}/{place.path.name}"
    while target in targets:
        number += 1
        target = f"{OUTSIDE}/{number}/{place.path.name}"
    targets.add(target)
    return target


def _shown(path: Path | str) -> str:
    return printable(str(path), MOST_SHOWN)


def _contents(place: Place) -> str:
    names = [f"{item.package.name} {item.package.version}" for item in distributions_in(place)]
    return f"{Extent.of(place.path)}{f', with {listed(names)}' if names else ''}"


def _listed(places: Sequence[Place], text: Callable[[Place], str]) -> str:
    """Returns the texts of the first places, and the number of the others, whose files are not counted."""
    return listed([text(place) for place in places[:MOST_LISTED]] + [""] * len(places[MOST_LISTED:]), MOST_LISTED)
