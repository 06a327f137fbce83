"""A worker process that writes package layers. Its jobs, its progress and its results are JSON lines.

Threads compress and hash the blocks of a large package, but Python's global interpreter lock allows only one core per
process for everything else. Therefore there are several workers. A worker ends when its standard input ends, so that no
worker outlives the build.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.linking.bytecode import Compiler, source_of, source_time
from jupyter_condabuild.conda.linking.extracted import Extracted
from jupyter_condabuild.conda.linking.interpreter import Interpreter
from jupyter_condabuild.conda.linking.link import LinkedPackage, StagedPackage, linked_package
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.errors import CondaBuildError, ContentMismatch, LinkFailed, PackageMismatch, from_os_error
from jupyter_condabuild.image.paths import PREFIX_IN_LAYER
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.layer import Entry, LayerBlob
from jupyter_condabuild.text import listed

_REPORT_BYTES = 4 << 20
"""The bytes of a tar file after which a worker reports progress."""


def write_packages(
    staged: Sequence[StagedPackage],
    only: Mapping[str, Collection[str]],
    compiler: Compiler | None,
    temporary: str,
    level: int,
    progress: Callable[[int], None],
    threads: int = 1,
) -> LayerBlob:
    """Writes the layer of staged packages, or of some of their paths, to a file.

    Args:
        only: by dist, the paths to write, relative to the prefix; the bytecode of a module is written with the module.
            If it is empty, all paths are written.
        compiler: compiles the modules that have no bytecode; with None they stay without bytecode.
        temporary: the file to write. Files with bytecode exist beside it for a while.
        level: the compression level, 0 to 3.
        progress: called with the bytes of the tar file that were written since the last call.
        threads: how many threads compress.

    Raises PackageMismatch if a file is not the original file of its package, LinkFailed if the interpreter does not
    run, or StoreError.
    """
    names = listed([item.package.dist for item in staged], 3)
    compiled = f"{temporary}.bytecode"
    try:
        linked = [
            linked_package(item, compiler, layer.EPOCH, f"{compiled}.{number}") for number, item in enumerate(staged)
        ]
        entries = [
            entry
            for item, package in zip(staged, linked, strict=True)
            for entry in package_entries(package)
            if not only or _is_chosen(entry, only.get(item.package.dist, ()))
        ]
        with open(temporary, "wb") as out:
            return layer.write(entries, out, level, progress, threads)
    except ContentMismatch as error:
        raise PackageMismatch(f"{error.message} (package {names})") from None
    except subprocess.CalledProcessError as error:
        raise LinkFailed(f"The environment's Python cannot compile {names} (status {error.returncode}).") from None
    except OSError as error:
        raise from_os_error(error, f"writing the layer of {names}", temporary) from None
    finally:
        for path in Path(compiled).parent.glob(f"{Path(compiled).name}.*"):
            path.unlink()


def _is_chosen(entry: Entry, paths: Collection[str]) -> bool:
    """Whether the paths, relative to the prefix, contain the entry, or the module of the bytecode in the entry."""
    path = entry.path.removeprefix(f"{PREFIX_IN_LAYER}/")
    return path in paths or (path.endswith(".pyc") and source_of(path) in paths)


def package_entries(linked: LinkedPackage) -> Iterator[Entry]:
    """Yields the files of a package as layer entries under PREFIX, and its record in conda-meta.

    A module that has bytecode in the package keeps the modification time that the bytecode contains. With any other
    time Python would ignore the bytecode.
    """
    times = _source_times(linked)
    for file in linked.files:
        mtime = times.get(file.path, layer.EPOCH)
        if file.size is not None:
            yield Entry(f"{PREFIX_IN_LAYER}/{file.path}", source=file.source, offset=file.offset, size=file.size)
            continue
        if file.target:
            yield Entry(f"{PREFIX_IN_LAYER}/{file.path}", "symlink", 0o777, target=file.target)
            continue
        try:
            path = f"{PREFIX_IN_LAYER}/{file.path}"
            yield layer.file_entry(
                path, file.source, sha256=file.sha256, mtime=mtime, root=file.root, executable=file.executable
            )
        except FileNotFoundError:
            raise ContentMismatch(f"{file.source} is missing.") from None
    yield Entry(f"{PREFIX_IN_LAYER}/{linked.record_path}", data=linked.record)


def _source_times(linked: LinkedPackage) -> dict[str, int]:
    times = {
        source_of(file.path): source_time(file.source)
        for file in linked.files
        if file.path.endswith(".pyc") and file.size is None and not file.target
    }
    return {path: time for path, time in times.items() if time is not None}


def job(
    staged: Sequence[StagedPackage],
    only: Mapping[str, Sequence[str]],
    interpreter: Interpreter | None,
    temporary: str,
    level: int,
    threads: int = 1,
) -> str:
    """Returns a job as the line that a worker reads. The arguments are those of `write_packages`.

    Args:
        interpreter: compiles modules; None leaves modules without bytecode.
    """
    packages = [
        {
            "package": asdict(item.package),
            "folder": str(item.folder),
            "extracted": str(item.extracted.folder),
            "apart": dict(item.extracted.apart),
            "links": None if item.extracted.links is None else dict(item.extracted.links),
            "target_prefix": item.target_prefix,
            "thin": item.thin,
            "site_packages": item.site_packages,
            "executables": None if item.executables is None else sorted(item.executables),
        }
        for item in staged
    ]
    value = {"packages": packages, "only": only, "temporary": temporary, "level": level, "threads": threads}
    if interpreter:
        value["interpreter"] = {**asdict(interpreter), "python": str(interpreter.python)}
    return json.dumps(value)


def _staged(value: dict[str, Any]) -> StagedPackage:
    package = value["package"]
    package |= {"depends": tuple(package["depends"]), "constrains": tuple(package["constrains"])}
    return StagedPackage(
        CondaPackage(**package),
        Path(value["folder"]),
        Extracted(Path(value["extracted"]), value["apart"], value["links"]),
        value["target_prefix"],
        value["thin"],
        value["site_packages"],
        None if value["executables"] is None else frozenset(value["executables"]),
    )


class Writer:
    """Runs jobs one after another, with one process of each interpreter for all bytecode. A context manager."""

    def __init__(self) -> None:
        self._compilers: dict[Interpreter, Compiler] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def run(self, line: str, answer: Callable[[dict[str, Any]], object]) -> None:
        """Runs the job of a line. Calls `answer` with progress, and at the end with the result or the error."""
        value = json.loads(line)
        staged = [_staged(item) for item in value["packages"]]
        compiler = None
        if interpreter := value.get("interpreter"):
            compiler = self._compiler(Interpreter(**{**interpreter, "python": Path(interpreter["python"])}))
        pending = 0

        def progress(count: int) -> None:
            nonlocal pending
            pending += count
            if pending >= _REPORT_BYTES:
                answer({"progress": pending})
                pending = 0

        try:
            blob = write_packages(
                staged, value["only"], compiler, value["temporary"], value["level"], progress, value["threads"]
            )
        except CondaBuildError as error:
            answer({"error": type(error).__name__, "message": error.message, "hint": error.hint})
            return
        answer({"descriptor": blob.descriptor.to_json(), "diff_id": str(blob.diff_id), "tar_size": blob.tar_size})

    def _compiler(self, interpreter: Interpreter) -> Compiler:
        if interpreter not in self._compilers:
            self._compilers[interpreter] = self._stack.enter_context(interpreter.compiler())
        return self._compilers[interpreter]


def main() -> None:
    """Runs the jobs on standard input."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # other output of this process must not mix with the answers

    def answer(value: dict[str, Any]) -> None:
        out.write(json.dumps(value) + "\n")

    with Writer() as writer:
        for line in sys.stdin:
            writer.run(line, answer)


if __name__ == "__main__":
    main()
