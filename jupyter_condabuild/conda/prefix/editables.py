"""Editable installs: where the files that build backends write for them lead.

Each backend makes Python import the code of a project in its own way: by a ``.pth`` file with a folder (hatchling,
flit, poetry, maturin), or by a ``.pth`` file that imports a module with an import hook (setuptools, scikit-build-core,
editables, meson-python). The texts are read; no code runs.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.prefix.pip import PipDistribution
from jupyter_condabuild.conda.prefix.pip_metadata import text_of

LITERAL = re.compile(r"""(?P<quote>['"])(?P<path>/[^'"\n\\]+)(?P=quote)""")
"""An absolute path in quotes, in Python code."""

_HOOK = re.compile(r"(?:__editable___.*_finder|_editable_.*|_.*_editable)\.py", re.DOTALL)
_MESON_LOADER = re.compile(r"_.+_editable_loader\.py", re.DOTALL)
_MESON_FILES = re.compile(r"_.+_editable_loader\.py|.+-editable\.pth", re.DOTALL)
_REBUILDS = re.compile(r"""((['"])/[^'"\n\\]+\2, )True(, (?:True|False), \[)""")
"""The arguments `path`, `rebuild` and `verbose` of scikit-build-core's hook (resources/_editable_redirect.py)."""


def import_paths(prefix: Path, item: PipDistribution) -> Iterator[Path]:
    """Yields the existing folders that the ``.pth`` files and the import hook of an editable install name."""
    for path in item.files:
        name = os.path.basename(path)
        if name.endswith(".pth"):
            lines = text_of(prefix / path).splitlines()
            named = [Path(line.rstrip()) for line in lines if line.startswith("/") and "\0" not in line]
        elif _HOOK.fullmatch(name) and not _MESON_LOADER.fullmatch(name):
            named = [Path(match["path"]) for match in LITERAL.finditer(text_of(prefix / path))]
            named = [path.parent if path.suffix in (".py", ".so") else path for path in named]
        else:
            continue
        yield from (Path(os.path.normpath(path)) for path in named if os.path.isdir(path))


def without_rebuild(prefix: Path, item: PipDistribution) -> dict[str, str]:
    """Returns the import hooks of scikit-build-core that build the project again at each import, without that.

    They are texts by their paths, relative to the prefix. The setting is ``editable.rebuild`` of the project.
    """
    hooks = {path: text_of(prefix / path) for path in item.files if _HOOK.fullmatch(os.path.basename(path))}
    return {path: _REBUILDS.sub(r"\1False\3", text) for path, text in hooks.items() if _REBUILDS.search(text)}


def meson_files(item: PipDistribution) -> tuple[str, ...]:
    """Returns the import hook of meson-python, relative to the prefix; none if another backend made the install.

    The hook builds the project again at each import. Without the tools and the folder of the build, the import fails.
    """
    if not any(_MESON_LOADER.fullmatch(os.path.basename(path)) for path in item.files):
        return ()
    return tuple(path for path in item.files if _MESON_FILES.fullmatch(os.path.basename(path)))


def meson_tree(prefix: Path, item: PipDistribution) -> tuple[Path | None, dict[str, Path]]:
    """Returns the folder of the build, and the files that meson-python's hook would import.

    The files are in Meson's list of files to install (meson-info/intro-install_plan.json). They are returned by their
    path in site-packages. There are none if there is no such list, or if one of them does not exist: the project is not
    built.
    """
    for loader in meson_files(item):
        for match in LITERAL.finditer(text_of(prefix / loader)):
            plan = Path(match["path"], "meson-info/intro-install_plan.json")
            if os.path.isfile(plan):
                files = dict(_installed(text_of(plan)))
                built = all(os.path.isfile(file) for file in files.values())
                return Path(match["path"]), files if built else {}
    return None, {}


def _installed(plan: str) -> Iterator[tuple[str, Path]]:
    """Yields the Python files of an installation plan, as meson-python does (mesonpy/_editable.py, `collect`)."""
    try:
        groups = json.loads(plan).items()
    except (ValueError, AttributeError, RecursionError):
        return
    for files in (group for _, group in groups if isinstance(group, dict)):
        for source, entry in files.items():
            target = _target(entry)
            if target is None:
                continue
            if not os.path.isdir(source):
                yield target, Path(source)
                continue
            for file in _below(source, entry):
                yield f"{target}/{file}", Path(source, file)


def _target(entry: Any) -> str | None:
    """Returns a path below site-packages; None for a file that goes to another place."""
    destination = str(entry.get("destination", "")) if isinstance(entry, dict) else ""
    top, _, rest = destination.partition("/")
    path = os.path.normpath(rest)
    return path if top in ("{py_platlib}", "{py_purelib}") and not path.startswith(("..", "/", ".")) else None


def _below(folder: str, entry: dict[str, Any]) -> Iterator[str]:
    files = {os.path.normpath(str(name)) for name in entry.get("exclude_files") or ()}
    folders = {os.path.normpath(str(name)) for name in entry.get("exclude_dirs") or ()}
    for parent, names, children in os.walk(folder):
        names[:] = sorted(name for name in names if os.path.relpath(os.path.join(parent, name), folder) not in folders)
        for name in sorted(children):
            path = os.path.relpath(os.path.join(parent, name), folder)
            if path not in files and not path.endswith(".pyc"):
                yield path
