"""Selects files of a folder by ignore files: .dockerignore, .gitignore and .git/info/exclude, and by a default list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.files import read_regular
from jupyter_condabuild.planning.own_files.credential_names import PATTERNS
from jupyter_condabuild.text import size_text

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_CACHES = ("__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache")
_TOOLS = (".git", ".hg", ".svn", ".venv", "node_modules", ".tox", ".nox", ".pixi", ".vscode", ".idea")
MOST_RULES = 1 << 20
"""The maximum size of an ignore file in bytes."""

IGNORED_FOLDERS = frozenset((*_CACHES, *_TOOLS))
"""Names of folders that are left out of an image by default."""

ENVIRONMENT_MARKS = ("conda-meta", "pyvenv.cfg")
"""Names in a folder that mark it as an environment. An environment inside a project is not part of the project."""

BULKY = ("data", "logs")
"""Names of folders at the top of a workspace that are left out unless .dockerignore has ``!data`` or ``!logs``."""

_LITTER = ("**/*.pyc", "**/.DS_Store", "**/*.log", "**/*.swp", "**/*~")
_IGNORED = (*(f"**/{name}" for name in sorted(IGNORED_FOLDERS)), *_LITTER, *BULKY)

DOCKERIGNORE = "\n".join(
    [
        "# Files that the image does not need. To include the folder data, add the line !data at the end.",
        *_IGNORED,
        "Dockerfile",
        ".dockerignore",
        "# Files in which tools keep credentials.",
        *(f"**/{pattern}" for pattern in PATTERNS),
        "",
    ]
)
"""A .dockerignore with the same lists."""

_MOST_PARENTS = 12
_SMALL = 1 << 16


def included_files(path: Path) -> tuple[Path, set[str]]:
    """Returns the folder of a workspace, and the names of its files and folders that are included, relative to it.

    Args:
        path: the folder, or the only file that is included.
    """
    if path.is_dir():
        return path.absolute(), included_names(path.absolute())
    file = path.resolve()
    return file.parent, {file.name}


def included_names(folder: Path) -> set[str]:
    """Returns the names of the files and folders of a workspace, relative to it.

    The lines of a ``.dockerignore`` in the folder follow the default list, so that ``!`` lines can include files again.
    Environments in the folder are left out.
    """
    from docker.utils.build import exclude_paths  # Docker's own rules for .dockerignore, which users know

    selected: set[str] = exclude_paths(str(folder), [*_IGNORED, *_docker_lines(folder)])
    environments = {os.path.dirname(name) for name in selected if os.path.basename(name) in ENVIRONMENT_MARKS} - {""}
    return {name for name in selected if environments.isdisjoint((name, *parents(name)))}


def parents(name: str) -> Iterator[str]:
    """Yields the folders above a relative path, the nearest first."""
    while name := os.path.dirname(name):
        yield name


def _docker_lines(folder: Path) -> list[str]:
    lines = _lines(folder / ".dockerignore")
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _lines(file: Path) -> list[str]:
    """Returns the lines of an ignore file; none if there is no such file.

    Raises UsageError if the file cannot be read. Without its rules, files that it names would go into the image.
    """
    try:
        return read_regular(file, MOST_RULES, follow=True).decode("utf-8", "surrogateescape").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if file.is_dir():
            return []
        raise UsageError(
            f"The ignore file {file} cannot be read: {error.strerror}.",
            f"Make it a file of at most {size_text(MOST_RULES)}, or remove it.",
        ) from None


@dataclass(frozen=True)
class SourceFiles:
    """The files of an editable source, relative to it: those for the image, and those that ignore files name."""

    kept: tuple[str, ...]
    ignored: tuple[str, ...]


def source_files(source: Path, imported: Iterable[Path] = ()) -> SourceFiles:
    """Returns the files of the folder of an editable install, without bytecode, caches and environments.

    Ignore files of the folder and of its Git repository count. A file that they name stays nevertheless if Python
    needs it to import the project and no repository has it: an extension module, ``.egg-info``, and a module that says
    in its first lines that a program generated it. Rules that name every module of the project do not count: they are
    those of another image, or of a repository that only surrounds the project. Nor do rules count that name every file
    of a folder from which Python imports.

    Args:
        imported: the folders that Python imports from. Those outside of the source do not count.
    """
    top = _repository(source)
    files = folder_files(source)
    git = _GitRules(source, top)
    ignored = _unless_all({name for name in files if git.ignores(name)}, files)
    for folder in dict.fromkeys((top, source)):
        ignored |= _unless_all(_by_docker(folder, source, files), files)
    ignored = {name for name in ignored if not _is_needed(source, name)}
    for folder in imported:
        if folder != source and folder.is_relative_to(source):
            below = {name for name in files if name.startswith(f"{folder.relative_to(source)}/")}
            ignored -= below if below <= ignored else set()
    return SourceFiles(tuple(name for name in files if name not in ignored), tuple(sorted(ignored)))


def rules_above(source: Path) -> list[Path]:
    """Returns the ignore files that count for an editable source and are not below it."""
    top = _repository(source)
    folders = [top, *(folder for folder in source.parents if folder.is_relative_to(top))]
    files = [folder / name for folder in dict.fromkeys(folders) for name in (".gitignore", ".dockerignore")]
    return [file for file in (*files, top / ".git/info/exclude") if file.is_file()]


def folder_files(folder: Path) -> list[str]:
    """Returns the names of the files, links and empty folders of a folder, sorted.

    Bytecode, caches and environments are left out.
    """
    return sorted(_walk(folder))


def _walk(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        if not folders and not files and parent != str(folder):
            yield os.path.relpath(parent, folder)
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        folders[:] = sorted(name for name in folders if not _is_ignored(Path(parent, name)))
        names = [name for name in (*files, *links) if not name.endswith(".pyc") and name not in IGNORED_FOLDERS]
        yield from (os.path.relpath(os.path.join(parent, name), folder) for name in names)


def _is_ignored(folder: Path) -> bool:
    """Whether a folder is a cache or an environment. A project may contain the environment that is built."""
    return folder.name in IGNORED_FOLDERS or any((folder / name).exists() for name in ENVIRONMENT_MARKS)


def _repository(source: Path) -> Path:
    """Returns the top folder of the Git repository with a source, or the source itself."""
    for folder in (source, *source.parents[:_MOST_PARENTS]):
        if (folder / ".git").exists():
            return folder
    return source


class _GitRules:
    """The rules of a Git repository for one folder of it. The last rule that matches decides, as in gitignore(5)."""

    def __init__(self, source: Path, top: Path) -> None:
        self._source = source
        self._above = [(top, spec) for spec in [_git_spec(top / ".git/info/exclude")] if spec]
        between = [folder for folder in source.parents if folder.is_relative_to(top)]
        for folder in reversed(between):
            if spec := _git_spec(folder / ".gitignore"):
                self._above.append((folder, spec))
        self._below: dict[str, GitIgnoreSpec | None] = {}
        self._folders: dict[str, bool] = {"": False}

    def ignores(self, name: str) -> bool:
        """Whether the rules ignore a file or an empty folder of the source, or a folder above it."""
        path = self._source / name
        folder = path.is_dir() and not path.is_symlink()
        return self._ignores_folder(os.path.dirname(name)) or self._decides(name, folder=folder)

    def _ignores_folder(self, name: str) -> bool:
        if name not in self._folders:
            self._folders[name] = self._ignores_folder(os.path.dirname(name)) or self._decides(name, folder=True)
        return self._folders[name]

    def _decides(self, name: str, *, folder: bool) -> bool:
        path = self._source / name
        rules = list(self._above)
        for place in ("", *reversed(list(parents(name)))):
            if place not in self._below:
                self._below[place] = _git_spec(self._source / place / ".gitignore")
            if spec := self._below[place]:
                rules.append((self._source / place, spec))
        for base, spec in reversed(rules):
            decision = spec.check_file(f"{path.relative_to(base).as_posix()}{'/' if folder else ''}").include
            if decision is not None:
                return decision
        return False


def _git_spec(file: Path) -> GitIgnoreSpec | None:
    if not (lines := _lines(file)):
        return None
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(lines)


def _by_docker(folder: Path, source: Path, files: Sequence[str]) -> set[str]:
    """Returns the files of a source that the .dockerignore of a folder above it, or of the source itself, names."""
    lines = _docker_lines(folder)
    if not lines:
        return set()
    from docker.utils.build import PatternMatcher

    matcher = PatternMatcher(lines)
    below = source.relative_to(folder)
    return {name for name in files if matcher.matches(os.path.join(below, name) if below.parts else name)}


def _unless_all(named: set[str], files: Sequence[str]) -> set[str]:
    """Returns the named files; no files if every module is named."""
    modules = {name for name in files if name.endswith((".py", ".so"))}
    return set() if modules and modules <= named else named


def _is_needed(source: Path, name: str) -> bool:
    if name.endswith(".so") or any(folder.endswith(".egg-info") for folder in name.split("/")):
        return True
    if not name.endswith(".py"):
        return False
    try:
        with open(source / name, "rb") as file:
            return b"generated" in file.read(1024).lower()
    except OSError:
        return False
