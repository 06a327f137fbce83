"""Bytecode for Python modules that came without: as conda compiles noarch packages, but the same bytes every time.

Source: PEP 552 for the header; importlib._bootstrap_external for the time-stamped form that conda installs have.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

_COMPILE = """
import importlib.util, json, os, sys
from importlib._bootstrap_external import _code_to_timestamp_pyc
job, done = json.load(sys.stdin), []
for source, name, target in job["modules"]:
    try:
        with open(source, "rb") as file:
            text = file.read()
        code = compile(text, name, "exec", dont_inherit=True)
        data = _code_to_timestamp_pyc(code, job["mtime"], len(text))
    except Exception:
        continue
    target = importlib.util.cache_from_source(target, optimization="")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(data)
    done.append(target)
json.dump(done, sys.stdout)
"""

_TESTS = frozenset(("test", "tests"))


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


def compile_modules(python: Path, sources: Mapping[str, str], folder: Path, prefix: str, mtime: int) -> list[str]:
    """Compiles modules with the environment's own interpreter into `folder`; returns the new paths, relative to it.

    Args:
        sources: a module's path relative to the prefix, to the file that holds its source.
        prefix: where the code is told that it lies.
        mtime: the time (seconds since the epoch) that the sources will have there.

    A module that does not compile (a template, Python 2) is left out, as conda does. One new interpreter for all of a
    package's modules, without site and with a fixed hash seed, gives the same bytes every time. Raises OSError or
    subprocess.CalledProcessError when the interpreter cannot be run.
    """
    modules = [(source, f"{prefix}/{path}", f"{folder}/{path}") for path, source in sources.items()]
    done = subprocess.run(
        [str(python), "-S", "-s", "-B", "-c", _COMPILE],
        input=json.dumps({"mtime": mtime, "modules": modules}).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"},
        cwd="/",
        check=True,
    )
    return [target.removeprefix(f"{folder}/") for target in json.loads(done.stdout)]
