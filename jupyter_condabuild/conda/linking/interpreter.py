"""The interpreter that compiles the modules of packages: the environment's, in a sandbox or not, or our own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jupyter_condabuild.conda import sandbox
from jupyter_condabuild.conda.linking.bytecode import Compiler
from jupyter_condabuild.conda.linking.sandboxed_compiler import SandboxedCompiler
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.system import process_tree

Compiling = Literal["environment", "sandbox", "own", "never"]
"""Which interpreter compiles: the environment's, the environment's in a sandbox, our own, or none."""


@dataclass(frozen=True)
class Interpreter:
    """A Python program, whether it runs in a sandbox, and in how many processes it compiles at the same time."""

    python: Path
    sandboxed: bool = False
    at_once: int = 1

    def compiler(self) -> Compiler:
        """Returns a compiler that runs this interpreter. It must be entered before it is used."""
        kind = SandboxedCompiler if self.sandboxed else Compiler
        return kind(self.python, self.at_once)


def chosen(compiling: Compiling, environments: Path | None) -> Interpreter | None:
    """Returns the interpreter that compiles, or None if nothing is compiled.

    Args:
        environments: the environment's interpreter; None if the environment has none.
    """
    if environments is None or compiling == "never":
        return None
    if compiling == "own":
        return Interpreter(Path(sys.executable))
    return Interpreter(environments, sandboxed=compiling == "sandbox")


def for_foreign_packages() -> Compiling:
    """Returns how modules are compiled if somebody else chose the packages: in a sandbox, if there is one."""
    return "sandbox" if sandbox.available() else "environment"


def is_like_ours(python: CondaPackage) -> bool:
    """Returns whether our own interpreter makes bytecode with the magic number of the environment's interpreter.

    CPython changes the magic number only between feature releases, and before their first release candidate.
    A `Compiler` needs an interpreter that can fork. Source: cpython, Lib/importlib/_bootstrap_external.py, the comment
    above MAGIC_NUMBER.
    """
    ours = sys.version_info
    released = python.version.replace(".", "").isdecimal() and ours.releaselevel == "final"
    is_cpython = sys.implementation.name == "cpython" and "pypy" not in python.build and process_tree.CAN_FORK
    return is_cpython and released and python.version.split(".")[:2] == [str(ours.major), str(ours.minor)]
