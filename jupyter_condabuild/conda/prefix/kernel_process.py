"""Finds the conda environment of a running kernel: the environment that contains the interpreter of its process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jupyter_condabuild.conda.prefix import launchers
from jupyter_condabuild.conda.prefix.kernel import REMOTE_HINT, checked, prefix_of_program, prefix_of_variables
from jupyter_condabuild.conda.prefix.launchers import PYTHON, Context, Launched, located
from jupyter_condabuild.errors import NotACondaKernel

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
        process = _Process.read(pid)
    except OSError as error:
        reason = "is not running" if not Path(f"/proc/{pid}").exists() else f"cannot be examined: {error.strerror}"
        return _Finding(NotACondaKernel(f"Process {pid} {reason}."), False)
    launched = launchers.unwrap(process.argv, process.context)
    is_launcher = bool(launched.launcher) or process.executable.name in _WAITING
    own = process.finding(launched, inherited) if not is_launcher else None
    if own and own.sure:
        return own
    started = [_examined(child, inherited) for child in children_of(pid)]
    if kernel := next((finding for finding in started if finding.sure), None):
        return kernel
    if launched.launcher and (launched.prefix or not launched.is_shell):
        return _Finding(_prefix_or_error(launched), False)
    return own or next(iter(started), process.finding(launched, inherited))


@dataclass(frozen=True)
class _Process:
    """A process as /proc shows it. Source: proc(5)."""

    folder: Path
    argv: tuple[str, ...]
    context: Context
    executable: Path

    @classmethod
    def read(cls, pid: int) -> _Process:
        """Raises OSError if the process has ended, or belongs to another user."""
        folder = Path(f"/proc/{pid}")
        argv = [os.fsdecode(word) for word in (folder / "cmdline").read_bytes().split(b"\0")[:-1]]
        pairs = [pair for pair in (folder / "environ").read_bytes().split(b"\0") if b"=" in pair]
        env = dict(os.fsdecode(pair).split("=", 1) for pair in pairs)
        executable = Path(os.readlink(folder / "exe").removesuffix(" (deleted)"))
        return cls(folder, tuple(argv), Context(env, Path(os.readlink(folder / "cwd"))), executable)

    def finding(self, launched: Launched, inherited: Mapping[str, str]) -> _Finding:
        """Returns the environment of the program of this process."""
        if self._is_in_a_container():
            return _Finding(
                NotACondaKernel(
                    f"The kernel runs in a container: its program {self.executable} is not the file of this name here.",
                    REMOTE_HINT,
                ),
                True,
            )
        try:
            if prefix := self._prefix_of_program(launched):
                return _Finding(prefix, True)
        except NotACondaKernel as virtual_environment:
            return _Finding(virtual_environment, True)
        is_python = bool(PYTHON.fullmatch(self.executable.name))
        if not is_python and (prefix := prefix_of_variables(self._own_variables(inherited))):
            return _Finding(prefix, False)
        refusal = NotACondaKernel(f"The kernel runs {self.executable}, which is in no conda environment.")
        return _Finding(refusal, is_python and any("ipykernel" in word for word in self.argv))

    def _prefix_of_program(self, launched: Launched) -> Path | None:
        # argv[0] may be the link to Python in a virtual environment; the executable is the Python behind that link.
        named = located(launched.argv[0], self.context) if launched.argv else None
        for program in (named, self.executable):
            is_this = program is not None and program.resolve() == self.executable.resolve()
            if program is not None and is_this and (prefix := prefix_of_program(program)):
                return prefix
        return None

    def _own_variables(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Returns the variables that this process has not inherited; of PATH only the folders that are new in it."""
        own = {name: value for name, value in self.context.env.items() if inherited.get(name) != value}
        known = inherited.get("PATH", "").split(os.pathsep)
        new = [folder for folder in own.get("PATH", "").split(os.pathsep) if folder not in known]
        return {**own, "PATH": os.pathsep.join(new)}

    def _is_in_a_container(self) -> bool:
        """Whether the path of the executable names another file in the mount namespace of this process."""
        try:
            if os.readlink(self.folder / "ns/mnt") == os.readlink("/proc/self/ns/mnt"):
                return False
            return not os.path.samefile(self.folder / "exe", self.executable)
        except FileNotFoundError:
            return True
        except OSError:
            return False


def _prefix_or_error(launched: Launched) -> Path | NotACondaKernel:
    try:
        return checked(launched)
    except NotACondaKernel as error:
        return error


def children_of(pid: int) -> list[int]:
    """Returns the processes that a process has started; none if it has ended, or belongs to another user."""
    try:
        tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return sorted(int(child) for task in tasks for child in task.split())
