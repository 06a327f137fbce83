"""From a kernelspec or a running kernel to the conda environment that its interpreter lies in."""

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

_PYTHON = re.compile(r"i?python[\d.]*t?")
_NOT_OF_THE_ROOT = ("envs", "pkgs", ".pixi")  # what lies in a base environment's folder without being part of it


def prefix_of_kernelspec(
    spec: Mapping[str, Any] | Path,
    env: Mapping[str, str] | None = None,
    *,
    cwd: Path | None = None,
    server_python: str = sys.executable,
) -> Path:
    """The prefix that a kernel of this kernelspec would run in; raises NotACondaKernel.

    Args:
        spec: what kernel.json says, or its path or folder.
        env: the environment variables that the kernel would inherit; default this process's.
        cwd: where the kernel would start, as pixi looks for its manifest from there.
        server_python: what ``python`` in a kernelspec stands for (jupyter_client puts its own interpreter there).
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
    """The prefix that a command line runs in: its program's, or the one that its launcher was told.

    Args:
        env: the variables that the program sees; PATH finds it.
        hints: those set for this program alone, whose CONDA_PREFIX and PATH count where the program itself is in no
            environment, such as a wrapper script. Default: `env`.
    """
    context = Context(env, cwd or Path.cwd())
    launched = launchers.unwrap(argv, context)
    if launched.launcher:
        return _checked(launched.prefix, launched.launcher)
    program = _located(launched, context)
    if program is not None and (prefix := _prefix_of_program(program)):
        return prefix
    if program is not None and _PYTHON.fullmatch(program.name):  # it runs this interpreter, whatever variables say
        raise NotACondaKernel(f"The kernel's interpreter {program} is in no conda environment.")
    if prefix := _prefix_of_variables(env if hints is None else hints):
        return prefix
    if program is None:
        raise NotACondaKernel(f"The kernel's program {launched.argv[0] if launched.argv else '(none)'} was not found.")
    raise NotACondaKernel(f"The kernel's program {program} is in no conda environment.")


def prefix_of_process(pid: int) -> Path:
    """The prefix that a running kernel's interpreter lies in; a launcher's children are looked at too."""
    refusal: NotACondaKernel | None = None
    queue = deque([pid])
    while queue:
        process = queue.popleft()
        try:
            return _prefix_of_one_process(process)
        except NotACondaKernel as error:
            if refusal is None or _is_more_telling(error, refusal):
                refusal = error
        except OSError as error:
            refusal = refusal or NotACondaKernel(f"Process {process} cannot be looked at: {error.strerror}.")
        queue.extend(_children(process))
    raise refusal or NotACondaKernel(f"Process {pid} is not running.")


def _prefix_of_one_process(pid: int) -> Path:
    proc = Path("/proc") / str(pid)
    argv = [os.fsdecode(word) for word in (proc / "cmdline").read_bytes().split(b"\0")[:-1]]
    env = dict(os.fsdecode(pair).split("=", 1) for pair in (proc / "environ").read_bytes().split(b"\0") if b"=" in pair)
    executable = Path(os.readlink(proc / "exe").removesuffix(" (deleted)"))
    cwd = Path(os.readlink(proc / "cwd"))
    launched = launchers.unwrap(argv, Context(env, cwd))
    if launched.launcher:
        return _checked(launched.prefix, launched.launcher)
    # argv[0] tells a virtual environment from its conda Python; the executable is what really runs.
    for program in (_located(launched, Context(env, cwd)), executable):
        if (
            program is not None
            and program.resolve() == executable.resolve()
            and (prefix := _prefix_of_program(program))
        ):
            return prefix
    raise NotACondaKernel(f"The kernel runs {executable}, which is in no conda environment.")


def _is_more_telling(error: NotACondaKernel, known: NotACondaKernel) -> bool:
    return "python" in error.message.lower() and "python" not in known.message.lower()


def _children(pid: int) -> list[int]:
    try:
        tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return sorted(int(child) for task in tasks for child in task.split())


def _located(launched: Launched, context: Context) -> Path | None:
    """The program's absolute path, symbolic links unresolved; None where there is no such program."""
    if not launched.argv:
        return None
    word = os.path.expanduser(launched.argv[0])
    found = shutil.which(word if "/" not in word else str(context.cwd / word), path=context.env.get("PATH", os.defpath))
    return Path(os.path.abspath(found)) if found else None


def _prefix_of_program(program: Path) -> Path | None:
    """Up from the program to conda-meta: as it is called, then as its symbolic links lead."""
    called = _enclosing(program)
    led = _enclosing(program.resolve())
    if called and led and called.resolve() != led.resolve() and _PYTHON.fullmatch(program.name):
        return led  # a link to another environment's Python: Python takes the place that it leads to
    return called or led


def _enclosing(program: Path) -> Path | None:
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
        return NotACondaKernel(f"The kernel's interpreter {program} is a virtual environment without conda.")
    return NotACondaKernel(
        f"The kernel's interpreter {program} is a virtual environment on top of the conda environment {base}, "
        "whose image would lack the packages of the virtual environment.",
        f"Install the packages in a conda environment, or build {base} alone by naming it.",
    )


def _prefix_of_variables(variables: Mapping[str, str]) -> Path | None:
    candidates = [variables.get("CONDA_PREFIX", "")]
    candidates += [
        os.path.dirname(entry) for entry in variables.get("PATH", "").split(os.pathsep) if entry[-4:] == "/bin"
    ]
    return next((Path(path) for path in candidates if path and "$" not in path and is_prefix(Path(path))), None)


def _checked(prefix: Path | None, launcher: str) -> Path:
    if prefix is None:
        raise NotACondaKernel(f"The kernel is started by {launcher}, whose environment was not found.")
    if not is_prefix(prefix):
        raise NotACondaKernel(f"The kernel is started by {launcher} in {prefix}, which is not a conda environment.")
    return prefix


def _expanded(own: Mapping[str, str], inherited: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """jupyter_client fills ``${NAME}`` in a kernelspec's variables from the server's."""
    for name, value in own.items():
        yield name, re.sub(r"\$\{(\w+)\}", lambda match: inherited.get(match[1], ""), value)


def _kernel_json(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise NotACondaKernel(f"Cannot read the kernelspec {path}: {error.strerror}.") from None
    except ValueError:
        raise NotACondaKernel(f"The kernelspec {path} is not valid JSON.") from None
    if not isinstance(value, Mapping):
        raise NotACondaKernel(f"The kernelspec {path} is not a JSON object.")
    return value
