"""Launch variables: the environment variables of a kernel that lead it to files outside of its environment.

They are kept as texts ``NAME=VALUE``. Options of the interpreter are written as the variables with the same effect.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

PURPOSES: Mapping[str, str] = {
    "PYTHONSTARTUP": "a script that Python and IPython run first",
    "R_HOME": "R",
    "R_LIBS": "R packages",
    "R_LIBS_SITE": "R packages",
    "R_LIBS_USER": "R packages",
    "R_PROFILE_USER": "a script that R runs first",
    "R_ENVIRON_USER": "settings of R",
    "JULIA_DEPOT_PATH": "Julia packages",
    "JULIA_LOAD_PATH": "Julia packages",
    "JULIA_PROJECT": "a Julia project",
    "JUPYTER_PATH": "kernels and extensions of Jupyter",
    "LD_LIBRARY_PATH": "shared libraries",
    "LD_PRELOAD": "shared libraries",
    "GDAL_DATA": "data of GDAL",
    "GDAL_DRIVER_PATH": "plugins of GDAL",
    "PROJ_DATA": "data of PROJ",
    "PROJ_LIB": "data of PROJ",
    "PERL5LIB": "Perl modules",
    "NODE_PATH": "Node modules",
}
"""The variables that name files or folders which a program of an environment reads, and what these contain.

Python's own search path is not here: `import_paths` follows it.
"""

_IMPORT = ("PYTHONPATH", "PYTHONNOUSERSITE", "PYTHONUSERBASE", "IPYTHONDIR", "HOME")
_NAMES = frozenset((*_IMPORT, *PURPOSES))


def of_shell() -> tuple[str, ...]:
    """Returns the launch variables of this process, which a kernel that it starts would inherit."""
    return launch_variables((), os.environ, Path.cwd())


def of_process(pid: int) -> tuple[str, ...]:
    """Returns the launch variables of a running kernel. Raises OSError for the process of another user.

    If the process is not a Python, for example ``conda run``, those of the first Python that it has started.
    """
    from jupyter_condabuild.conda.prefix.launchers import PYTHON  # a build asks for no kernel
    from jupyter_condabuild.system.running_process import RunningProcess

    processes = [RunningProcess.read(pid)]
    chosen = processes[0]
    for process in processes:  # the list grows
        if process.argv and PYTHON.fullmatch(os.path.basename(process.argv[0])):
            chosen = process
            break
        for child in process.children:
            with suppress(OSError):  # it has ended, or belongs to another user
                processes.append(RunningProcess.read(child))
    return launch_variables(chosen.argv, chosen.variables, chosen.folder)


def of_kernelspec(spec: Mapping[str, Any], variables: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Returns the launch variables that a kernel of a kernelspec would have.

    Args:
        spec: the JSON object of kernel.json.
        variables: the variables that the kernel would inherit. Default: those of this process.
    """
    from jupyter_condabuild.conda.prefix.kernel import filled

    inherited = os.environ if variables is None else variables
    own = {str(name): str(value) for name, value in (spec.get("env") or {}).items()}
    argv = [str(word) for word in spec.get("argv") or ()]
    return launch_variables(argv, {**inherited, **filled(own, inherited)}, Path.cwd())


def launch_variables(argv: Sequence[str], variables: Mapping[str, str], cwd: Path) -> tuple[str, ...]:
    """Returns the launch variables of a program, sorted by name.

    Source: docs.python.org/3/using/cmdline.html, for the options -I, -E and -s.

    Args:
        argv: the command line of the program.
        variables: all variables of the program.
        cwd: the working folder of the program. Relative paths of PYTHONPATH start there.
    """
    chosen = {name: value for name, value in variables.items() if name in _NAMES and value}
    options = _options(argv)
    if options & {"I", "E"}:
        chosen = {name: value for name, value in chosen.items() if not name.startswith("PYTHON")}
    if options & {"I", "s", "S"}:
        chosen["PYTHONNOUSERSITE"] = "1"
    if "PYTHONPATH" in chosen:
        folders = [os.path.normpath(cwd / entry) for entry in chosen["PYTHONPATH"].split(os.pathsep) if entry]
        chosen["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(folders))
    return tuple(f"{name}={value}" for name, value in sorted(chosen.items()))


def _options(argv: Sequence[str]) -> set[str]:
    """Returns the letters of the options in the command line of a Python interpreter; none for another program."""
    found: set[str] = set()
    if not argv:
        return found
    from jupyter_condabuild.conda.prefix.launchers import PYTHON

    if not PYTHON.fullmatch(os.path.basename(argv[0])):
        return found
    words = iter(argv[1:])
    for word in words:
        if not word.startswith("-") or word in ("-", "--"):
            break
        if word.startswith("--"):
            continue
        for position, letter in enumerate(word[1:], 1):
            found.add(letter)
            if letter in "cm":
                return found
            if letter in "WX":
                if position == len(word) - 1:
                    with suppress(StopIteration):
                        next(words)
                break
    return found
