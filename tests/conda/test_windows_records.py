"""The records of a Windows environment: backslashes in paths, and another folder of Python packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from tests.parts.channel import platforms

INIT = "Lib\\site-packages\\tool\\__init__.py"


def record(**fields: Any) -> dict[str, Any]:
    """Returns a record as micromamba writes it on Windows."""
    value = {"name": "tool", "version": "1.0", "build": "pyh_0", "build_number": 0, "subdir": "noarch"}
    value |= {"url": "https://h/lab/noarch/tool-1.0-pyh_0.conda", "files": [INIT, "Scripts\\tool.exe"]}
    value |= {"paths_data": {"paths_version": 1, "paths": [{"_path": INIT}, {"_path": "Scripts\\tool.exe"}]}}
    return value | fields


def test_backslashes_become_slashes() -> None:
    """All paths of this program have slashes."""
    found = PrefixRecord.parse(record(), Path("tool.json"))
    assert list(found.files) == ["Lib/site-packages/tool/__init__.py", "Scripts/tool.exe"]
    assert [entry.path for entry in found.paths] == ["Lib/site-packages/tool/__init__.py", "Scripts/tool.exe"]


def test_a_backslash_in_the_name_of_a_linux_file_stays() -> None:
    """systemd has such names."""
    files = ["lib/systemd/dev-disk\\x2dby.device"]
    found = PrefixRecord.parse(record(files=files, paths_data={"paths": [{"_path": files[0]}]}), Path("tool.json"))
    assert list(found.files) == [entry.path for entry in found.paths] == files


@pytest.mark.parametrize("path", ["Lib\\..\\..\\evil", "Lib\\x\\..\\..\\..\\evil"])
def test_a_path_that_leads_out_with_backslashes_is_refused(path: str) -> None:
    """It is checked after the slashes are right."""
    with pytest.raises(ValueError, match="leads out of the environment"):
        PrefixRecord.parse(record(files=[path], paths_data={}), Path("tool.json"))


def test_site_packages_is_that_of_windows(tmp_path: Path) -> None:
    """Newer records of Python name the folder (CEP 17)."""
    fn = "python-3.13.1-h0_0_cp313.conda"
    python = {"name": "python", "version": "3.13.1", "build": "h0_0_cp313", "build_number": 0, "subdir": "win-64"}
    python |= {"url": f"https://h/lab/win-64/{fn}", "sha256": "0" * 64, "depends": []}
    for number, named in enumerate(("Lib/site-packages", "Lib\\site-packages", "")):
        value = {**python, "python_site_packages_path": named}
        environment = snapshot(platforms.prefix_of(tmp_path / str(number), [value]))
        assert environment.site_packages == "Lib/site-packages"
        assert lock(environment).platform == "win-64"


def test_pip_packages_of_windows_are_found(tmp_path: Path) -> None:
    """Their metadata is in Lib/site-packages, and pip.ini names the index."""
    python = {"name": "python", "version": "3.11.7", "build": "h0_0_cpython", "build_number": 0, "subdir": "win-64"}
    python |= {"url": "https://h/lab/win-64/python-3.11.7-h0_0_cpython.conda", "sha256": "0" * 64, "depends": []}
    prefix = platforms.prefix_of(tmp_path / "env", [python])
    info = prefix / "Lib/site-packages/tool-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: tool\nVersion: 1.0\n")
    (info / "RECORD").write_text("tool.py,,\n../../Scripts/tool.exe,,\ntool-1.0.dist-info/METADATA,,\n")
    (prefix / "pip.ini").write_text("[global]\nindex-url = https://pypi.lab.org/simple\n")
    (found,) = snapshot(prefix).pip
    assert (found.package.name, found.package.index) == ("tool", "https://pypi.lab.org/simple")
    assert "Scripts/tool.exe" in found.files
