"""Finds the conda environment of a running kernel: the environment that contains the interpreter of its process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jupyter_condabuild.conda.prefix import launchers
from jupyter_condabuild.conda.prefix.kernel import (
    CONTAINER_KERNEL,
    REMOTE_HINT,
    checked,
    in_a_container,
    prefix_of_program,
    prefix_of_variables,
)
from jupyter_condabuild.conda.prefix.launchers import PYTHON, Context, Launched, located
from jupyter_condabuild.errors import NotACondaKernel
from jupyter_condabuild.system.running_process import RunningProcess

_WAITING = launchers.SHELLS | launchers.WRAPPERS


def prefix_of_process(pid: int, inherited: Mapping[str, str] = os.environ) -> Path:
    """Returns the prefix of a running kernel's interpreter. Raises NotACondaKernel.

    The process says which interpreter runs; the kernelspec does not. If the process is a launcher, for example
    ``conda run`` or a shell, the processes that it has started are examined first.

    Args:
        inherited: the environment variables of the process that has started the kernel.
    """
    prefix = _examined(pid, inherited).prefix
    if isinstance(prefix, NotACondaKernel):
        raise prefix
    return prefix


@dataclass(frozen=True)
class _Finding:
    """The prefix of a process, or the error that says why there is none.

    `sure` says whether the process is certainly the kernel, so that the processes that it has started do not matter.
    """

    prefix: Path | NotACondaKernel
    sure: bool


def _examined(pid: int, inherited: Mapping[str, str]) -> _Finding:
    try:
        process = RunningProcess.read(pid)
    except ProcessLookupError:
        return _Finding(NotACondaKernel(f"Process {pid} is not running."), False)
    except OSError as error:
        return _Finding(NotACondaKernel(f"Process {pid} cannot be examined: {error.strerror}."), False)
    if CONTAINER_KERNEL in process.argv:
        return _Finding(in_a_container(), True)
    kernel = _Kernel(process)
    launched = launchers.unwrap(process.argv, kernel.context)
    is_launcher = bool(launched.launcher) or process.executable.name in _WAITING
    own = kernel.finding(launched, inherited) if not is_launcher else None
    if own and own.sure:
        return own
    started = [_examined(child, inherited) for child in process.children]
    if sure := next((finding for finding in started if finding.sure), None):
        return sure
    if launched.launcher and (launched.prefix or not launched.is_shell):
        return _Finding(_prefix_or_error(launched), False)
    return own or next(iter(started), kernel.finding(launched, inherited))


@dataclass(frozen=True)
class _Kernel:
    """A process that may be the kernel."""

    process: RunningProcess

    @property
    def context(self) -> Context:
        """The variables and the working folder of the process."""
        return Context(self.process.variables, self.process.folder)

    def finding(self, launched: Launched, inherited: Mapping[str, str]) -> _Finding:
        """Returns the environment of the program of this process."""
        if self.process.sees_other_files:
            return _Finding(
                NotACondaKernel(
                    f"The kernel runs in a container: its program {self.process.executable} is not the file of this "
                    "name here.",
                    REMOTE_HINT,
                ),
                True,
            )
        try:
            if prefix := self._prefix_of_program(launched):
                return _Finding(prefix, True)
        except NotACondaKernel as virtual_environment:
            return _Finding(virtual_environment, True)
        is_python = bool(PYTHON.fullmatch(self.process.executable.name))
        if not is_python and (prefix := prefix_of_variables(self._own_variables(inherited))):
            return _Finding(prefix, False)
        refusal = NotACondaKernel(f"The kernel runs {self.process.executable}, which is in no conda environment.")
        return _Finding(refusal, is_python and any("ipykernel" in word for word in self.process.argv))

    def _prefix_of_program(self, launched: Launched) -> Path | None:
        # argv[0] may be the link to Python in a virtual environment; the executable is the Python behind that link.
        named = located(launched.argv[0], self.context) if launched.argv else None
        for program in (named, self.process.executable):
            is_this = program is not None and program.resolve() == self.process.executable.resolve()
            if program is not None and is_this and (prefix := prefix_of_program(program)):
                return prefix
        return None

    def _own_variables(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Returns the variables that this process has not inherited; of PATH only the folders that are new in it."""
        own = {name: value for name, value in self.context.env.items() if inherited.get(name) != value}
        known = inherited.get("PATH", "").split(os.pathsep)
        new = [folder for folder in own.get("PATH", "").split(os.pathsep) if folder not in known]
        return {**own, "PATH": os.pathsep.join(new)}


def _prefix_or_error(launched: Launched) -> Path | NotACondaKernel:
    try:
        return checked(launched)
    except NotACondaKernel as error:
        return error
