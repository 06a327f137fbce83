"""The interpreter of a foreign lock file compiles in a sandbox, and has no access to the user's data."""

from __future__ import annotations

import marshal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda import sandbox
from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.linking import sandboxed_compiler
from jupyter_condabuild.conda.linking.bytecode import Bytecode, Compiler
from jupyter_condabuild.conda.linking.interpreter import for_foreign_packages
from jupyter_condabuild.conda.linking.sandboxed_compiler import SandboxedCompiler
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import LinkFailed
from jupyter_condabuild.events import Log
from tests.conda.test_bytecode import BROKEN, EPOCH, MODULES, PYTHON, SITE
from tests.conftest import missing
from tests.parts.builds import Workshop
from tests.parts.hostile_python import hostile_prefix

MODULE = f"{SITE}/m.py"
PYC = f"{SITE}/__pycache__/m.cpython-311.pyc"


@pytest.fixture(autouse=True)
def _bubblewrap() -> None:
    if not sandbox.available():
        missing("bubblewrap is not installed, or may not make a sandbox")


def _sources(folder: Path, modules: dict[str, bytes]) -> dict[str, str]:
    found = {}
    for number, (path, text) in enumerate(modules.items()):
        (folder / f"source-{number}").write_bytes(text)
        found[path] = str(folder / f"source-{number}")
    return found


def test_bytecode_is_the_same_as_without_a_sandbox(tmp_path: Path) -> None:
    """The bytes are the same for several packages. Only the bytecode is left on the disk."""
    sources = _sources(tmp_path, MODULES | BROKEN)
    found = []
    for kind in (Compiler, SandboxedCompiler):
        with kind(PYTHON.resolve()) as compiler:
            for _ in range(2):
                made = compiler.compile(sources, str(tmp_path / kind.__name__), "/opt/env", EPOCH)
            found.append({one.path: _bytes(one) for one in made})
    assert found[0] == found[1]
    assert len(found[0]) == len(MODULES)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def _bytes(one: Bytecode) -> bytes:
    return Path(one.file).read_bytes()[one.offset : one.offset + one.size]


def _program(folder: Path, script: str, answer: object = None) -> Path:
    """A package whose interpreter is this script. The script can send `answer`."""
    (folder / "package/bin").mkdir(parents=True)
    python = folder / "package/bin/python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    (folder / "package/answer").write_bytes(answer if isinstance(answer, bytes) else marshal.dumps(answer, 2))
    return python


ANSWER = 'cat "${0%/bin/python}/answer"; exec cat >/dev/null'


def _compile(folder: Path, python: Path) -> list[Bytecode]:
    with SandboxedCompiler(python) as compiler:
        return compiler.compile(_sources(folder, {MODULE: b"X = 1\n"}), str(folder / "out"), "/opt/env", EPOCH)


def test_the_sandbox_hides_the_users_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter has no variable, home folder, process or network of the user, and can write to no folder here."""
    monkeypatch.setenv("SECRET", "s3cr3t")
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t")
    script = f"""{{ env; cat {secret} /proc/*/environ; ls {Path.home()} /home; cat /proc/net/dev
        cat /sys/class/net/*/address
        }} >/condabuild/out/part.0 2>&1
        echo evil >{tmp_path}/evil; echo evil >"${{0%/bin/python}}/evil"; echo evil >/usr/evil
        {ANSWER}"""
    python = _program(tmp_path, script, [(0, [(PYC, "", 0, 10)])])
    (one,) = _compile(tmp_path, python)
    seen = Path(one.file).read_text()
    assert "PYTHONHASHSEED=0" in seen
    assert "s3cr3t" not in seen
    assert "eth" not in seen
    assert "No such file" in seen
    assert not list(tmp_path.rglob("evil"))
    assert not Path("/usr/evil").exists()


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("a path outside", [(0, [("../../etc/__pycache__/m.cpython-311.pyc", "", 0, 1)])]),
        ("another file", [(0, [(f"{SITE}/other.py", "", 0, 1)])]),
        ("another module", [(0, [(f"{SITE}/__pycache__/other.cpython-311.pyc", "", 0, 1)])]),
        ("a tag with a slash", [(0, [(f"{SITE}/__pycache__/m.a/b.pyc", "", 0, 1)])]),
        ("the same module twice", [(0, [(PYC, "", 0, 1), (PYC, "", 0, 1)])]),
        ("more than it wrote", [(0, [(PYC, "", 0, 9)])]),
        ("a negative offset", [(0, [(PYC, "", -1, 1)])]),
        ("more parts than modules", [(0, []), (0, [])]),
        ("other types", [(0, [(PYC, "", "0", b"1")])]),
        ("a number", 1),
        ("a text without an end", b"[\xff\xff\xff\x7f"),
        ("a negative count", b"[\xff\xff\xff\xff"),
        ("a list in a list, without an end", b"[\x01\0\0\0" * 5000),
        ("an object that marshal would build", b"[\x01\0\0\0(\x02\0\0\0i\0\0\0\0\xe3"),
    ],
)
def test_a_wrong_answer_is_an_error(tmp_path: Path, kind: str, answer: Any) -> None:
    """An answer about other modules than the requested ones is an error of the interpreter."""
    python = _program(tmp_path, f"echo 1234 >/condabuild/out/part.0; {ANSWER}", answer)
    with pytest.raises(subprocess.CalledProcessError):
        _compile(tmp_path, python)


def test_an_interpreter_without_an_answer_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is long enough for every real package."""
    monkeypatch.setattr(sandboxed_compiler, "SECONDS", 0.2)
    with pytest.raises(subprocess.CalledProcessError):
        _compile(tmp_path, _program(tmp_path, ANSWER, b""))


def test_memory_and_files_of_the_interpreter_have_a_limit(tmp_path: Path) -> None:
    """A file of two gigabytes is cut, more memory is refused, and the folders in memory cannot be written."""
    many = "python3 -c 'bytearray(5 << 30)' 2>&1 | tail -1"
    places = "for place in / /tmp /dev /dev/shm; do echo x >$place/file && echo $place; done 2>/dev/null"
    large = "(trap '' XFSZ; truncate -s 2G /condabuild/out/large) 2>&1 | sed 's/.*: //'"
    script = f"{{ {many}; {places}; {large}; }} >/condabuild/out/part.0; {ANSWER}"
    (one,) = _compile(tmp_path, _program(tmp_path, script, [(0, [(PYC, "", 0, 1)])]))
    assert Path(one.file).read_text().splitlines() == ["MemoryError", "File too large"]


@pytest.mark.parametrize("trick", ["ln -s {secret}", "mkfifo", "mkdir", ": || "])
def test_a_link_in_place_of_bytecode_is_not_followed(tmp_path: Path, trick: str) -> None:
    """Bytecode is copied only from regular files, so that no link brings a file of the user into the image."""
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t")
    command = f"{trick.format(secret=secret)} /condabuild/out/part.0"
    python = _program(tmp_path, f"{command}; {ANSWER}", [(0, [(PYC, "", 0, 6)])])
    with pytest.raises(subprocess.CalledProcessError):
        _compile(tmp_path, python)


@pytest.fixture
def foreign(tmp_path: Path) -> tuple[Path, Path]:
    """A lock file of another person, and the file that exists if its interpreter can write outside of a sandbox."""
    prefix, sign = hostile_prefix(tmp_path)
    lockfile = tmp_path / "conda-lock.yml"
    lockfile.write_text(dump(lock(snapshot(prefix))))
    return lockfile, sign


def test_a_foreign_lock_file_compiles_in_a_sandbox(workshop: Workshop, foreign: tuple[Path, Path]) -> None:
    """The log says so. The interpreter changes nothing, and modules that it does not compile are an error."""
    lockfile, sign = foreign
    with pytest.raises(LinkFailed, match="cannot compile"):
        workshop.image(lockfile)
    assert not sign.exists()
    assert [event.text for event in workshop.events if isinstance(event, Log) and "in a sandbox" in event.text]


def test_a_build_without_a_sandbox_gives_a_warning(
    workshop: Workshop, foreign: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning comes before the interpreter runs. The interpreter gets no variable of the user."""
    lockfile, sign = foreign
    monkeypatch.setattr(sandbox, "available", lambda: False)
    assert for_foreign_packages() == "environment"
    with pytest.raises(LinkFailed):
        workshop.image(lockfile)
    assert "compiling-runs-python" in workshop.warnings
    assert sign.exists()


def test_without_bytecode_no_code_of_a_foreign_lock_file_runs(
    workshop: Workshop, foreign: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The modules of packages for this platform are not compiled either."""
    lockfile, sign = foreign
    monkeypatch.setattr(sandbox, "available", lambda: False)
    image = workshop.image(lockfile, bytecode=False)
    assert not sign.exists()
    assert "compiling-runs-python" not in workshop.warnings
    assert not [path for path in image.tree() if path.endswith(".pyc")]
