"""A package index tells the wheel that pip installed, so that other programs can install it from the lock file."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.pip_index import find_wheels
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.events import Event, Warning
from jupyter_condabuild.jobs import lock as job
from jupyter_condabuild.requests.others import LockRequest
from tests.parts.channel_host import Host
from tests.parts.small_prefix import SmallPrefix

NAME = "demo_pkg-1.0-py2.py3-none-any.whl"
WHEEL = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py2-none-any\nTag: py3-none-any\n"
CODE = b"VALUE = 1\n"
INFO = "demo_pkg-1.0.dist-info"
PAGE = "/simple/demo-pkg/"


def wheel(folder: Path) -> Path:
    """Writes a wheel that pip can install."""
    path = folder / NAME
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo_pkg.py", CODE)
        archive.writestr(f"{INFO}/METADATA", "Metadata-Version: 2.1\nName: Demo_Pkg\nVersion: 1.0\n")
        archive.writestr(f"{INFO}/WHEEL", WHEEL)
        digest = base64.urlsafe_b64encode(hashlib.sha256(CODE).digest()).decode().rstrip("=")
        names = ("METADATA", "WHEEL", "RECORD")
        archive.writestr("demo_pkg-1.0.data/scripts/demo", CODE)
        files = ("demo_pkg.py", "demo_pkg-1.0.data/scripts/demo")
        lines = [*(f"{name},sha256={digest},{len(CODE)}" for name in files), *(f"{INFO}/{name},," for name in names)]
        archive.writestr(f"{INFO}/RECORD", "\n".join([*lines, ""]))
    return path


class Index:
    """An index with one wheel, and an environment in which a real pip installed this wheel."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.host = host
        self.small = SmallPrefix(folder / "env")
        self.small.python()
        (self.small.path / "pip.conf").write_text(f"[global]\nindex-url = {host.url}/simple\n")
        self.wheel = wheel(folder)
        site = self.small.path / "lib/python3.11/site-packages"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
        subprocess.run([*pip, str(self.wheel)], check=True)
        (site / INFO / "direct_url.json").unlink()  # pip does not write it for a wheel from an index
        host.files[f"/files/{NAME}"] = self.wheel.read_bytes()
        metadata = (site / INFO / "METADATA").read_bytes()
        host.files[f"/files/{NAME}.metadata"] = metadata
        self.entry = {
            "filename": NAME,
            "url": f"../../files/{NAME}",
            "hashes": {"sha256": hashlib.sha256(self.wheel.read_bytes()).hexdigest()},
            "core-metadata": {"sha256": hashlib.sha256(metadata).hexdigest()},
        }
        self.answer(self.entry)

    def answer(self, *entries: object, **members: Any) -> None:
        """Sets the answer of the index."""
        answer = {"meta": {"api-version": "1.1"}, "name": "demo-pkg", "files": entries, **members}
        self.host.files[PAGE] = json.dumps(answer).encode()

    def found(self) -> list[tuple[str, str]]:
        """Returns the URLs and the hashes that the index tells."""
        packages = find_wheels(snapshot(self.small.path)).values()
        return [(package.url.removeprefix(self.host.url), package.sha256) for package in packages]

    @property
    def expected(self) -> list[tuple[str, str]]:
        """The URL and the hash of the wheel."""
        return [(f"/files/{NAME}", hashlib.sha256(self.wheel.read_bytes()).hexdigest())]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An index on loopback."""
    with Host({}).serving() as host:
        yield Index(tmp_path, host)


def test_the_wheel_is_found_by_its_tags_and_its_metadata(index: Index) -> None:
    """No wheel is downloaded. Other versions, tags and sdists do not count."""
    others = ["demo_pkg-1.0-cp311-cp311-linux_x86_64.whl", "demo_pkg-2.0-py2.py3-none-any.whl", "demo_pkg-1.0.tar.gz"]
    index.answer(*({**index.entry, "filename": name} for name in others), index.entry)
    assert index.found() == index.expected
    assert index.host.seen == [f"GET {PAGE}"]


def test_an_index_may_send_the_metadata_without_its_hash(index: Index) -> None:
    """PEP 714 allows ``true``, and the older name of the member."""
    for key in ("core-metadata", "dist-info-metadata"):
        entry = {name: value for name, value in index.entry.items() if name != "core-metadata"}
        index.answer({**entry, key: True})
        assert index.found() == index.expected
    assert f"GET /files/{NAME}.metadata" in index.host.seen


def test_an_index_without_metadata_sends_parts_of_the_wheel(index: Index) -> None:
    """The wheel is the installed one if all its files are installed with the same hashes."""
    index.answer({**index.entry, "core-metadata": False})
    assert index.found() == []
    index.host.sends_parts = True
    assert index.found() == index.expected
    ((_, sha256),) = index.expected
    with zipfile.ZipFile(index.wheel, "a") as archive:
        archive.writestr("large", bytes(1 << 20))  # RECORD is no longer in the part at the end
    index.host.files[f"/files/{NAME}"] = index.wheel.read_bytes()
    assert index.found() == [(f"/files/{NAME}", sha256)]
    record = index.small.path / f"lib/python3.11/site-packages/{INFO}/RECORD"
    record.write_text(record.read_text().replace("demo_pkg.py,sha256=", "demo_pkg.py,sha256=x"))
    assert index.found() == []
    for broken in (b"", b"PK", index.wheel.read_bytes()[:-30]):
        index.host.files[f"/files/{NAME}"] = broken
        assert index.found() == []


@pytest.mark.parametrize(
    "change",
    [
        {"core-metadata": {"sha256": "0" * 64}},
        {"core-metadata": False},
        {"hashes": {"md5": "0" * 32}},
        {"hashes": {"sha256": "x"}},
        {"url": "file:///etc/passwd"},
        {"url": None},
        {"filename": 1},
    ],
)
def test_another_or_an_unsafe_file_is_not_taken(change: dict[str, object], index: Index) -> None:
    """The file must be the installed one, with a hash, at an address that others can reach."""
    index.answer({**index.entry, **change})
    assert index.found() == []


def test_an_index_that_does_not_answer_as_it_should_is_no_error(index: Index) -> None:
    """The package stays without a hash. Two wheels that may be meant are none."""
    index.answer(index.entry, {**index.entry, "filename": "demo_pkg-1.0-1-py2.py3-none-any.whl"})
    assert index.found() == []
    for answer in (b"<html>", b"[]", b'{"files": 1}', b'{"files": [1]}', b"[" * 100_000):
        index.host.files[PAGE] = answer
        assert index.found() == []
    del index.host.files[PAGE]
    assert index.found() == []
    (index.small.path / "pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:9/simple\n")
    assert index.found() == []


def test_the_index_is_asked_only_on_request(index: Index) -> None:
    """The lock job sends nothing without --pip-hashes."""
    request = LockRequest(prefix=index.small.path)
    result = job.run(request, lambda event: None)
    assert result.lockfile.pip[0].sha256 == ""
    assert "1 pip package without a hash, which conda-lock needs: --pip-hashes" in result.text()
    assert index.host.seen == []


def test_pip_installs_what_conda_lock_reads_in_our_lock_file(index: Index, tmp_path: Path) -> None:
    """``conda-lock install`` gives pip the lines of an explicit file that ``conda-lock render`` writes."""
    request = LockRequest(prefix=index.small.path, pip_hashes=True)
    text = job.run(request, lambda event: None).lockfile_text(request)
    (tmp_path / "conda-lock.yml").write_text(text)
    render = [sys.executable, "-m", "conda_lock", "render", "-k", "explicit", "-p", "linux-64", "conda-lock.yml"]
    subprocess.run(render, cwd=tmp_path, capture_output=True, check=True)
    lines = (tmp_path / "conda-linux-64.lock").read_text().splitlines()
    (tmp_path / "requirements.txt").write_text("\n".join(line[6:] for line in lines if line.startswith("# pip ")))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", "installed"]
    subprocess.run([*pip, "-r", "requirements.txt"], cwd=tmp_path, check=True)
    assert (tmp_path / "installed/demo_pkg.py").read_text() == "VALUE = 1\n"


def test_a_package_that_the_index_does_not_tell_is_named(index: Index) -> None:
    """The user learns for which packages the lock file cannot be used by conda-lock."""
    index.answer()
    events: list[Event] = []
    result = job.run(LockRequest(prefix=index.small.path, pip_hashes=True), events.append)
    assert result.lockfile == lock(snapshot(index.small.path))
    (warning,) = (event for event in events if isinstance(event, Warning) and event.code == "pip-hash-not-found")
    assert "1 pip package: demo-pkg" in warning.message


def test_conda_lockfiles_finds_the_name_of_the_program(index: Index) -> None:
    """It refuses custom_metadata without this member, see conda_lockfiles.conda_lock.v1."""
    lines = dump(lock(snapshot(index.small.path))).splitlines()
    assert "    created_by: jupyter-condabuild" in lines[lines.index("  custom_metadata:") : lines.index("package:")]
