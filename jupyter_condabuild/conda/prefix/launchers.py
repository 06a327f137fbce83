"""Launchers: programs such as ``conda run``, which start another program inside an environment.

The command line of a launcher says which environment it uses.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh"))
_ACTIVATE = re.compile(r"(?:^|[;&|\s])(?:conda|mamba|micromamba|source|\.)\s+(?:\S*/)?activate\s+(?P<target>[^\s;&|]+)")
_CONDA_FLAGS = frozenset(
    ("--no-capture-output", "--live-stream", "--dev", "--debug-wrapper-scripts", "-v", "--verbose", "-q", "--quiet",
     "--clean-env", "-d", "--detach", "--no-rc", "--no-env", "-vv", "-vvv")
)  # fmt: skip


@dataclass(frozen=True)
class Context:
    """The environment variables and the working directory of a program."""

    env: Mapping[str, str]
    cwd: Path


@dataclass(frozen=True)
class Launched:
    """A command line after `unwrap`.

    If the command has a launcher, `launcher` is its name, and `prefix` is the environment that it uses, or None if that
    environment is not found. Otherwise `launcher` is empty, and `argv` is the command.
    """

    argv: tuple[str, ...]
    launcher: str = ""
    prefix: Path | None = None


def is_prefix(folder: Path) -> bool:
    """Whether the folder is a conda environment."""
    return os.path.isdir(folder / "conda-meta")


def unwrap(argv: Sequence[str], context: Context) -> Launched:
    """Removes ``env`` from a command line, and finds the launcher and its environment.

    The launchers are conda run, nb_conda_kernels, pixi run, and a shell that activates an environment.
    """
    words = list(argv)
    while words:
        name = os.path.basename(words[0])
        if name == "env":
            words = _after_env(words)
        elif name in ("conda", "mamba", "micromamba") and "run" in words[1:]:
            return Launched(tuple(words), f"{name} run", _of_conda_run(words, context))
        elif words[1:3] == ["-m", "nb_conda_kernels.runner"] and len(words) > 4:
            return Launched(tuple(words[5:]), "nb_conda_kernels", Path(words[4]))
        elif words[1:3] == ["-m", "conda"] and "run" in words[3:]:
            return Launched(tuple(words), "conda run", _of_conda_run([words[0], *words[3:]], context))
        elif name == "pixi" and "run" in words[1:]:
            return Launched(tuple(words), "pixi run", pixi_environment(words[1:], context))
        elif name in _SHELLS and (target := _ACTIVATE.search(_script(words))):
            prefix = _environment_of_name(_unquoted(target["target"]), words, context)
            return Launched(tuple(words), name, prefix) if prefix else Launched(tuple(words))
        else:
            break
    return Launched(tuple(words))


def _after_env(words: list[str]) -> list[str]:
    rest = words[1:]
    while rest and (rest[0].startswith("-") or "=" in rest[0]):
        rest = rest[2 if rest[0] in ("-u", "-C", "--unset", "--chdir") else 1 :]
    return rest


def _script(words: list[str]) -> str:
    """Returns TEXT of ``bash -lc TEXT``; empty for other commands."""
    for flag, text in pairwise(words[1:]):
        if re.fullmatch(r"-[a-z]*c", flag):
            return text
        if not flag.startswith("-"):
            break
    return ""


def _unquoted(word: str) -> str:
    try:
        return shlex.split(word)[0]
    except (ValueError, IndexError):
        return word


def _of_conda_run(words: list[str], context: Context) -> Path | None:
    options = dict(_options(words[1:]))
    if prefix := options.get("-p") or options.get("--prefix"):
        return context.cwd / os.path.expanduser(prefix)
    name = options.get("-n") or options.get("--name")
    if name:
        return _environment_of_name(name, words, context, root=options.get("-r") or options.get("--root-prefix") or "")
    active = context.env.get("CONDA_PREFIX")
    return Path(active) if active else next(_roots(words, context, ""), None)


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields the options with their values, up to the command that the launcher starts."""
    rest = iter(words)
    for word in rest:
        if word == "run" or word in _CONDA_FLAGS:
            continue
        if not word.startswith("-"):
            return
        name, has_value, value = word.partition("=")
        if not word.startswith("--") and len(word) > 2 and word[:2] in ("-n", "-p", "-r", "-e"):  # -nNAME
            name, has_value, value = word[:2], "=", word[2:].removeprefix("=")
        yield name, value if has_value else next(rest, "")


def _environment_of_name(name: str, words: list[str], context: Context, root: str = "") -> Path | None:
    """Returns the environment with a name, or None if there is none. If `name` is a path, returns that path."""
    if "/" in name:
        return context.cwd / os.path.expanduser(name)
    roots = list(_roots(words, context, root))
    if name in ("base", "root"):
        return roots[0] if roots else None
    home = Path(context.env.get("HOME") or Path.home())
    listed = (context.env.get("CONDA_ENVS_DIRS") or context.env.get("CONDA_ENVS_PATH") or "").split(os.pathsep)
    folders = [Path(folder) for folder in listed if folder]
    folders += [folder / "envs" for folder in roots]
    folders += [home / place for place in (".conda/envs", "micromamba/envs", ".local/share/mamba/envs")]
    candidates = [folder / name for folder in folders] + _recorded_environments(home, name)
    return next((prefix for prefix in candidates if is_prefix(prefix)), None)


def _recorded_environments(home: Path, name: str) -> list[Path]:
    """Returns the environments with that name in environments.txt, conda's list of all environments that it created."""
    try:
        lines = (home / ".conda/environments.txt").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    return [Path(line.strip()) for line in lines if os.path.basename(line.strip()) == name]


def _roots(words: list[str], context: Context, root: str) -> Iterator[Path]:
    """Yields folders that may be base environments.

    They come from `root` (the launcher's option), from environment variables, and from the path of the conda that runs.
    """
    programs = [word for word in (words[0], context.env.get("CONDA_EXE", "")) if "/" in word]
    programs += re.findall(r"(/\S+)/activate\b", " ".join(words))
    candidates = [root, context.env.get("MAMBA_ROOT_PREFIX", ""), context.env.get("CONDA_ROOT", "")]
    for program in programs:
        folder = Path(program).parent
        candidates.append(str(folder.parent if folder.name in ("bin", "condabin") else folder))
        candidates.append(str(Path(program).resolve().parent.parent))
    for candidate in candidates:
        if candidate and os.path.isdir(context.cwd / candidate):
            yield context.cwd / candidate


def pixi_environment(words: Sequence[str], context: Context) -> Path | None:
    """Returns the environment of ``pixi run``, or None if there is no project.

    The project is that of the manifest in the options or variables, else the nearest one at or above the working
    directory.
    """
    options = dict(_options([word for word in words if word not in ("--locked", "--frozen", "--as-is")]))
    manifest = options.get("--manifest-path") or options.get("-m") or context.env.get("PIXI_PROJECT_MANIFEST") or ""
    name = options.get("-e") or options.get("--environment") or context.env.get("PIXI_ENVIRONMENT_NAME") or "default"
    if manifest:
        path = context.cwd / os.path.expanduser(manifest)
        projects = [path if path.is_dir() else path.parent]
    else:
        projects = [folder for folder in (context.cwd, *context.cwd.parents) if (folder / ".pixi/envs").is_dir()]
    return projects[0] / ".pixi/envs" / name if projects else None
