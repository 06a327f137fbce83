"""BuiltFiles: the built files of editable installs whose import hook would build them again in the image."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_condabuild.conda.prefix.editables import meson_files, meson_tree, without_rebuild
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.outside import Place
from jupyter_condabuild.conda.prefix.pip import PipDistribution
from jupyter_condabuild.events import Warning
from jupyter_condabuild.image.paths import PREFIX
from jupyter_condabuild.planning.own_files.outside_files import OutsideFiles, Taken, check_allowed
from jupyter_condabuild.text import counted, listed


@dataclass(frozen=True)
class BuiltFiles:
    """The files that meson-python's import hooks import. They go to site-packages, in the place of the hooks.

    `hooks` are the files of import hooks, relative to the prefix, that the image does not get as they are. `texts` are
    the texts of hooks that the image gets instead, those of scikit-build-core, by their paths.
    """

    taken: tuple[Taken, ...] = ()
    hooks: frozenset[str] = frozenset()
    texts: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Warning, ...] = ()


def built_files(environment: Environment, allowed: Iterable[str], outside: OutsideFiles) -> BuiltFiles:
    """Finds the built files of editable installs, and warns of each install that is built again at each import.

    Args:
        allowed: the setting allow_prefixes.
        outside: the taken files outside of the environment. Installs in them are only named.

    Raises PrefixNotAllowed if the folder of a build is below none of the allowed folders.
    """
    taken: list[Taken] = []
    hooks: set[str] = set()
    texts: dict[str, str] = {}
    warnings, unbuilt = [], []
    for item in environment.pip:
        if item.editable_source is None:
            continue
        without = without_rebuild(environment.prefix, item)
        hook = meson_files(item)
        if not (without or hook):
            continue
        trees = list(_taken(environment, item)) if hook else []
        if hook and not trees:
            unbuilt.append(item)
            continue
        for tree in trees:
            check_allowed(tree.root, tree.place.source, allowed)
        taken += trees
        hooks.update(hook, without)
        texts |= without
        warnings.append(
            Warning(
                "editable-built",
                f"{item.package.name} is an editable install that {'meson-python' if hook else 'scikit-build-core'} "
                "builds again at each import. The image has the files of the last build.",
                "If its compiled code has changed since, import the package once before you build the image.",
            )
        )
    for folder, item in outside.distributions:
        if item.editable_source and (meson_files(item) or without_rebuild(folder, item)):
            unbuilt.append(item)
    if unbuilt:
        folders = listed([f"{item.package.name} ({item.editable_source})" for item in unbuilt])
        warnings.append(
            Warning(
                "editable-builds-at-import",
                f"{counted(unbuilt, 'editable install')} would be built again at each import, which fails in the "
                f"image: {folders}.",
                "Import the package once, so that it is built, or install the project without --editable: "
                "'pip install --no-deps FOLDER'.",
            )
        )
    return BuiltFiles(tuple(taken), frozenset(hooks), texts, tuple(warnings))


def _taken(environment: Environment, item: PipDistribution) -> Iterator[Taken]:
    """Yields the files in the folder of the project, and those in the folder of the build if it is another folder.

    There are none if a file is in neither folder.
    """
    assert item.editable_source
    build, tree = meson_tree(environment.prefix, item)
    roots = [item.editable_source, *([build] if build else [])]
    by_root: dict[Path, dict[str, str]] = {root: {} for root in roots}
    for target, file in tree.items():
        root = next((root for root in roots if _is_below(file, root)), None)
        if root is None:
            return
        by_root[root][os.path.relpath(file, root)] = f"{PREFIX}/{environment.site_packages}/{target}"
    for root, files in by_root.items():
        if files:
            place = Place(root, "editable", f"The build of {item.package.name}")
            yield Taken(place, f"{PREFIX}/{environment.site_packages}", root, files)


def _is_below(file: Path, root: Path) -> bool:
    return Path(os.path.normpath(file)).is_relative_to(root)
