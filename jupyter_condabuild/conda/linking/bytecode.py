"""Bytecode for Python modules that have none: conda compiles noarch packages too, but here the bytes are reproducible.

Source: PEP 552 for the header; importlib._bootstrap_external for the form with a time stamp, which conda also writes.
"""

from __future__ import annotations

import errno
import marshal
import os
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from jupyter_condabuild.files import open_regular
from jupyter_condabuild.system import process_tree

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
        if len(running) == job["at_once"]:
            done.append(end(*running.pop(0)))
        running.append(start(job, modules, "%s.%d" % (job["target"], number)))
    done += [end(*one) for one in running]
    marshal.dump(done, sys.stdout.buffer, 2)
    sys.stdout.buffer.flush()
"""

_PARTS, _PART = 8, 128 << 10
"""The modules of a package are compiled in about `_PARTS` parts of at least `_PART` bytes of source code.

Several parts keep all processors busy. Each part has its own process, so the division into parts affects the bytes: it
must not depend on the machine."""

_TEST_FOLDERS = frozenset(("test", "tests", "benchmarks"))
_TEST_MODULES = ("test_", "conftest.py")
"""The names of modules for tests begin like this."""

ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"}
"""All environment variables of the interpreter. It gets none of the user's."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


def uncompiled(paths: Iterable[str]) -> list[str]:
    """Returns the paths of modules in site-packages that have no bytecode among `paths`, sorted.

    Test suites are left out, although conda compiles them: only tests import them, and they are a third of the work.
    """
    paths = set(paths)
    compiled = {source_of(path) for path in paths if path.endswith(".pyc")}
    modules = (path for path in paths if path.endswith(".py") and "/site-packages/" in path)
    return sorted(path for path in modules if path not in compiled and not is_for_tests(path))


def is_for_tests(path: str) -> bool:
    """Whether the module is part of a test suite, as its name or the name of a folder says."""
    *folders, name = path.split("/")
    return name.startswith(_TEST_MODULES) or not _TEST_FOLDERS.isdisjoint(folders)


def source_of(pyc: str) -> str:
    """Returns the path of the module that a bytecode file was compiled from (PEP 3147, PEP 488).

    Example: ``a/__pycache__/b.c.cpython-311.opt-1.pyc`` was compiled from ``a/b.c.py``.
    """
    folder, _, name = pyc.removesuffix(".pyc").rpartition("/")
    if folder.rpartition("/")[2] != "__pycache__":
        return f"{folder}/{name}.py"
    module, _, tag = name.rpartition(".")
    if tag.startswith("opt-"):
        module = module.rpartition(".")[0]
    return f"{folder.removesuffix('__pycache__')}{module}.py"


def source_time(pyc: Path | str) -> int | None:
    """Returns the modification time of the source (seconds since the epoch) that a bytecode file contains.

    Returns None if the file contains no such time or cannot be read.
    """
    try:
        with open(open_regular(pyc), "rb", buffering=0) as file:
            header = file.read(16)
    except OSError:
        return None
    timed = len(header) == 16 and header[4:8] == bytes(4)
    return int.from_bytes(header[8:12], "little") if timed else None


class Bytecode(NamedTuple):
    """The bytecode of one module: `size` bytes of `file`, from `offset` on. `path` is relative to the prefix."""

    path: str
    file: str
    offset: int
    size: int


class Compiler:
    """The environment's own interpreter, which compiles the modules of one package after another. A context manager.

    The bytecode of a module depends on the modules that the same process compiled before (the references of marshal
    depend on the table of interned strings). So a fork of the interpreter compiles each part of a package. The
    interpreter itself compiles nothing and runs without site and with a fixed hash seed. So the bytes are the same
    every time, and the interpreter starts only once.
    """

    def __init__(self, python: Path, at_once: int = 1) -> None:
        """`at_once` is the number of parts that are compiled at the same time. It does not affect the bytes."""
        self._python = python
        self._at_once = at_once
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Compiler:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def compile(self, sources: Mapping[str, str], target: str, prefix: str, mtime: int) -> list[Bytecode]:
        """Compiles modules. Writes the bytecode of many modules to a few files.

        Thousands of small files would take longer to create and to remove than all other work.

        Args:
            sources: maps the path of a module, relative to the prefix, to the file with its source.
            target: the start of the paths of the written files.
            prefix: the prefix in the file names of the code objects.
            mtime: the modification time (seconds since the epoch) that the sources have in the image.

        Returns the bytecode of the modules that compile. As in conda, other modules (a template, Python 2) are left
        out.

        Raises OSError or subprocess.CalledProcessError if the interpreter cannot run or cannot write.
        """
        job = {"parts": parts_of(sources), "target": target, "prefix": prefix, "mtime": mtime, "at_once": self._at_once}
        parts = self._ask(job)
        if failed := [status for status, _ in parts if status]:
            if (number := os.waitstatus_to_exitcode(failed[0])) in _FULL:
                raise OSError(number, os.strerror(number), target)
            raise subprocess.CalledProcessError(failed[0], str(self._python))
        return [Bytecode(*module) for _, modules in parts for module in modules]

    def _ask(self, job: dict[str, Any]) -> list[tuple[int, list[tuple[str, str, int, int]]]]:
        """Gives a job to the interpreter. Returns the status and the modules of each part."""
        process = self._process = self._process or self._start()
        assert process.stdin
        assert process.stdout
        with suppress(BrokenPipeError):
            marshal.dump(job, process.stdin, 2)
            process.stdin.flush()
        try:
            answer: list[tuple[int, list[tuple[str, str, int, int]]]] = self._read(process.stdout)
            return answer
        except EOFError:  # the interpreter ended
            raise subprocess.CalledProcessError(process.wait(), str(self._python)) from None
        except (ValueError, TypeError):  # it is another program
            process.kill()
            raise subprocess.CalledProcessError(process.wait(), str(self._python)) from None

    def _read(self, answer: IO[bytes]) -> list[tuple[int, list[tuple[str, str, int, int]]]]:
        parts: list[tuple[int, list[tuple[str, str, int, int]]]] = marshal.load(answer)  # noqa: S302  our own data
        return parts

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command([str(self._python), "-S", "-s", "-B", "-c", _COMPILE]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            cwd="/",
        )

    def _command(self, command: list[str]) -> list[str]:
        """Returns the command that starts the interpreter."""
        return command


def parts_of(sources: Mapping[str, str]) -> list[list[tuple[str, str]]]:
    """Divides the modules into parts, in the given order."""
    sizes = {path: os.stat(source).st_size for path, source in sources.items()}
    part_size = max(_PART, sum(sizes.values()) // _PARTS)
    parts: list[list[tuple[str, str]]] = []
    remaining = 0
    for path, source in sources.items():
        if remaining <= 0:
            parts.append([])
            remaining = part_size
        parts[-1].append((path, source))
        remaining -= sizes[path]
    return parts


def compile_modules(python: Path, sources: Mapping[str, str], target: str, prefix: str, mtime: int) -> list[Bytecode]:
    """Compiles the modules of one package, or of an overlay, with a new `Compiler`; see `Compiler.compile`."""
    with Compiler(python, process_tree.processors()) as compiler:
        return compiler.compile(sources, target, prefix, mtime)
