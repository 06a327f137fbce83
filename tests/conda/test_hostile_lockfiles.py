"""Lock files that are damaged, too large or hostile are refused, and cost little time and memory."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.lockfile import of_packages
from jupyter_condabuild.conda.match_specs import merged_depends
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.errors import LockfileError

SHA = "ab" * 32


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "a: [",
        "- 1",
        "version: 1\nmetadata: {}\npackage: 5",
        "version: 2\nmetadata: {}\npackage: []",
        "version: 1\nmetadata: {platforms: [linux-64]}\npackage:\n- {name: x}",
        "version: 6\nenvironments: {}\npackages: []",
        "version: 3\nenvironments: {default: {}}\npackages: []",
        "version: 6\nenvironments: {default: {packages: {linux-64: [{conda: 'https://h/x-1-0.conda'}]}}}\npackages: []",
        "version: 6\nenvironments: {default: {packages: {osx-64: [], win-64: []}}}\npackages: []",
        "version: .inf\nenvironments: {default: {packages: {linux-64: []}}}\npackages: []",
        (
            "version: 6\nenvironments: {default: {packages: {linux-64: [{conda: 'https://h/noarch/x-1-0.conda'}]}}}\n"
            "packages: [{conda: 'https://h/noarch/x-1-0.conda', size: .inf}]"
        ),
        (
            "version: 1\nmetadata: {platforms: [linux-64], custom_metadata: {size/x-1-0.conda: .inf}}\npackage:\n"
            "- {name: x, version: '1', manager: conda, platform: linux-64, url: 'https://h/x/x-1-0.conda', hash: {}}"
        ),
        "@EXPLICIT\nhttps://h/noarch/x.conda",
        "@EXPLICIT\nhttps://h/noarch/x-1-0.conda#abc",
        "@EXPLICIT\nx",
        "# platform: linux-64\n@EXPLICIT\n# pip a @ https://[/a.whl",
        (
            "version: 1\nmetadata: {platforms: [linux-64]}\npackage:\n"
            "- {name: x, version: '1', manager: pip, platform: linux-64, url: 'https://[/a.whl', hash: {}}"
        ),
        "&a [*a, *a]",
        "[" * 5000,
    ],
)
def test_a_file_that_is_no_lock_file_is_refused(text: str, tmp_path: Path) -> None:
    """The error has the name of the file, and no traceback of a parser."""
    path = tmp_path / "some.lock"
    path.write_text(text)
    with pytest.raises(LockfileError, match=re.escape(str(path))):
        load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("site_packages", "../../home/user"),
        ("site_packages", "/home/user"),
        ("site_packages", "lib/python3.12/../../x/site-packages"),
        ("site_packages", "lib/python3.12/site-packages/x"),
        ("site_packages", "lib/python3.12/site-packages\n"),
        ("version", "../3.12"),
        ("name", "../python"),
        ("name", "p" * 250),
        ("sha256", "../" + "a" * 61),
        ("sha256", "a" * 63),
        ("md5", "x" * 32),
    ],
)
@pytest.mark.parametrize("format", ["conda-lock", "pixi"])
def test_values_that_become_paths_stay_in_the_prefix(format: str, field: str, value: str) -> None:
    """A lock file decides the folder of noarch packages and the names of files of a build."""
    text = json.dumps(_python_lock(format, **{field: value}))
    with pytest.raises(LockfileError):
        load(text)
    assert load(json.dumps(_python_lock(format, site_packages="lib/python3.13t/site-packages"))).site_packages == (
        "lib/python3.13t/site-packages"
    )


def _python_lock(format: str, site_packages: str = "lib/python3.13/site-packages", **given: str) -> dict[str, Any]:
    """Returns a lock file of Python in one of two formats."""
    url = "https://h/linux-64/python-3.13.1-0_cp313.conda"
    known = {"name": "python", "version": "3.13.1", "sha256": "a" * 64, "md5": "b" * 32, **given}
    if format == "pixi":
        package = {"conda": url, **known, "python_site_packages_path": site_packages}
        references = {"linux-64": [{"conda": url}]}
        return {"version": 6, "environments": {"default": {"packages": references}}, "packages": [package]}
    hashes = {kind: known.pop(kind) for kind in ("sha256", "md5")}
    package = {**known, "manager": "conda", "platform": "linux-64", "url": url, "hash": hashes}
    custom = {"site-packages/python-3.13.1-0_cp313.conda": site_packages}
    metadata = {"platforms": ["linux-64"], "custom_metadata": custom}
    return {"version": 1, "metadata": metadata, "package": [package]}


def test_an_unreadable_lock_file_is_refused(tmp_path: Path) -> None:
    """The file is missing, is a folder, or is not text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", ".", "binary"):
        with pytest.raises(LockfileError):
            load(tmp_path / name)


def test_versions_are_read_as_text() -> None:
    """3.10 is not 3.1, with and without quotes in the file."""
    text = dump(of_packages("linux-64", [CondaPackage.of_url("https://h/noarch/x-3.10-0.conda", md5="1" * 32)], []))
    assert load(text.replace('"', "")).conda[0].version == "3.10"


def test_a_lock_file_with_too_many_lines_takes_little_time() -> None:
    """The number of packages is limited, and empty lines take little time."""
    with pytest.raises(LockfileError, match="more than 50000 packages"):
        load("@EXPLICIT\n" + "https://h/noarch/a-1-0.conda\n" * 50_001)
    assert load("@EXPLICIT\n" + "\n" * 3_000_000, "linux-64").conda == ()


def test_a_too_large_file_is_not_read(tmp_path: Path) -> None:
    """A lock file has at most 64 MiB, for any size of the file on the disk."""
    path = tmp_path / "lock.yml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(LockfileError, match="more than 67"):
        load(path)


@pytest.mark.parametrize("spec", ["a >=1", "a 1.*", "a" + " " * 60_000 + "x"])
def test_many_dependencies_of_one_name_take_linear_time(spec: str) -> None:
    """100,000 specs with the same name are joined once."""
    (merged,) = merged_depends([spec] * (100_000 if len(spec) < 100 else 3))
    assert merged.startswith("a ")
