"""Bytecode for Python modules that came without: as conda compiles noarch packages, but the same bytes every time.

Source: PEP 552 for the header; importlib._bootstrap_external for the time-stamped form that conda installs have.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_COMPILE = """
import importlib.util, json, os, sys
from importlib._bootstrap_external import _code_to_timestamp_pyc

def compile_all(job):
    done = []
    with open(job["target"], "ab") as out:
        for path, source in job["modules"]:
            try:
                with open(source, "rb") as file:
                    text = file.read()
                code = compile(text, job["prefix"] + "/" + path, "exec", dont_inherit=True)
                data = _code_to_timestamp_pyc(code, job["mtime"], len(text))
            except Exception:
                continue
            done.append((importlib.util.cache_from_source(path, optimization=""), out.tell(), len(data)))
            out.write(data)
    return done

for line in sys.stdin.buffer:
    child = os.fork()
    if not child:
        try:
            done = compile_all(json.loads(line))
        except OSError as error:
            os._exit(error.errno)
        json.dump(done, sys.stdout)
        sys.stdout.flush()
        os._exit(0)
    os.write(1, b"\\n%d\\n" % os.waitpid(child, 0)[1])
"""

_TESTS = frozenset(("test", "tests"))
_FULL = (errno.ENOSPC, errno.EDQUOT)


def uncompiled(paths: Iterable[str]) -> list[str]:
    """Those of a package's paths that are modules in site-packages without bytecode beside them, sorted.

    Test suites are left out, which conda compiles: nobody's program imports them, and they are a third of the work.
    """
    paths = set(paths)
    compiled = {source_of(path) for path in paths if path.endswith(".pyc")}
    modules = (path for path in paths if path.endswith(".py") and "/site-packages/" in path)
    return sorted(path for path in modules if path not in compiled and not _TESTS.intersection(path.split("/")))


def source_of(pyc: str) -> str:
    """The module that bytecode is of: ``a/__pycache__/b.c.cpython-311.opt-1.pyc`` is ``a/b.c.py``'s (PEP 3147, 488)."""
    folder, _, name = pyc.removesuffix(".pyc").rpartition("/")
    if folder.rpartition("/")[2] != "__pycache__":
        return f"{folder}/{name}.py"
    module, _, tag = name.rpartition(".")
    if tag.startswith("opt-"):
        module = module.rpartition(".")[0]
    return f"{folder.removesuffix('__pycache__')}{module}.py"


def source_time(pyc: Path | str) -> int | None:
    """The time (seconds since the epoch) that bytecode gives its source; None where it names none, or is not there."""
    try:
        with open(pyc, "rb", buffering=0) as file:
            header = file.read(16)
    except OSError:
        return None
    timed = len(header) == 16 and header[4:8] == bytes(4)
    return int.from_bytes(header[8:12], "little") if timed else None


class Bytecode(NamedTuple):
    """A module's bytecode: its path relative to the prefix, and where in the file of a package's bytecode it lies."""

    path: str
    offset: int
    size: int


class Compiler:
    """The environment's own interpreter, which compiles the modules of one package after another.

    What Python writes for a module depends on what it has compiled before (marshal's references follow its string
    table). So each package is compiled by a fork of an interpreter that never compiled anything, without site and with
    a fixed hash seed: the same bytes every time, and it starts but once. A context manager.
    """

    def __init__(self, python: Path) -> None:
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Compiler:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def compile(self, sources: Mapping[str, str], target: Path, prefix: str, mtime: int) -> list[Bytecode]:
        """Compiles modules to the end of one file, where nothing else is written meanwhile.

        Args:
            sources: a module's path relative to the prefix, to the file that holds its source.
            target: thousands of small files would take longer to make and to remove than all else.
            prefix: where the code is told that it lies.
            mtime: the time (seconds since the epoch) that the sources will have there.

        A module that does not compile (a template, Python 2) is left out, as conda does. Raises OSError or
        subprocess.CalledProcessError when the interpreter cannot be run.
        """
        job = {"modules": list(sources.items()), "target": str(target), "prefix": prefix, "mtime": mtime}
        process = self._process = self._process or self._start()
        assert process.stdin
        assert process.stdout
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
        done, status = process.stdout.readline(), process.stdout.readline()
        if status != b"0\n":
            ended = int(status) if status else process.wait()
            if status and (number := os.waitstatus_to_exitcode(ended)) in _FULL:
                raise OSError(number, os.strerror(number), str(target))
            raise subprocess.CalledProcessError(ended, str(self._python))
        return [Bytecode(*part) for part in json.loads(done)]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(self._python), "-S", "-s", "-B", "-c", _COMPILE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"},
            cwd="/",
        )


def compile_modules(python: Path, sources: Mapping[str, str], target: Path, prefix: str, mtime: int) -> list[Bytecode]:
    """Compiles the modules of one package, or of an overlay, as `Compiler.compile` does."""
    with Compiler(python) as compiler:
        return compiler.compile(sources, target, prefix, mtime)
