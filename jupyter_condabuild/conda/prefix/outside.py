"""Place: a file or a folder outside of a prefix that the environment's programs use.

The places are found without running code of the environment, by the rules of Python's module `site`
(docs.python.org/3/library/site.html).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jupyter_condabuild.conda.prefix.editables import LITERAL, import_paths
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.pip import PipDistribution, pip_distributions
from jupyter_condabuild.conda.prefix.pip_metadata import text_of

Kind = Literal["pythonpath", "user-site", "pth", "editable", "link", "setting"]

_PROGRAM = Path(__file__).parents[3]


@dataclass(frozen=True)
class Place:
    """A file or a folder outside of a prefix.

    `path` is its absolute path, as the environment names it. `source` says which setting or file names it, in words.
    `link` is the path of the symbolic link that leads to it, relative to the prefix, for the kind ``link``; empty for
    the other kinds:

    - ``pythonpath``: an entry of PYTHONPATH. Python looks there first.
    - ``user-site``: the user's own site-packages folder. Python looks there before the site-packages of the prefix.
    - ``pth``: a line of a ``.pth`` file. Python looks there last.
    - ``editable``: code of an editable install that is not in the folder of its project, or code of an editable install
      in the user's site-packages.
    - ``setting``: a file that another program than Python reads (see `outside_settings`).
    """

    path: Path
    kind: Kind
    source: str
    link: str = ""


def python_places(environment: Environment, launch: Sequence[str], without: Collection[str] = ()) -> list[Place]:
    """Returns the places outside of a prefix from which the environment's Python imports, in the order of its search.

    Folders of editable installs in the prefix are not places, because every image contains them. Nor is the folder from
    which this program is imported.

    Args:
        launch: the launch variables of the kernel (see `launch`).
        without: the names of ``.pth`` files of the prefix that the user leaves out.
    """
    return [place for place in possible_places(environment, launch, without) if os.path.exists(place.path)]


def possible_places(environment: Environment, launch: Sequence[str], without: Collection[str] = ()) -> list[Place]:
    """Returns the same places, and those that do not exist. If they exist later, Python imports from them."""
    site = environment.site_packages
    if not site:
        return []
    variables = dict(pair.split("=", 1) for pair in launch)
    found = [
        Place(Path(entry), "pythonpath", "PYTHONPATH")
        for entry in variables.get("PYTHONPATH", "").split(os.pathsep)
        if entry and Path(entry) != _PROGRAM
    ]
    if user := _user_base(variables):
        found.append(Place(user / site, "user-site", "the user's site-packages"))
        found += _editable(user, pip_distributions(user, site, ()))
        found += _pth_places(user / site)
    found += _editable(environment.prefix, environment.pip)
    found += _pth_places(environment.prefix / site, without)
    inside = _inside(environment)
    places: dict[Path, Place] = {}
    for place in found:
        above = (places.get(folder) for folder in (place.path, *place.path.parents))
        known = any(other and (other.path == place.path or other.kind == "editable") for other in above)
        if not known and not inside(place.path):
            places[place.path] = place
    return list(places.values())


def _user_base(variables: Mapping[str, str]) -> Path | None:
    """Returns the folder above the user's site-packages (``site.USER_BASE``); None if Python does not use it."""
    if variables.get("PYTHONNOUSERSITE"):
        return None
    home = variables.get("HOME") or os.path.expanduser("~")
    folder = Path(variables.get("PYTHONUSERBASE") or f"{home}/.local")
    return folder if folder.is_absolute() else None


def link_places(environment: Environment, links: Iterable[str]) -> list[Place]:
    """Returns the places to which symbolic links of a prefix lead, in the order of the links.

    A link that leads to another link of the prefix is not listed: the other link is. The place of a link that leads
    nowhere does not exist.

    Args:
        links: the paths of links, relative to the prefix.
    """
    inside = _inside(environment)
    found = []
    for link in links:
        target = target_of(environment.prefix / link)
        if target and not inside(target):
            found.append(Place(target, "link", f"the link {link}", link))
    return found


def target_of(link: Path) -> Path | None:
    """Returns the absolute path that a symbolic link names, without following further links; None without a link."""
    try:
        target = os.readlink(link)
    except OSError:
        return None
    return Path(os.path.normpath(os.path.join(os.path.realpath(link.parent), target)))


def leads_nowhere(link: Path) -> bool:
    """Whether a symbolic link names a path that does not exist, or leads back to itself through other links.

    A link to another link that leads nowhere is not meant: the other link is.
    """
    target = target_of(link)
    try:
        os.stat(link)
    except OSError as error:
        return target is not None and (error.errno == errno.ELOOP or not os.path.lexists(target))
    return False


def distributions_in(place: Place) -> tuple[PipDistribution, ...]:
    """Returns the Python distributions in a folder, sorted by name. Their files are relative to the folder above it."""
    return pip_distributions(place.path.parent, place.path.name, ()) if os.path.isdir(place.path) else ()


def _inside(environment: Environment) -> Inside:
    """Returns the folders that are no places. Those of editable installs that the user leaves out are none, too."""
    installed = (*environment.pip, *environment.left_out)
    sources = (item.editable_source for item in installed if item.editable_source)
    unwanted = (folder for item in environment.left_out for folder in import_paths(environment.prefix, item))
    return Inside([environment.prefix, *sources, *unwanted])


class Inside:
    """Whether a path is below one of several folders, as it is written or after its links are resolved."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = {os.path.normpath(folder) for folder in folders}
        self._folders |= {os.path.realpath(folder) for folder in self._folders}

    def __call__(self, path: Path) -> bool:
        return any(
            str(place) in self._folders
            for form in (Path(os.path.normpath(path)), Path(os.path.realpath(path)))
            for place in (form, *form.parents)
        )


def _pth_places(site: Path, without: Collection[str] = ()) -> Iterator[Place]:
    """Yields the places that the ``.pth`` files of a site-packages folder add to Python's search path.

    A line that starts with ``import`` is code. An absolute path in quotes in such a line counts as a place.
    """
    try:
        names = sorted(name for name in os.listdir(site) if name.endswith(".pth") and not name.startswith("."))
    except OSError:
        return
    for name in (name for name in names if name not in without):
        for line in text_of(site / name, follow=True).splitlines():
            if not line.strip() or line.startswith("#") or "\0" in line:
                continue
            if line.startswith(("import ", "import\t")):
                paths = [match["path"] for match in LITERAL.finditer(line)]
            else:
                paths = [line.rstrip()]
            for path in paths:
                yield Place(Path(os.path.normpath(site / path)), "pth", name)


def _editable(prefix: Path, installed: Iterable[PipDistribution]) -> Iterator[Place]:
    """Yields the places that editable installs import from."""
    for item in installed:
        if item.editable_source is None:
            continue
        source = f"the editable install of {item.package.name}"
        yield Place(item.editable_source, "editable", source)
        yield from (Place(folder, "editable", source) for folder in import_paths(prefix, item))
