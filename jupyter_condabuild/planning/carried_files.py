"""Carried: what an image for another platform gets besides conda packages: pip's packages and the user's own files.

It is laid out in a folder that stands for the prefix of the image. Files that only the environment's own system can use
are left out, and named.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_condabuild.conda.cross.binaries import foreign
from jupyter_condabuild.conda.cross.target import ARCHITECTURES
from jupyter_condabuild.conda.cross.wheel_files import install
from jupyter_condabuild.conda.linking.disk_places import LaidOut
from jupyter_condabuild.conda.linking.relocate import relocated, relocated_text
from jupyter_condabuild.conda.linking.spellings import names_of, replacements
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.prefix.drift import Drift
from jupyter_condabuild.conda.prefix.drift_report import DriftEntry
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.pip import PipDistribution
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.errors import NotCompatible, from_os_error
from jupyter_condabuild.events import Warning
from jupyter_condabuild.image.paths import PREFIX
from jupyter_condabuild.planning.other_platform import OtherPlatform
from jupyter_condabuild.planning.own_files.selection import OwnFiles
from jupyter_condabuild.text import counted, listed

_DESKTOP = frozenset((".DS_Store", "Thumbs.db", "desktop.ini"))
"""Files that the desktops of macOS and Windows write into folders."""

_WINDOWS_ROOT = "Library/"


@dataclass(frozen=True)
class Selection:
    """What is carried: the environment with only the pip packages whose files are copied, and the untracked files.

    `foreign` maps the paths of files of another system to that system, and `changed` are the changed files of packages:
    neither is carried.
    """

    environment: Environment
    drift: Drift
    foreign: Mapping[str, str]
    changed: tuple[str, ...]

    @property
    def warnings(self) -> Iterator[Warning]:
        """Yields the warnings of files that the image does not get."""
        if self.foreign:
            names = [f"{path} ({system})" for path, system in sorted(self.foreign.items())]
            yield Warning(
                "foreign-files",
                f"{counted(names, 'file')} of another system or processor cannot be in the image: {listed(names, 8)}.",
                "If the image needs them, install a package that brings them for the image's platform.",
            )
        if self.changed:
            yield Warning(
                "changes-not-carried",
                f"Changed files of packages are not carried to another platform: {listed(self.changed, 8)}.",
                "The image gets the files of the packages. Put changes into files of your own.",
            )


@dataclass(frozen=True)
class Carried:
    """An environment and its drift, in the folder that stands for the prefix of the image.

    `laid` are the files in that folder.
    """

    environment: Environment
    drift: Drift
    laid: LaidOut


def select(environment: Environment, drift: Drift, other: OtherPlatform) -> Selection:
    """Selects what is carried to another platform. It reads only the headers of files.

    Raises NotCompatible if a package of pip has no wheel for the platform and its files are for another system.
    """
    machine = ARCHITECTURES[other.lockfile.platform]
    kept = {package.name for package in other.lockfile.pip}
    if lost := [name for name in other.sources_only if name in kept]:
        raise NotCompatible(
            f"The package index has no wheel for {other.lockfile.platform} of {listed(lost)}, only sources.",
            f"Lock the environment (lock --platform {other.lockfile.platform} -o conda-lock.yml), and build with "
            "--lockfile conda-lock.yml --engine docker, which builds sources. Or do without: --leave-out "
            f"{lost[0]}.",
        )
    copied = [item for item in environment.pip if item.source != "index" and item.package.name in kept]
    for item in copied:
        bad = _foreign(environment.prefix, item.files, machine, windows=False)
        programs = [path for path in bad if not path.endswith(".exe")]  # the commands, which are written again
        if programs:
            raise NotCompatible(
                f"{item.package.name} comes from no package index, and it has files of another system: "
                f"{listed(programs, 3)}.",
                f"Publish a wheel for {other.lockfile.platform} on an index, or leave it out: "
                f"--leave-out {item.package.name}.",
            )
    untracked = [entry for entry in drift.untracked if entry.path.rpartition("/")[2] not in _DESKTOP]
    windows = environment.platform.startswith("win")
    bad = _foreign(environment.prefix, (entry.path for entry in untracked), machine, windows=windows)
    own = tuple(entry for entry in untracked if entry.path not in bad)
    changed = tuple(entry.path for entry in (*drift.modified, *drift.missing))
    return Selection(replace(environment, pip=tuple(copied)), Drift(untracked=own), bad, changed)


def _foreign(prefix: Path, paths: Iterable[str], machine: str, *, windows: bool) -> dict[str, str]:
    found = {}
    for path in paths:
        if windows and path.startswith("Scripts/"):
            found[path] = "Windows"  # also the scripts beside the programs have Windows' form
            continue
        try:
            if system := foreign(prefix / path, machine):
                found[path] = system
        except OSError:
            continue  # drift has named files that cannot be read
    return found


def check_sources(own: OwnFiles, selection: Selection, platform: str) -> None:
    """Checks the sources of editable installs. Raises NotCompatible if they have programs of another system."""
    names = {item.editable_source: item.package.name for item in selection.environment.pip if item.editable_source}
    for source, files in own.sources.items():
        if bad := _foreign(source, files, ARCHITECTURES[platform], windows=False):
            name = names.get(source, source.name)
            raise NotCompatible(
                f"The editable install {name} has files of another system in {source}: {listed(sorted(bad), 3)}.",
                f"Publish a wheel of {name} for {platform} on an index, or leave it out: --leave-out {name}.",
            )


def carry(environment: Environment, selection: Selection, lockfile: Lockfile, own: OwnFiles, folder: Path) -> Carried:
    """Lays out what is carried.

    Args:
        environment: the environment as it is.
        lockfile: the lock file for the other platform.
        own: the selected files of the user, without those that hold credentials.
        folder: an empty folder, which must exist until the image is made.

    Raises the errors of `wheel_files.install`, and StoreError.
    """
    prefix, site = folder / "prefix", lockfile.site_packages
    laid = LaidOut(prefix)
    layout = _Layout(environment, laid, site)
    untracked = [
        DriftEntry(path, entry.size, kind=entry.kind)
        for entry in selection.drift.untracked
        if entry.path not in own.withheld and (path := layout.copy(entry.path))
    ]
    pip = []
    for item in selection.environment.pip:
        files = tuple(filter(None, (layout.copy(path) for path in item.files if not path.endswith(".pyc"))))
        files += layout.commands(files)
        pip.append(replace(item, dist_info=layout.there(item.dist_info), files=files, overwrites=""))
    for package in lockfile.pip:
        if package.url.endswith(".whl") and package.name not in {item.package.name for item in pip}:
            files = install(package, laid, folder / "wheels", site, f"{PREFIX}/bin/python")
            info = next((path for path in files if path.endswith(".dist-info/METADATA")), "")
            pip.append(PipDistribution(package, info.rpartition("/")[0], files, "jupyter-condabuild"))
    for name in ("pinned", "frozen"):
        layout.copy(f"conda-meta/{name}")
    variables = {name: relocated_text(value, layout.pairs) for name, value in environment.variables.items()}
    records = tuple(_record(lockfile.python)) if lockfile.python else ()
    carried = replace(
        environment,
        prefix=prefix,
        platform=lockfile.platform,
        records=records,
        pip=tuple(sorted(pip, key=lambda item: item.package.name)),
        variables=variables,
    )
    layout.add_links()
    return Carried(carried, Drift(untracked=tuple(sorted(untracked))), laid)


class _Layout:
    """Copies files of the environment to the places that they have on Linux, with the image's prefix in them."""

    def __init__(self, environment: Environment, laid: LaidOut, site_packages: str) -> None:
        self._from, self._laid, self._site = environment.prefix, laid, site_packages
        self._windows = environment.platform.startswith("win")
        self._old_site = environment.site_packages
        self._links: dict[str, str] = {}
        self.pairs = replacements(dict.fromkeys(names_of(environment.prefix), PREFIX))

    def there(self, path: str) -> str:
        """Returns the place of a file on Linux."""
        if self._old_site and path.lower().startswith(f"{self._old_site.lower()}/"):
            return f"{self._site}{path[len(self._old_site) :]}"
        return path.removeprefix(_WINDOWS_ROOT) if self._windows else path

    def copy(self, path: str) -> str:
        """Copies a file, and returns its place; empty if it is no file, or a command of Windows."""
        source, place = self._from / path, self.there(path)
        if self._windows and path.lower().startswith("scripts/"):
            return ""
        try:
            mode = source.lstat().st_mode
            if stat.S_ISLNK(mode):
                self._links[place] = self._target(source)
                return place
            if not stat.S_ISREG(mode):
                return ""
            target = Path(self._laid.place(place, executable=bool(mode & 0o111)))
            if not relocated(source, self.pairs, target):
                shutil.copyfile(source, target)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            raise from_os_error(error, f"copying {source}") from None
        return place

    def _target(self, link: Path) -> str:
        """Returns the target of a symbolic link as the image has it."""
        target = os.readlink(link)
        if self._windows:
            return relocated_text(target.removeprefix("\\\\?\\").replace("\\", "/"), self.pairs)
        place = os.path.normpath(f"{os.path.realpath(link.parent)}/{target}" if target[0] != "/" else target)
        if not Path(place).is_relative_to(os.path.realpath(self._from)):
            target = place  # from another folder, a relative target would lead to another place
        return relocated_text(target, self.pairs)

    def add_links(self) -> None:
        """Adds the symbolic links, after all files."""
        for place, target in self._links.items():
            self._laid.link(place, target)

    def commands(self, files: Iterable[str]) -> tuple[str, ...]:
        """Writes the commands of a package from Windows, where they are programs. Returns their paths."""
        if not self._windows:
            return ()
        from installer.scripts import Script
        from installer.utils import parse_entrypoints

        points = next((path for path in files if path.endswith(".dist-info/entry_points.txt")), "")
        if not points:
            return ()
        text = Path(self._laid.files[points]).read_text("utf-8", "replace")
        written = []
        for name, module, attribute, section in parse_entrypoints(text):
            if "/" in name or name in (".", ".."):
                continue
            _, data = Script(name, module, attribute, section).generate(f"{PREFIX}/bin/python", "posix")
            Path(self._laid.place(f"bin/{name}", executable=True)).write_bytes(data)
            written.append(f"bin/{name}")
        return tuple(written)


def _record(python: CondaPackage) -> Iterator[PrefixRecord]:
    """Yields the record of Python, which says where site-packages is."""
    value = {name: getattr(python, name) for name in ("name", "version", "build", "subdir", "fn", "url")}
    yield PrefixRecord.parse({**value, "python_site_packages_path": python.python_site_packages_path}, Path(python.fn))
