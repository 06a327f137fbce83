"""Launchers: programs such as ``conda run``, which start another program inside an environment.

The command line of a launcher says which environment it uses.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path

from jupyter_condabuild.files import read_regular

SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "cmd.exe", "powershell.exe", "pwsh.exe"))
PYTHON = re.compile(r"pythonw?[\d.]*t?(?:\.exe)?", re.IGNORECASE)
"""The names of Python's program, also those of Windows and of macOS's frameworks."""

PROGRAMS = frozenset(("bin", "Scripts"))
"""The folder of an environment with its programs; on Windows, ``python.exe`` is in the environment itself."""

PROJECT_TOOLS = frozenset(("uv", "uvx", "poetry", "pipenv", "hatch", "pdm", "rye"))
"""Programs that select an environment when they start a program. Usually it is a virtual environment."""

REMOTE_TOOLS = frozenset(
    ("docker", "podman", "nerdctl", "apptainer", "singularity", "enroot", "kubectl", "srun", "ssh", "shifter")
)
"""Programs that start a program in a container or on another machine."""

WRAPPERS = frozenset(
    ("tini", "dumb-init", "catatonit", "nice", "ionice", "chrt", "taskset", "numactl", "timeout", "time", "stdbuf",
     "nohup", "setsid", "strace", "sudo", "xvfb-run")
)  # fmt: skip
"""Programs that start the program in their arguments with the same variables."""

_ACTIVATE = re.compile(
    r"(?:^|[;&|\s])(?:conda|mamba|micromamba|source|\.)[ \t]+(?:\S*/)?activate[ \t]+(?P<target>[^\s;&|]+)"
)
_MOST_SCRIPT = 1 << 20
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
    environment is not found. Otherwise `launcher` is empty, and `argv` is the command. `is_shell` says whether the
    launcher is a shell, which may run any program.
    """

    argv: tuple[str, ...]
    launcher: str = ""
    prefix: Path | None = None
    is_shell: bool = False


def is_prefix(folder: Path) -> bool:
    """Whether the folder is a conda environment."""
    return os.path.isdir(folder / "conda-meta")


def unwrap(argv: Sequence[str], context: Context) -> Launched:
    """Removes ``env`` and Python scripts from a command line, and finds the launcher and its environment.

    The launchers are conda run, nb_conda_kernels, pixi run, a shell that activates an environment, and the programs of
    `PROJECT_TOOLS` and `REMOTE_TOOLS`. A Python script is replaced by its interpreter: ``ipython kernel`` becomes
    ``/path/of/python /path/of/ipython kernel``.
    """
    words = list(argv)
    while words:
        name = os.path.basename(words[0])
        name = name if name in SHELLS else name.removesuffix(".exe")
        if name == "env":
            words = _after_env(words)
        elif name in WRAPPERS:
            words = _after_options(words, context)
        elif PYTHON.fullmatch(name) and len(words) > 1 and _is_launcher(os.path.basename(words[1])):
            words = words[1:]  # the kernel of Linux writes a script's interpreter before the path of the script
        elif name in ("conda", "mamba", "micromamba") and "run" in words[1:]:
            return Launched(tuple(words), f"{name} run", _of_conda_run(words, context))
        elif words[1:3] == ["-m", "nb_conda_kernels.runner"] and len(words) > 4:
            return Launched(tuple(words[5:]), "nb_conda_kernels", Path(words[4]))
        elif words[1:3] == ["-m", "conda"] and "run" in words[3:]:
            return Launched(tuple(words), "conda run", _of_conda_run([words[0], *words[3:]], context))
        elif name == "pixi" and "run" in words[1:]:
            return Launched(tuple(words), "pixi run", pixi_environment(words[1:], context))
        elif name in PROJECT_TOOLS | REMOTE_TOOLS:
            return Launched(tuple(words), name)
        elif (script := _script(words, context)) is not None:
            prefix, words = _of_script(script, words, context)
            if prefix or not words:
                return Launched(tuple(argv), name, prefix, is_shell=True)
        elif interpreter := _interpreter(words[0], context):
            words = [*interpreter, *words]
        else:
            break
    return Launched(tuple(words))


def located(word: str, context: Context) -> Path | None:
    """Returns the absolute path of a program, without resolving symbolic links; None if there is no such program.

    A name without a slash is looked for in the PATH of the program's own variables, as subprocess.Popen does.
    """
    word = os.path.expanduser(word)
    name = str(context.cwd / word) if os.path.dirname(word) else word
    path = shutil.which(name, path=context.env.get("PATH", os.defpath))
    return Path(os.path.abspath(context.cwd / path)) if path else None


def _after_options(words: list[str], context: Context) -> list[str]:
    """Returns the command of a wrapper, which begins with its first argument that is a program."""
    starts = (i for i, word in enumerate(words) if i and not word.startswith("-") and located(word, context))
    start = next(starts, len(words))
    return words[start:]


def _is_launcher(name: str) -> bool:
    name = name.removesuffix(".exe")
    return name in ("conda", "mamba", "micromamba", "pixi") or name in PROJECT_TOOLS


def _after_env(words: list[str]) -> list[str]:
    rest = words[1:]
    while rest and (rest[0].startswith("-") or "=" in rest[0]):
        rest = rest[2 if rest[0] in ("-u", "-C", "--unset", "--chdir") else 1 :]
    return rest


def _script(words: list[str], context: Context) -> str | None:
    """Returns the text that a shell runs: TEXT of ``bash -lc TEXT``, or the script. None for other commands.

    A shell script in the bin folder of an environment is a program of the environment, for example R.
    """
    path = located(words[0], context)
    if os.path.basename(words[0]) in SHELLS:
        for flag, text in zip_longest(words[1:], words[2:], fillvalue=""):
            if re.fullmatch(r"-[a-z]*c", flag):
                return text
            if not flag.startswith("-"):
                return _text_of(context.cwd / flag) if flag else ""
        return ""
    if path is None or PYTHON.fullmatch(path.name):
        return None
    if path.parent.name in PROGRAMS and any(is_prefix(folder) for folder in path.parents):
        return None
    text = _text_of(path)
    first, _, rest = text.partition("\n")
    return rest if first.startswith("#!") and SHELLS & set(re.split(r"[/\s]", first)) else None


def _of_script(script: str, words: list[str], context: Context) -> tuple[Path | None, list[str]]:
    """Returns the environment that a script activates, else the command that the script runs if its path is absolute.

    The command is ``exec "$@"``, or the last command of the script.
    """
    script = re.sub(r"^\s*#.*$", "", script, flags=re.MULTILINE)
    targets = [match["target"] for match in _ACTIVATE.finditer(script)]
    if targets:
        return _environment_of_name(_unquoted(targets[-1]), [*words, script], context), []
    command = _last_command(script)
    if command == ["$@"]:
        command = words[2:] if os.path.basename(words[0]) in SHELLS else words[1:]
    return None, command if command and command[0].startswith("/") else []


def _last_command(script: str) -> list[str]:
    """Returns the words of the last command in the last line of a shell script, without ``exec``."""
    lexer = shlex.shlex((script.strip().splitlines() or [""])[-1], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        commands = [list(words) for is_end, words in groupby(lexer, lambda word: set(word) <= set(";&|")) if not is_end]
    except ValueError:
        commands = []
    command = commands[-1] if commands else []
    return command[1:] if command[:1] == ["exec"] else command


def _interpreter(word: str, context: Context) -> list[str]:
    """Returns the command of the Python that runs a script, from the first line of the script; empty for no script."""
    path = located(word, context)
    first = _text_of(path).partition("\n")[0] if path and not PYTHON.fullmatch(path.name) else ""
    try:
        words = shlex.split(first.removeprefix("#!")) if first.startswith("#!") else []
    except ValueError:
        words = []
    is_python = any(PYTHON.fullmatch(os.path.basename(word)) for word in words)
    return words if is_python else []


def _text_of(path: Path) -> str:
    """Returns the content of a script; empty if it is no text, is larger than 1 MiB, or cannot be read."""
    try:
        return read_regular(path, _MOST_SCRIPT, follow=True).decode()
    except (OSError, ValueError):
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
    rest = deque(words)
    while rest:
        word = rest.popleft()
        if word == "run" or word in _CONDA_FLAGS:
            continue
        if not word.startswith("-"):
            return
        name, has_value, value = word.partition("=")
        if not word.startswith("--") and len(word) > 2 and word[:2] in ("-n", "-p", "-r", "-e"):  # -nNAME
            name, has_value, value = word[:2], "=", word[2:].removeprefix("=")
        if not has_value and rest and not rest[0].startswith("-"):
            value = rest.popleft()
        yield name, value


def _environment_of_name(name: str, words: list[str], context: Context, root: str = "") -> Path | None:
    """Returns the environment with a name, or None if there is none. If `name` is a path, returns that path."""
    if os.path.dirname(name):
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
    programs = [word for word in (words[0], context.env.get("CONDA_EXE", "")) if os.path.dirname(word)]
    programs += re.findall(r"(/\S+)/activate\b", " ".join(words))
    candidates = [root, context.env.get("MAMBA_ROOT_PREFIX", ""), context.env.get("CONDA_ROOT", "")]
    for program in programs:
        folder = Path(program).parent
        candidates.append(str(folder.parent if folder.name in (*PROGRAMS, "condabin") else folder))
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
