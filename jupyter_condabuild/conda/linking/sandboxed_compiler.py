"""The interpreter of a foreign lock file in a sandbox: it compiles modules, and its answers are checked.

It gets copies of the sources, and its bytecode is copied. It sees no other file of the user, and can change none.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from jupyter_condabuild.conda import sandbox
from jupyter_condabuild.conda.linking.bytecode import ENVIRONMENT, Bytecode, Compiler, parts_of, source_of
from jupyter_condabuild.files import open_regular

_IN, _OUT = "/condabuild/in", "/condabuild/out"
_NAME = re.compile(r"(?:.*/)?__pycache__/[^/]+\.[A-Za-z0-9-]{1,40}\.pyc")
SECONDS = 900
"""The time for the modules of one package, after which the interpreter is ended."""

_MOST = 1 << 20
"""The highest number of modules, and of bytes in a path, in an answer."""


class SandboxedCompiler(Compiler):
    """A `Compiler` whose interpreter runs in a sandbox. It gives the same bytes as a `Compiler` without a sandbox."""

    def __init__(self, python: Path, at_once: int = 1) -> None:
        """`python` is ``bin/python`` of a folder that the sandbox may read."""
        super().__init__(python, at_once)
        self._folder: Path | None = None

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def compile(self, sources: Mapping[str, str], target: str, prefix: str, mtime: int) -> list[Bytecode]:
        """Compiles modules as `Compiler.compile` does. Raises the same errors."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="sandbox-", dir=os.path.dirname(target) or None))
        inside, outside = self._folder / "in", self._folder / "out"
        for folder in (inside, outside):
            folder.mkdir(exist_ok=True)
        numbered = {path: str(number) for number, path in enumerate(sources)}
        for path, source in sources.items():
            shutil.copyfile(source, inside / numbered[path])
        parts = [[(path, f"{_IN}/{numbered[path]}") for path, _ in part] for part in parts_of(sources)]
        job = {"parts": parts, "target": f"{_OUT}/part", "prefix": prefix, "mtime": mtime, "at_once": self._at_once}
        found: list[Bytecode] = []
        for number, (status, modules) in enumerate(self._ask(job)):
            if status or number >= len(parts):
                raise subprocess.CalledProcessError(status or 1, str(self._python))
            copied = f"{target}.{number}"
            size = self._copy(outside / f"part.{number}", copied)
            expected = {path for path, _ in parts[number]}
            for path, _, offset, length in modules:
                if not _NAME.fullmatch(path) or source_of(path) not in expected or offset + length > size:
                    raise subprocess.CalledProcessError(1, str(self._python))
                expected.remove(source_of(path))
                found.append(Bytecode(path, copied, offset, length))
        for name in numbered.values():
            (inside / name).unlink()
        return found

    def _copy(self, file: Path, target: str) -> int:
        """Copies a file that the sandbox has written, and removes it. Returns its size in bytes."""
        try:
            descriptor = open_regular(file)
        except OSError:
            raise subprocess.CalledProcessError(1, str(self._python)) from None
        with open(descriptor, "rb") as source, open(target, "wb") as out:
            shutil.copyfileobj(source, out)
            size = out.tell()
        file.unlink()
        return size

    def _ask(self, job: dict[str, Any]) -> list[tuple[int, list[tuple[str, str, int, int]]]]:
        self._process = self._process or self._start()
        limit = threading.Timer(SECONDS, self._process.kill)
        limit.start()
        try:
            return super()._ask(job)
        finally:
            limit.cancel()

    def _command(self, command: list[str]) -> list[str]:
        assert self._folder
        # the interpreter may be a link to another name in the same folder; its folder is the package's
        package = self._python.parent.parent
        folders = {_IN: (self._folder / "in", "read"), _OUT: (self._folder / "out", "write")}
        return sandbox.enclosed(command, ENVIRONMENT, [package], folders)

    def _read(self, answer: IO[bytes]) -> list[tuple[int, list[tuple[str, str, int, int]]]]:
        return _parts(_value(answer, 0))


def _value(data: IO[bytes], depth: int) -> Any:
    """Reads lists, tuples, texts and whole numbers in the format of marshal, version 2.

    `marshal.load` may crash on data that was made to harm. Source: cpython, Python/marshal.c. Raises ValueError.
    """
    kind = _exactly(data, 1)
    if kind == b"i":
        return struct.unpack("<i", _exactly(data, 4))[0]
    if kind not in (b"[", b"(", b"u") or depth > 4:
        raise ValueError(kind)
    (count,) = struct.unpack("<i", _exactly(data, 4))
    if not 0 <= count <= _MOST:
        raise ValueError(count)
    if kind == b"u":
        return _exactly(data, count).decode("utf-8", "surrogatepass")
    return [_value(data, depth + 1) for _ in range(count)]


def _exactly(data: IO[bytes], count: int) -> bytes:
    found = data.read(count)
    if len(found) < count:
        raise EOFError
    return found


def _parts(value: Any) -> list[tuple[int, list[tuple[str, str, int, int]]]]:
    """Checks the types of an answer: for each part, the status and path, file, offset and size of each module."""
    parts = []
    for status, modules in _of(value, list):
        checked = []
        for path, file, offset, size in _of(modules, list):
            if min(_of(offset, int), _of(size, int)) < 0:
                raise ValueError(offset)
            checked.append((_of(path, str), _of(file, str), offset, size))
        parts.append((_of(status, int), checked))
    return parts


def _of(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(value)
    return value
