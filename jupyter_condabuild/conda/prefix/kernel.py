"""Finds the conda environment of a kernelspec: the environment that contains the interpreter of its kernels."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from jupyter_condabuild.conda.prefix import launchers
from jupyter_condabuild.conda.prefix.launchers import PROGRAMS, PYTHON, Context, Launched, is_prefix, located
from jupyter_condabuild.errors import NotACondaKernel
from jupyter_condabuild.files import read_regular

RUNNING_HINT = "Start the kernel and choose the running kernel: its process shows the environment."
_VENV_HINT = (
    "Only conda environments become images. Install the packages in a conda environment (conda, mamba, micromamba or "
    "pixi; pip can add packages there), install ipykernel, and choose its kernel."
)
REMOTE_HINT = "Use this program on the machine, or in the container, in which the kernel runs."
CONTAINER_KERNEL = "jupyter_condabuild.receive.container_kernel"
"""The module that runs a kernel of an image in a container (`jupyter condabuild kernel install`)."""

_MOST_JSON = 4 << 20
_NOT_OF_THE_ROOT = ("envs", "pkgs", ".pixi")  # folders in a prefix that are not part of its environment


def prefix_of_kernelspec(
    spec: Mapping[str, Any] | Path,
    env: Mapping[str, str] | None = None,
    *,
    resource_dir: str = "",
    cwd: Path | None = None,
    server_python: str = sys.executable,
) -> Path:
    """Returns the prefix of the environment that a kernel of this kernelspec would run in. Raises NotACondaKernel.

    Args:
        spec: the JSON object of kernel.json, the path of kernel.json, or the path of its folder.
        env: the environment variables that the kernel would inherit. Default: the variables of this process.
        resource_dir: the folder of a kernelspec that is given as an object.
        cwd: the working directory of the kernel; pixi looks for its manifest from there. Default: that of this process.
        server_python: the interpreter that ``python`` in a kernelspec means.

    Source: jupyter_client 7 and 8, KernelManager.format_kernel_cmd and KernelProvisionerBase.pre_launch.
    """
    if not isinstance(spec, Mapping):
        resource_dir = str(spec if spec.is_dir() else spec.parent)
        spec = _kernel_json(Path(resource_dir) / "kernel.json" if spec.is_dir() else spec)
    inherited = os.environ if env is None else env
    own = {str(name): str(value) for name, value in _members(spec, "env").items()}
    metadata = _members(spec, "metadata")
    if isinstance(path := metadata.get("conda_env_path"), str) and is_prefix(Path(path)):  # nb_conda_kernels
        return Path(path)
    context = Context({**inherited, **filled(own, inherited)}, cwd or Path.cwd())
    provisioner = str(_members(metadata, "kernel_provisioner").get("provisioner_name") or "local-provisioner")
    if "pixi" in provisioner:
        return checked(Launched((), "pixi", launchers.pixi_environment([], context)))
    if provisioner != "local-provisioner":
        raise NotACondaKernel(
            f"The kernelspec has the kernel provisioner {provisioner[:100]!r}, which may start the kernel in a "
            "container or on another machine.",
            f"{RUNNING_HINT} If it runs elsewhere, use this program there.",
        )
    argv = [_without_fields(word, server_python, resource_dir) for word in _words(spec)]
    if argv and argv[0] in _names_of_this_python():
        argv[0] = server_python
    # The PATH of this process says nothing about the kernel.
    hints = filled(own, {name: value for name, value in inherited.items() if name != "PATH"})
    return prefix_of_argv(argv, context.env, cwd=context.cwd, hints=hints)


def _names_of_this_python() -> tuple[str, ...]:
    """Returns the names that jupyter_client replaces with its own interpreter. It looks for other names in PATH."""
    major, minor = sys.version_info[:2]
    return "python", f"python{major}", f"python{major}.{minor}"


def _without_fields(word: str, server_python: str, resource_dir: str) -> str:
    """Fills ``{prefix}`` and ``{resource_dir}`` in a word of argv. Other fields, such as {connection_file}, stay."""
    folder = os.path.dirname(server_python)
    prefix = os.path.dirname(folder) if os.path.basename(folder) in PROGRAMS else folder
    return word.replace("{prefix}", prefix).replace("{resource_dir}", resource_dir)


def filled(own: Mapping[str, str], inherited: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of a kernelspec; ``$NAME`` and ``${NAME}`` are inherited variables, and stay if unknown."""
    return {name: Template(value).safe_substitute(inherited) for name, value in own.items()}


def _words(spec: Mapping[str, Any]) -> list[str]:
    argv = spec.get("argv") or []
    if not isinstance(argv, list):
        raise NotACondaKernel("argv in kernel.json is not a list.", "Correct argv in kernel.json.")
    return [str(word) for word in argv]


def _members(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Returns a member of the kernelspec that is an object; empty if it is missing or is no object."""
    member = value.get(name)
    return member if isinstance(member, Mapping) else {}


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
    if CONTAINER_KERNEL in argv:
        raise in_a_container()
    context = Context(env, cwd or Path.cwd())
    launched = launchers.unwrap(argv, context)
    if launched.launcher and (launched.prefix or not launched.is_shell):
        return checked(launched)
    program = located(launched.argv[0], context) if launched.argv else None
    if program is not None and not launched.is_shell and (prefix := prefix_of_program(program)):
        return prefix
    if program is not None and PYTHON.fullmatch(program.name):  # the variables do not change which interpreter runs
        raise NotACondaKernel(f"The kernel's interpreter {program} is in no conda environment.")
    if prefix := prefix_of_variables(env if hints is None else hints):
        return prefix
    if not launched.argv:
        raise NotACondaKernel("The kernelspec names no program.", "Correct argv in its kernel.json.")
    if program is None:
        raise NotACondaKernel(f"The kernel's program {launched.argv[0][:200]} was not found.")
    if launched.is_shell:
        raise NotACondaKernel(
            f"The kernel is started by the shell script {program}, which does not show the environment."
            if program.name not in launchers.SHELLS
            else f"The kernel is started by a command of {program}, which does not show the environment.",
            RUNNING_HINT,
        )
    raise NotACondaKernel(f"The kernel's program {program} is in no conda environment.")


def in_a_container() -> NotACondaKernel:
    """Returns the error for a kernel of an image."""
    return NotACondaKernel(
        "The kernel runs in a container of an image. Its environment is in the image.",
        "Describe the image with 'jupyter condabuild inspect'. The images of kernels: jupyter condabuild kernel list",
    )


def prefix_of_program(program: Path) -> Path | None:
    """Returns the prefix around the path of a program, else the prefix around the target of its symbolic links.

    Raises NotACondaKernel if the program is in a virtual environment.
    """
    of_path = _enclosing(program)
    of_target = _enclosing(program.resolve())
    if of_path and of_target and of_path.resolve() != of_target.resolve() and PYTHON.fullmatch(program.name):
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
        config = read_regular(folder / "pyvenv.cfg", _MOST_JSON, follow=True).decode(errors="replace")
    except OSError:
        config = ""
    home = re.search(r"^home\s*=\s*(.+?)\s*$", config, re.MULTILINE)
    of_uv = " of uv" if re.search(r"^uv\s*=", config, re.MULTILINE) else ""
    base = _enclosing(Path(home[1]) / "python") if home else None
    if base is None:
        return NotACondaKernel(
            f"The kernel's interpreter {program} is in a virtual environment{of_uv} without conda.", _VENV_HINT
        )
    return NotACondaKernel(
        f"The kernel's interpreter {program} is in a virtual environment{of_uv} on top of the conda environment "
        f"{base}. An image of {base} would lack the packages of the virtual environment.",
        f"Install the packages in a conda environment. To build {base} without them, give its path.",
    )


def prefix_of_variables(variables: Mapping[str, str]) -> Path | None:
    """Returns the prefix that CONDA_PREFIX names, else the first prefix in PATH; None if there is none."""
    candidates = [variables.get("CONDA_PREFIX", "")]
    for entry in variables.get("PATH", "").split(os.pathsep):
        folder, name = os.path.split(entry)
        if name in PROGRAMS:
            candidates.append(folder)
    return next((Path(path) for path in candidates if path and "$" not in path and is_prefix(Path(path))), None)


def checked(launched: Launched) -> Path:
    """Returns the environment of a launcher. Raises NotACondaKernel."""
    launcher, prefix = launched.launcher, launched.prefix
    if launcher in launchers.PROJECT_TOOLS:
        raise NotACondaKernel(
            f"The kernel is started by {launcher}, which selects the environment when the kernel starts. "
            "Usually it is a virtual environment.",
            f"If it is a conda environment, start the kernel and choose the running kernel. Otherwise: {_VENV_HINT}",
        )
    if launcher in launchers.REMOTE_TOOLS:
        raise NotACondaKernel(
            f"The kernel is started by {launcher}, so that it runs in a container or on another machine.", REMOTE_HINT
        )
    if prefix is None:
        raise NotACondaKernel(f"The kernel is started by {launcher}, but the environment of {launcher} was not found.")
    if not is_prefix(prefix):
        raise NotACondaKernel(f"The kernel is started by {launcher} in {prefix}, which is not a conda environment.")
    return prefix


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
