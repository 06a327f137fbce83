"""Finds the conda environment of a kernelspec or of a running kernel: the environment that contains its interpreter."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.prefix import launchers
from jupyter_condabuild.conda.prefix.launchers import Context, Launched, is_prefix
from jupyter_condabuild.errors import NotACondaKernel
from jupyter_condabuild.files import read_regular

_PYTHON = re.compile(r"i?python[\d.]*t?")
_MOST_JSON = 4 << 20
_NOT_OF_THE_ROOT = ("envs", "pkgs", ".pixi")  # folders in a prefix that are not part of its environment


def prefix_of_kernelspec(
    spec: Mapping[str, Any] | Path,
    env: Mapping[str, str] | None = None,
    *,
    cwd: Path | None = None,
    server_python: str = sys.executable,
) -> Path:
    """Returns the prefix of the environment that a kernel of this kernelspec would run in. Raises NotACondaKernel.

    Args:
        spec: the JSON object of kernel.json, the path of kernel.json, or the path of its folder.
        env: the environment variables that the kernel would inherit. Default: the variables of this process.
        cwd: the working directory of the kernel; pixi looks for its manifest from there. Default: that of this process.
        server_python: the interpreter that ``python`` in a kernelspec means (jupyter_client uses its own interpreter).
    """
    folder = ""
    if not isinstance(spec, Mapping):
        folder = str(spec if spec.is_dir() else spec.parent)
        spec = _kernel_json(Path(folder) / "kernel.json" if spec.is_dir() else spec)
    inherited = os.environ if env is None else env
    own = {str(name): str(value) for name, value in (spec.get("env") or {}).items()}
    argv = [str(word).replace("{resource_dir}", folder) for word in spec.get("argv") or ()]
    metadata = spec.get("metadata") or {}
    if isinstance(path := metadata.get("conda_env_path"), str) and is_prefix(Path(path)):  # nb_conda_kernels
        return Path(path)
    context = Context({**inherited, **dict(_expanded(own, inherited))}, cwd or Path.cwd())
    provisioner = (metadata.get("kernel_provisioner") or {}).get("provisioner_name", "")
    if "pixi" in provisioner:
        return _checked(launchers.pixi_environment([], context), "pixi")
    if argv and _PYTHON.fullmatch(argv[0]):
        argv[0] = server_python
    return prefix_of_argv(argv, context.env, cwd=context.cwd, hints=own)


def prefix_of_argv(
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
    hints: Mapping[str, str] | None = None,
) -> Path:
    """Returns the prefix of a command line: the prefix that its launcher names, else the prefix of its program.

    Args:
        env: the environment variables of the program. PATH is used to find the program.
        cwd: the working directory of the program. Default: that of this process.
        hints: the variables that are set for this program alone. Their CONDA_PREFIX and PATH name the prefix if the
            program is in no environment, for example a wrapper script. Default: `env`.

    Raises NotACondaKernel.
    """
    context = Context(env, cwd or Path.cwd())
    launched = launchers.unwrap(argv, context)
    if launched.launcher:
        return _checked(launched.prefix, launched.launcher)
    program = _located(launched, context)
    if program is not None and (prefix := _prefix_of_program(program)):
        return prefix
    if program is not None and _PYTHON.fullmatch(program.name):  # the variables do not change which interpreter runs
        raise NotACondaKernel(f"The kernel's interpreter {program} is in no conda environment.")
    if prefix := _prefix_of_variables(env if hints is None else hints):
        return prefix
    if program is None:
        if not launched.argv:
            raise NotACondaKernel("The kernelspec names no program.", "Correct argv in its kernel.json.")
        raise NotACondaKernel(f"The kernel's program {launched.argv[0][:200]} was not found.")
    raise NotACondaKernel(f"The kernel's program {program} is in no conda environment.")


def prefix_of_process(pid: int) -> Path:
    """Returns the prefix of a running kernel's interpreter. Raises NotACondaKernel.

    If the process itself is in no environment, its child processes are examined: the process may be a launcher.
    """
    refusal: NotACondaKernel | None = None
    queue = deque([pid])
    while queue:
        process = queue.popleft()
        try:
            return _prefix_without_children(process)
        except NotACondaKernel as error:
            if refusal is None or _is_more_telling(error, refusal):
                refusal = error
        except OSError as error:
            refusal = refusal or NotACondaKernel(f"Cannot read /proc/{process}: {error.strerror}.")
        queue.extend(_children(process))
    raise refusal or NotACondaKernel(f"Process {pid} is not running.")


def _prefix_without_children(pid: int) -> Path:
    proc = Path("/proc") / str(pid)
    argv = [os.fsdecode(word) for word in (proc / "cmdline").read_bytes().split(b"\0")[:-1]]
    env = dict(os.fsdecode(pair).split("=", 1) for pair in (proc / "environ").read_bytes().split(b"\0") if b"=" in pair)
    executable = Path(os.readlink(proc / "exe").removesuffix(" (deleted)"))
    cwd = Path(os.readlink(proc / "cwd"))
    launched = launchers.unwrap(argv, Context(env, cwd))
    if launched.launcher:
        return _checked(launched.prefix, launched.launcher)
    # argv[0] may be the link to Python in a virtual environment; the executable is the Python behind that link.
    for program in (_located(launched, Context(env, cwd)), executable):
        if (
            program is not None
            and program.resolve() == executable.resolve()
            and (prefix := _prefix_of_program(program))
        ):
            return prefix
    raise NotACondaKernel(f"The kernel runs {executable}, which is in no conda environment.")


def _is_more_telling(error: NotACondaKernel, earlier: NotACondaKernel) -> bool:
    """Whether an error is about a Python interpreter, and the earlier error is not."""
    return "python" in error.message.lower() and "python" not in earlier.message.lower()


def _children(pid: int) -> list[int]:
    try:
        tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return sorted(int(child) for task in tasks for child in task.split())


def _located(launched: Launched, context: Context) -> Path | None:
    """Returns the absolute path of the program, without resolving symbolic links; None if there is no such program."""
    if not launched.argv:
        return None
    word = os.path.expanduser(launched.argv[0])
    path = shutil.which(word if "/" not in word else str(context.cwd / word), path=context.env.get("PATH", os.defpath))
    return Path(os.path.abspath(path)) if path else None


def _prefix_of_program(program: Path) -> Path | None:
    """Returns the prefix around the path of a program, else the prefix around the target of its symbolic links."""
    of_path = _enclosing(program)
    of_target = _enclosing(program.resolve())
    if of_path and of_target and of_path.resolve() != of_target.resolve() and _PYTHON.fullmatch(program.name):
        return of_target  # Python resolves a link to the Python of another environment, and uses that environment
    return of_path or of_target


def _enclosing(program: Path) -> Path | None:
    """Returns the nearest prefix above a path. Raises NotACondaKernel if the path is in a virtual environment."""
    for folder in program.parents:
        if (folder / "pyvenv.cfg").is_file() and program.parent.parent == folder:
            raise _virtual_environment(folder, program)
        if is_prefix(folder):
            return None if program.relative_to(folder).parts[0] in _NOT_OF_THE_ROOT else folder
    return None


def _virtual_environment(folder: Path, program: Path) -> NotACondaKernel:
    try:
        config = (folder / "pyvenv.cfg").read_text(errors="replace")
    except OSError:
        config = ""
    home = re.search(r"^home\s*=\s*(.+?)\s*$", config, re.MULTILINE)
    base = _enclosing(Path(home[1]) / "python") if home else None
    if base is None:
        return NotACondaKernel(f"The kernel's interpreter {program} is in a virtual environment without conda.")
    return NotACondaKernel(
        f"The kernel's interpreter {program} is in a virtual environment on top of the conda environment {base}. "
        f"An image of {base} would lack the packages of the virtual environment.",
        f"Install the packages in a conda environment. To build {base} without them, give its path.",
    )


def _prefix_of_variables(variables: Mapping[str, str]) -> Path | None:
    candidates = [variables.get("CONDA_PREFIX", "")]
    candidates += [
        os.path.dirname(entry) for entry in variables.get("PATH", "").split(os.pathsep) if entry[-4:] == "/bin"
    ]
    return next((Path(path) for path in candidates if path and "$" not in path and is_prefix(Path(path))), None)


def _checked(prefix: Path | None, launcher: str) -> Path:
    if prefix is None:
        raise NotACondaKernel(f"The kernel is started by {launcher}, but the environment of {launcher} was not found.")
    if not is_prefix(prefix):
        raise NotACondaKernel(f"The kernel is started by {launcher} in {prefix}, which is not a conda environment.")
    return prefix


def _expanded(own: Mapping[str, str], inherited: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields a kernelspec's variables; like jupyter_client, replaces ``${NAME}`` with the inherited variable."""
    for name, value in own.items():
        yield name, re.sub(r"\$\{(\w+)\}", lambda match: inherited.get(match[1], ""), value)


def _kernel_json(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(read_regular(path, _MOST_JSON, follow=True))
    except OSError as error:
        raise NotACondaKernel(f"Cannot read the kernelspec {path}: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise NotACondaKernel(f"The kernelspec {path} is not valid JSON.") from None
    if not isinstance(value, Mapping):
        raise NotACondaKernel(f"The kernelspec {path} is not a JSON object.")
    return value
