"""The files of a wheel are laid out without running anything of it; a hostile wheel writes nothing elsewhere."""

from __future__ import annotations

import io
import posixpath
import zipfile
from pathlib import Path

import pytest

from jupyter_condabuild.conda.cross.wheel_files import install
from jupyter_condabuild.conda.linking.disk_places import LaidOut
from jupyter_condabuild.conda.packages import PipPackage
from jupyter_condabuild.errors import PackageNotFound, UnsafePackage
from tests.parts.channel.wheel_index import WheelIndex

SITE = "lib/python3.12/site-packages"
PYTHON = "/opt/env/bin/python"


def package(index: WheelIndex, name: str) -> PipPackage:
    """Returns the package of the last file that was published under a name."""
    entry = index.entries[name][-1]
    url = f"{index.host.url}/files/{entry['filename']}"
    return PipPackage(name, "1.0", url, index.url, entry["hashes"]["sha256"])


def installed(index: WheelIndex, name: str, folder: Path) -> LaidOut:
    """Lays out the last file that was published under a name."""
    laid = LaidOut(folder / "prefix")
    assert install(package(index, name), laid, folder / "work", SITE, PYTHON) == tuple(sorted(laid.files))
    return laid


def test_each_kind_of_file_has_its_place(index: WheelIndex, tmp_path: Path) -> None:
    """Scripts name the interpreter of the image. Bytecode that the wheel brings is left out."""
    files = {
        "tool-1.0.data/scripts/run": b"#!python\nprint(1)\n",
        "tool-1.0.data/data/share/tool.txt": b"text",
        "tool-1.0.data/purelib/more.py": b"x = 1\n",
        "tool-1.0.dist-info/entry_points.txt": b"[console_scripts]\ntool = tool:main\n",
        "__pycache__/tool.cpython-312.pyc": b"bytecode",
    }
    index.wheel("tool", files=files)
    found = installed(index, "tool", tmp_path)
    assert {"bin/run", "bin/tool", "share/tool.txt", f"{SITE}/more.py", f"{SITE}/tool.py"} < set(found.files)
    assert not [path for path in found.files if path.endswith(".pyc")]
    for name in ("run", "tool"):
        assert (tmp_path / "prefix/bin" / name).read_bytes().startswith(f"#!{PYTHON}\n".encode())
    assert all(file == f"{tmp_path}/prefix/{path}" and Path(file).is_file() for path, file in found.files.items())
    assert found.executables == {"bin/tool"}
    record = Path(found.files[f"{SITE}/tool-1.0.dist-info/RECORD"]).read_text()
    names = [line.split(",")[0] for line in record.splitlines()]
    assert {posixpath.normpath(f"{SITE}/{name}") for name in names} == set(found.files)
    assert "../../../bin/run" in names


@pytest.mark.parametrize(
    "path",
    ["../../../../../evil.py", "/tmp/evil-of-a-wheel.py", "bad-1.0.data/scripts/../../../evil", "bad-1.0.data/odd/x"],
)
def test_a_path_that_leads_out_is_refused(index: WheelIndex, tmp_path: Path, path: str) -> None:
    """Nothing of the wheel is in the prefix then."""
    index.wheel("bad", files={path: b"evil"})
    with pytest.raises(UnsafePackage, match=r"bad-1\.0-py3-none-any\.whl cannot be unpacked"):
        installed(index, "bad", tmp_path / "a/b/c")
    assert not any((tmp_path / "a/b/c/prefix").iterdir())
    assert not [found for found in tmp_path.rglob("evil*") if found.is_file()]
    assert not Path("/tmp/evil-of-a-wheel.py").exists()


def test_a_wheel_that_unpacks_to_far_more_than_its_size_is_refused(index: WheelIndex, tmp_path: Path) -> None:
    """It is not unpacked."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.py", b"\0" * (300 << 20))
    index.publish("bomb", "bomb-1.0-py3-none-any.whl", out.getvalue())
    with pytest.raises(UnsafePackage, match="far more than its size"):
        installed(index, "bomb", tmp_path)


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_wheel_is_refused(index: WheelIndex, tmp_path: Path, data: bytes) -> None:
    """Its hash is right."""
    index.publish("odd", "odd-1.0-py3-none-any.whl", data)
    with pytest.raises(UnsafePackage, match="cannot be unpacked"):
        installed(index, "odd", tmp_path)


def test_a_wheel_that_is_gone_is_named(index: WheelIndex, tmp_path: Path) -> None:
    """The index has said that it exists."""
    index.wheel("gone")
    del index.host.files["/files/gone-1.0-py3-none-any.whl"]
    with pytest.raises(PackageNotFound, match=r"gone-1\.0-py3-none-any\.whl cannot be downloaded"):
        installed(index, "gone", tmp_path)
