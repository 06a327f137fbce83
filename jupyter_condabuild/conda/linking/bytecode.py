"""Bytecode for Python modules that came without: as conda compiles noarch packages, but the same bytes every time.

Source: PEP 552 for the header; importlib._bootstrap_external for the time-stamped form that conda installs have.
"""

from __future__ import annotations

import errno
import marshal
import os
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_COMPILE = """
import marshal, os, sys
from importlib._bootstrap_external import _code_to_timestamp_pyc, cache_from_source

def compile_part(job, modules, target):
    done = []
    with open(target, "wb") as out:
        for path, source in modules:
            try:
                with open(source, "rb") as file:
                    text = file.read()
                code = compile(text, job["prefix"] + "/" + path, "exec", dont_inherit=True)
                data = _code_to_timestamp_pyc(code, job["mtime"], len(text))
            except Exception:
                continue
            done.append((cache_from_source(path, optimization=""), target, out.tell(), len(data)))
            out.write(data)
    return done

def start(job, modules, target):
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        return child, open(read, "rb")
    try:
        with open(write, "wb") as answer:
            marshal.dump(compile_part(job, modules, target), answer, 2)
    except OSError as error:
        os._exit(error.errno)
    os._exit(0)

AT_ONCE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

def end(child, answer):
    with answer:
        text = answer.read()
    status = os.waitpid(child, 0)[1]
    return status, [] if status else marshal.loads(text)

while True:
    try:
        job = marshal.load(sys.stdin.buffer)
    except EOFError:
        break
    running, done = [], []
    for number, modules in enumerate(job["parts"]):
        if len(running) == AT_ONCE:
            done.append(end(*running.pop(0)))
        running.append(start(job, modules, "%s.%d" % (job["target"], number)))
    done += [end(*one) for one in running]
    marshal.dump(done, sys.stdout.buffer, 2)
    sys.stdout.buffer.flush()
"""

_PARTS, _PART = 8, 128 << 10
"""Modules are compiled in about so many parts of at least so many bytes. All processors get some, and each part has a
process of its own, so that the cut is a part of what decides the bytes: it must not depend on the machine."""

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
    """A module's bytecode: its path relative to the prefix, and where in which file it lies."""

    path: str
    file: str
    offset: int
    size: int


class Compiler:
    """The environment's own interpreter, which compiles the modules of one package after another.

    What Python writes for a module depends on what it has compiled before (marshal's references follow its string
    table). So each part of a package is compiled by a fork of an interpreter that never compiled anything, without site
    and with a fixed hash seed: the same bytes every time, and it starts but once. A context manager.
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

    def compile(self, sources: Mapping[str, str], target: str, prefix: str, mtime: int) -> list[Bytecode]:
        """Compiles modules to a few files.

        Args:
            sources: a module's path relative to the prefix, to the file that holds its source.
            target: what the files' paths begin with. Thousands of small files would take longer to make and to remove
                than all else.
            prefix: where the code is told that it lies.
            mtime: the time (seconds since the epoch) that the sources will have there.

        A module that does not compile (a template, Python 2) is left out, as conda does. Raises OSError or
        subprocess.CalledProcessError when the interpreter cannot be run.
        """
        job = {"parts": _parts(sources), "target": target, "prefix": prefix, "mtime": mtime}
        process = self._process = self._process or self._start()
        assert process.stdin
        assert process.stdout
        with suppress(BrokenPipeError):
            marshal.dump(job, process.stdin, 2)
            process.stdin.flush()
        try:
            done = marshal.load(process.stdout)  # noqa: S302  our own
        except (EOFError, ValueError, TypeError):  # it has ended
            raise subprocess.CalledProcessError(process.wait(), str(self._python)) from None
        if failed := [status for status, _ in done if status]:
            if (number := os.waitstatus_to_exitcode(failed[0])) in _FULL:
                raise OSError(number, os.strerror(number), target)
            raise subprocess.CalledProcessError(failed[0], str(self._python))
        return [Bytecode(*one) for _, found in done for one in found]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(self._python), "-S", "-s", "-B", "-c", _COMPILE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"},
            cwd="/",
        )


def _parts(sources: Mapping[str, str]) -> list[list[tuple[str, str]]]:
    """The modules in the order given, cut where a part has enough bytes."""
    sizes = {path: os.stat(source).st_size for path, source in sources.items()}
    enough = max(_PART, sum(sizes.values()) // _PARTS)
    parts: list[list[tuple[str, str]]] = []
    room = 0
    for path, source in sources.items():
        if room <= 0:
            parts.append([])
            room = enough
        parts[-1].append((path, source))
        room -= sizes[path]
    return parts


def compile_modules(python: Path, sources: Mapping[str, str], target: str, prefix: str, mtime: int) -> list[Bytecode]:
    """Compiles the modules of one package, or of an overlay, as `Compiler.compile` does."""
    with Compiler(python) as compiler:
        return compiler.compile(sources, target, prefix, mtime)
