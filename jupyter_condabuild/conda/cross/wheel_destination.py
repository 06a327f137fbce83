"""The destination of a wheel's files: an environment on Linux, whichever system and file system this machine has.

The destinations of `installer` write names, paths and x bits as this machine has them.

Source: https://packaging.python.org/specifications/binary-distribution-format and recording-installed-packages.
"""

from __future__ import annotations

import io
import os
import posixpath
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

from installer.destinations import WheelDestination as Destination
from installer.records import Hash, RecordEntry
from installer.scripts import Script
from installer.utils import Scheme, construct_record_file, copyfileobj_with_hashing, fix_shebang

from jupyter_condabuild.conda.linking.disk_places import LaidOut
from jupyter_condabuild.conda.paths import path_fault

if TYPE_CHECKING:
    from installer.scripts import ScriptSection

_HASH = "sha256"


class WheelDestination(Destination):
    """Writes the files of one wheel into a `LaidOut`. It raises ValueError for a path that leads out of its folder."""

    def __init__(self, laid: LaidOut, site_packages: str, headers: str, python: str) -> None:
        """`site_packages` and `headers` are relative to the prefix; scripts name the interpreter `python`."""
        self._laid = laid
        self._python = python
        self._folders = {"purelib": site_packages, "platlib": site_packages, "scripts": "bin", "headers": headers}
        self._folders["data"] = ""

    def write_script(self, name: str, module: str, attr: str, section: ScriptSection) -> RecordEntry:
        """Writes the command of an entry point."""
        name, data = Script(name, module, attr, section).generate(self._python, "posix")
        return self._write(Scheme("scripts"), name, io.BytesIO(data), executable=True)

    def write_file(
        self, scheme: Scheme, path: str | os.PathLike[str], stream: BinaryIO, is_executable: bool
    ) -> RecordEntry:
        """Writes a file. A script gets its interpreter."""
        name = os.fspath(path)
        if scheme != "scripts":
            return self._write(scheme, name, stream, executable=is_executable)
        with fix_shebang(stream, self._python) as fixed:
            return self._write(scheme, name, fixed, executable=is_executable)

    def finalize_installation(
        self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
    ) -> None:
        """Writes the RECORD. The paths in it are relative to the folder of the wheel's modules."""
        top = self._folders[scheme]

        def start(other: Scheme) -> str | None:
            return None if other == scheme else f"{posixpath.relpath(self._folders[other] or '.', top)}/"

        with construct_record_file(list(records), start) as stream:
            self._write(scheme, record_file_path, stream, executable=False)

    def _write(self, scheme: Scheme, name: str, stream: BinaryIO, *, executable: bool) -> RecordEntry:
        folder = self._folders[scheme]
        path = posixpath.normpath(posixpath.join(folder, name))
        fault = path_fault(path) if path.startswith(f"{folder}/" if folder else "") else "it leads out of its folder"
        if fault:
            raise ValueError(f"{name[:200]!r} is refused: {fault}")
        if path in self._laid.files:
            raise FileExistsError(f"it has {path[:200]!r} twice")
        with open(self._laid.place(path, executable=executable), "wb") as file:
            digest, size = copyfileobj_with_hashing(stream, file, _HASH)
        return RecordEntry(name, Hash(_HASH, digest), size)
