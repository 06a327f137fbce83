"""Bytecode of modules that have none: it is always the same, Python uses it, and it conflicts with no other file."""

from __future__ import annotations

import errno
import importlib.util
import marshal
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from jupyter_condabuild.conda.linking.bytecode import Bytecode, Compiler, compile_modules, source_of, uncompiled

SITE = "lib/python3.11/site-packages"
PYTHON = Path(sys.executable)
TAG = sys.implementation.cache_tag
EPOCH = 315532800

MODULES = {
    f"{SITE}/pkg/__init__.py": b'"""Documented."""\nNAMES = {"b", "a", "c"}\nVALUE = frozenset((1, "x", b"y"))\n',
    f"{SITE}/pkg/more.py": b"def f(x, *, y=(1, 2)):\n    return [x for x in {'k': y} if x in {'p', 'q'}]\n",
    f"{SITE}/pkg/caf\u00e9.py": "# -*- coding: latin-1 -*-\nWORD = 'caf\u00e9'\n".encode("latin-1"),
    f"{SITE}/pkg/a.b.py": b"DOTTED = True\n",
    f"{SITE}/pkg/new\nline.py": b"ODD = True\n",
    f"{SITE}/pkg/empty.py": b"",
}
BROKEN = {
    f"{SITE}/pkg/template.py": b"{{ name }} = {% if %}\n",
    f"{SITE}/pkg/python2.py": b"print 'hello'\n",
    f"{SITE}/pkg/nul.py": b"x = 1\0\n",
    f"{SITE}/pkg/deep.py": b"(" * 100_000,
}


def compiled(tmp_path: Path, modules: dict[str, bytes], python: Path = PYTHON) -> dict[str, bytes]:
    """Returns the created files: the bytes of each by its path."""
    sources = {}
    tmp_path.mkdir(exist_ok=True)
    for number, (path, text) in enumerate(modules.items()):
        source = tmp_path / f"source-{number}"
        source.write_bytes(text)
        sources[path] = str(source)
    return _bytes(compile_modules(python, sources, str(tmp_path / "out"), "/opt/env", EPOCH))


def _bytes(found: list[Bytecode]) -> dict[str, bytes]:
    return {one.path: Path(one.file).read_bytes()[one.offset : one.offset + one.size] for one in found}


def test_every_module_that_can_be_compiled_gets_bytecode(tmp_path: Path) -> None:
    """The file is in __pycache__ next to the module. Templates and Python 2 modules are left out, as in conda."""
    found = compiled(tmp_path, MODULES | BROKEN)
    assert sorted(found) == sorted(importlib.util.cache_from_source(path, optimization="") for path in MODULES)


def test_bytecode_names_its_source_in_the_image(tmp_path: Path) -> None:
    """The header has magic number, time and size (PEP 552).

    Tracebacks show the path in the image, and none of this machine.
    """
    for path, pyc in compiled(tmp_path, MODULES).items():
        source = source_of(path)
        assert pyc[:4] == importlib.util.MAGIC_NUMBER
        assert [int.from_bytes(pyc[at : at + 4], "little") for at in (4, 8, 12)] == [0, EPOCH, len(MODULES[source])]
        code = marshal.loads(pyc[16:])
        assert isinstance(code, types.CodeType)
        assert code.co_filename == f"/opt/env/{source}"
        assert os.fsencode(tmp_path) not in pyc


def test_bytecode_is_always_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes do not depend on the hash seed, the locale, the folder or the other variables of the caller."""
    first = compiled(tmp_path, MODULES)
    for name, value in {
        "PYTHONHASHSEED": "77",
        "LC_ALL": "C",
        "PYTHONOPTIMIZE": "2",
        "PYTHONDONTWRITEBYTECODE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    longer = tmp_path / ("long" * 40)
    longer.mkdir()
    monkeypatch.chdir(longer)
    assert compiled(longer, dict(reversed(MODULES.items()))) == first


def test_python_uses_the_bytecode(tmp_path: Path) -> None:
    """Python finds the bytecode, accepts it as current, and writes no other, although it has the permission."""
    found = compiled(tmp_path, MODULES)
    for path, data in {**MODULES, **found}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
        os.utime(tmp_path / path, (EPOCH, EPOCH))
    code = "import pkg.more, pkg.empty; print(pkg.__cached__, pkg.more.f(1))"
    command = [str(PYTHON), "-v", "-c", code]
    done = subprocess.run(command, env={"PYTHONPATH": str(tmp_path / SITE)}, capture_output=True, text=True, check=True)
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert sum("matches" in line for line in ours) == 3
    assert not [line for line in ours if "wrote" in line or "stale" in line]


def test_a_python_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    """The error is not mistaken for a package without modules."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(subprocess.CalledProcessError):
        compiled(tmp_path, MODULES, broken)
    with pytest.raises(OSError, match="nowhere"):
        compiled(tmp_path, MODULES, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("pyc", "source"),
    [
        ("a/__pycache__/b.cpython-311.pyc", "a/b.py"),
        ("a/__pycache__/b.cpython-311.opt-1.pyc", "a/b.py"),
        ("a/__pycache__/b.c.cpython-311.pyc", "a/b.c.py"),
        ("a/__pycache__/b.c.cpython-311.opt-2.pyc", "a/b.c.py"),
        ("__pycache__/b.cpython-311.pyc", "b.py"),
        ("a/b.pyc", "a/b.py"),
    ],
)
def test_a_path_of_bytecode_gives_the_path_of_its_module(pyc: str, source: str) -> None:
    """The two names are related as in PEP 3147 and PEP 488."""
    assert source_of(pyc) == source


def test_only_modules_without_bytecode_are_compiled() -> None:
    """Only modules in site-packages are compiled, as in conda. Test suites and benchmarks are left out."""
    paths = [
        f"{SITE}/a.py",
        f"{SITE}/b.py",
        f"{SITE}/__pycache__/b.{TAG}.pyc",
        f"{SITE}/c.d.py",
        f"{SITE}/__pycache__/c.d.{TAG}.pyc",
        f"{SITE}/pkg/tests/e.py",
        f"{SITE}/pkg/benchmarks/f.py",
        f"{SITE}/pkg/conftest.py",
        f"{SITE}/pkg/test_pkg.py",
        f"{SITE}/pkg/data.txt",
        "lib/python3.11/json/decoder.py",
        "share/script.py",
    ]
    assert uncompiled(paths) == [f"{SITE}/a.py"]


def test_earlier_packages_do_not_change_the_bytecode(tmp_path: Path) -> None:
    """One interpreter compiles many packages in any order. Each package gets the same bytes as alone."""
    alone = compiled(tmp_path / "alone", MODULES)
    sources = {}
    for number, (path, text) in enumerate(MODULES.items()):
        (tmp_path / f"source-{number}").write_bytes(text)
        sources[path] = str(tmp_path / f"source-{number}")
    with Compiler(PYTHON) as compiler:
        for number in range(3):
            compiler.compile(dict(list(sources.items())[number:]), str(tmp_path / "before"), "/opt/env", EPOCH)
        found = compiler.compile(sources, str(tmp_path / "before"), "/opt/env", EPOCH)
    assert _bytes(found) == alone


def test_a_large_package_is_divided_in_the_same_way_everywhere(tmp_path: Path) -> None:
    """Its parts are compiled at the same time. The number of processors does not change the bytes."""
    body = "".join(f"def f{number}(x):\n    return x + {number}, 'text {number}'\n" for number in range(900)).encode()
    modules = {f"{SITE}/large/m{number:02}.py": body + b"NUMBER = %d\n" % number for number in range(40)}
    everywhere = os.sched_getaffinity(0)
    found = compiled(tmp_path / "many", modules)
    assert len(list((tmp_path / "many").glob("out.*"))) == 8
    assert [source_of(path) for path in found] == list(modules)
    try:
        os.sched_setaffinity(0, {min(everywhere)})
        assert compiled(tmp_path / "one", modules) == found
    finally:
        os.sched_setaffinity(0, everywhere)


def test_a_compiler_that_stops_at_a_package_compiles_the_next(tmp_path: Path) -> None:
    """The package that stopped the interpreter is an error. The next package is compiled."""
    source = tmp_path / "module.py"
    source.write_bytes(b"VALUE = 1\n")
    with Compiler(PYTHON) as compiler:
        with pytest.raises(subprocess.CalledProcessError):
            compiler.compile({f"{SITE}/a.py": str(source)}, "/proc/nowhere", "/opt/env", EPOCH)
        assert compiler.compile({f"{SITE}/a.py": str(source)}, str(tmp_path / "out"), "/opt/env", EPOCH)


def test_a_full_disk_differs_from_a_python_that_fails(tmp_path: Path, small_disk: Path) -> None:
    """The error number of the system tells the difference."""
    source = tmp_path / "large.py"
    source.write_text(f"TEXT = {'x' * 4_000_000!r}\n")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as raised:
        compile_modules(PYTHON, {f"{SITE}/large.py": str(source)}, str(small_disk / "bytecode"), "/opt/env", EPOCH)
    assert raised.value.errno == errno.ENOSPC
