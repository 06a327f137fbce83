"""Packages of pip and similar tools are found, with their origin and the files that they overwrote."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.pip import PipDistribution
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from tests.parts.channel import prefix as prefixes
from tests.parts.channel import wheels
from tests.parts.small_prefix import SITE, SmallPrefix

COMMIT = "c0ffee1234" * 4
SHA = "ab" * 32


@pytest.fixture
def small(tmp_path: Path) -> SmallPrefix:
    """A prefix with Python and a conda package that is a Python distribution."""
    made = SmallPrefix(tmp_path / "demo")
    made.python()
    made.add("six", "1.16.0", files=made.distribution("six", "1.16.0", {f"{SITE}/six.py": b"6"}))
    return made


def found(small: SmallPrefix) -> PipDistribution:
    """Returns the only distribution of pip."""
    (distribution,) = snapshot(small.path).pip
    return distribution


def codes(environment: Environment) -> list[str]:
    return [warning.code for warning in environment.warnings if warning.code != "local-channel"]


@pytest.mark.parametrize("like", ["conda", "rattler"])
def test_packages_of_a_real_pip_are_found(
    like: str, tmp_path: Path, channel_url: str, package_cache: Path, pip_wheel: Path
) -> None:
    """In an environment with its own pip: name, version, files and the missing hash.

    Distributions of conda are not pip's.
    """
    prefix = tmp_path / "env"
    specs = ["python", "pip", "tqdm"]
    if like == "conda":
        prefixes.conda_made(prefix, tmp_path / "pkgs", specs, channel_url)
    else:
        prefixes.create(prefix, specs, channel_url, package_cache)
    assert snapshot(prefix).pip == ()
    pip = [str(prefix / "bin/python"), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--find-links", str(pip_wheel.parent), "humanize"], check=True)
    environment = snapshot(prefix)
    (distribution,) = environment.pip
    assert distribution.package.name == "humanize"
    assert distribution.package.version == pip_wheel.name.split("-")[1]
    assert (distribution.package.index, distribution.package.url) == ("pypi", "")
    assert (distribution.installer, distribution.source, distribution.overwrites) == ("pip", "index", "")
    assert f"{distribution.dist_info}/RECORD" in distribution.files
    assert f"{SITE}/humanize/__init__.py" in distribution.files
    assert all((prefix / path).exists() for path in distribution.files)
    assert codes(environment) == ["pip-without-hash"]


def test_a_conda_package_that_pip_overwrote_is_found(
    tmp_path: Path, channel_url: str, package_cache: Path, test_cache: Path
) -> None:
    """conda's record stays, and is stale. The distribution names it, and the warning names both."""
    prefix = prefixes.create(tmp_path / "env", ["python", "pip", "idna"], channel_url, package_cache)
    (wheel,) = wheels.download(["idna"], test_cache / "wheels")
    pip = [str(prefix / "bin/python"), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--force-reinstall", str(wheel)], check=True)
    environment = snapshot(prefix)
    (distribution,) = environment.pip
    assert (distribution.overwrites, distribution.source) == ("idna", "local")
    assert "idna" in [record.name for record in environment.records]
    assert codes(environment) == ["conda-overwritten-by-pip", "local-install"]


def test_another_version_of_a_conda_package_is_found(small: SmallPrefix) -> None:
    """pip removes conda's dist-info, and writes its own with another name."""
    for path in (small.path / SITE).glob("six-1.16.0.dist-info/*"):
        path.unlink()
    (small.path / SITE / "six-1.16.0.dist-info").rmdir()
    small.pip("six", "1.17.0", {f"{SITE}/six/__init__.py": b"7"})
    assert found(small).overwrites == "six"
    assert "conda-overwritten-by-pip" in codes(snapshot(small.path))


def test_overwritten_files_of_a_conda_package_with_another_name_are_found(small: SmallPrefix) -> None:
    """py-opencv and opencv-python have different names and the same files."""
    small.pip("seven", files={f"{SITE}/six.py": b"7"})
    assert found(small).overwrites == "six"


def test_a_conda_package_with_a_wrong_installer_belongs_to_conda(small: SmallPrefix) -> None:
    """INSTALLER contains pip in many packages. The hash in the record shows whether the file is still conda's."""
    small.add("odd", files=small.distribution("odd", installer="pip"))
    assert snapshot(small.path).pip == ()
    small.pip("odd", files={f"{SITE}/odd.py": b""})
    assert found(small).overwrites == "odd"


@pytest.mark.parametrize(
    ("direct_url", "source", "url", "sha256"),
    [
        ({"url": "https://me:pw@h/a-1.0-py3-none-any.whl", "archive_info": {"hashes": {"sha256": SHA}}},
         "archive", "https://h/a-1.0-py3-none-any.whl", SHA),
        ({"url": "https://h/a.tar.gz", "archive_info": {"hash": f"sha256={SHA}"}},
         "archive", "https://h/a.tar.gz", SHA),
        ({"url": "https://h/a.tar.gz", "archive_info": {"hashes": {"sha256": "x"}}},
         "archive", "https://h/a.tar.gz", ""),
        ({"url": "https://x-token:pw@h/a.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}, "subdirectory": "py"},
         "vcs", f"git+https://h/a.git@{COMMIT}#subdirectory=py", ""),
        ({"url": "ssh://git@h/a.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
         "vcs", f"git+ssh://git@h/a.git@{COMMIT}", ""),
        ({"url": "file:///home/me/a", "dir_info": {}}, "local", "file:///home/me/a", ""),
        ({"url": "file:///home/me/a%20b", "dir_info": {"editable": True}}, "editable", "file:///home/me/a%20b", ""),
    ],
)  # fmt: skip
def test_direct_url_gives_the_origin(
    small: SmallPrefix, direct_url: dict[str, Any], source: str, url: str, sha256: str
) -> None:
    """Archives have hashes, version control has a commit; local and editable installs are marked.

    Credentials are removed.
    """
    small.pip("a", direct_url=direct_url)
    distribution = found(small)
    assert (distribution.source, distribution.package.url, distribution.package.sha256) == (source, url, sha256)
    assert distribution.package.index == ""
    if source == "editable":
        assert distribution.editable_source == Path("/home/me/a b")
        assert "/home/me/a b" in snapshot(small.path).warnings[0].message
    expected = {"archive": [] if sha256 else ["pip-without-hash"], "editable": ["editable-source-missing"]}
    assert codes(snapshot(small.path)) == expected.get(source, [f"{source}-install"])


def test_the_origin_in_provenance_url_is_kept(small: SmallPrefix) -> None:
    """provenance_url.json (PEP 710) has the URL and hash of a package from an index."""
    info = small.pip("a")
    (info / "provenance_url.json").write_text(
        json.dumps({"url": "https://files.example.org/a-1.0.whl", "archive_info": {"hashes": {"sha256": SHA}}})
    )
    package = found(small).package
    assert (package.url, package.sha256, package.index) == ("https://files.example.org/a-1.0.whl", SHA, "pypi")
    assert codes(snapshot(small.path)) == []


def test_the_environments_own_pip_conf_gives_the_index(small: SmallPrefix) -> None:
    """The user's pip.conf does not count, so that two users of an environment get the same lock file."""
    (small.path / "pip.conf").write_text("[global]\nindex-url = https://me:pw@pypi.lab.org/simple/\n")
    small.pip("a")
    assert found(small).package.index == "https://pypi.lab.org/simple"


def test_setuptools_editable_installs_are_found(small: SmallPrefix) -> None:
    """Without direct_url.json, they are found by their finder, their .pth file and the old .egg-link."""
    small.pip(
        "a", files={f"{SITE}/__editable___a_1_0_finder.py": b"MAPPING: dict[str, str] = {'a': '/src/a/a'}\nX = {}\n"}
    )
    assert found(small).editable_source == Path("/src/a")
    small.pip("b", files={f"{SITE}/__editable__.b-1.0.pth": b"/src/b/lib\n"})
    small.write("src/c/c.egg-info/PKG-INFO", b"Name: c\nVersion: 3\n")
    small.write(f"{SITE}/c.egg-link", b"../../../src/c\n.\n")
    sources = {one.package.name: one.editable_source for one in snapshot(small.path).pip}
    assert sources == {"a": Path("/src/a"), "b": Path("/src/b/lib"), "c": small.path / "src/c"}


def test_egg_info_and_eggs_are_found(small: SmallPrefix) -> None:
    """Packages of setup.py install and easy_install are found, with their listed files."""
    small.write(f"{SITE}/old-1.0-py3.11.egg-info/PKG-INFO", b"Name: old\nVersion: 1.0\n")
    small.write(f"{SITE}/old-1.0-py3.11.egg-info/installed-files.txt", b"../old.py\nPKG-INFO\n../../../../bin/old\n")
    small.write(f"{SITE}/older-2.0-py3.11.egg-info", b"Name: older\nVersion: 2.0\n")
    small.write(f"{SITE}/oldest-3.0-py3.11.egg/EGG-INFO/PKG-INFO", b"Name: oldest\nVersion: 3.0\n")
    small.write(f"{SITE}/oldest-3.0-py3.11.egg/oldest.py")
    old, older, oldest = snapshot(small.path).pip
    assert old.files == ("bin/old", f"{SITE}/old-1.0-py3.11.egg-info/PKG-INFO", f"{SITE}/old.py")
    assert (older.package.version, older.files, older.complete) == ("2.0", (older.dist_info,), False)
    assert f"{SITE}/oldest-3.0-py3.11.egg/oldest.py" in oldest.files


def test_files_outside_of_site_packages_are_relative_to_the_prefix(small: SmallPrefix) -> None:
    """Scripts and data are found. Paths outside of the prefix are left out."""
    info = small.pip("a", files={"bin/a": b"", "share/a/x, y.txt": b""})
    with (info / "RECORD").open("a") as record:
        record.write(f'../../../../../etc/passwd,,\n/etc/passwd,,\n{small.path}/share/abs,,\n"bad\0name",,\n,,\n')
    files = found(small).files
    assert {"bin/a", "share/a/x, y.txt", "share/abs"} < set(files)
    assert [path for path in files if path.startswith(("/", "..")) or "passwd" in path] == []


@pytest.mark.parametrize(
    "damage",
    [
        {"RECORD": None},
        {"RECORD": b""},
        {"RECORD": b'"unclosed,\xff\xfe,\n\0'},
        {"METADATA": None},
        {"METADATA": "Name: \u00e9\nVersion: \u00b2\n".encode("latin-1")},
        {"METADATA": "Name: a\nVersion: 1.0\nAuthor: Jos\u00e9\n".encode("latin-1")},
        {"METADATA": "\ufeffName: a\r\nVersion: 1.0\r\n".encode()},
        {"METADATA": "Name: a\nVersion: 1.0\n".encode("utf-16")},
        {"direct_url.json": b"{"},
        {"direct_url.json": b'{"url": 5, "vcs_info": [], "dir_info": 1, "archive_info": {"hashes": []}}'},
        {"direct_url.json": b"[]"},
        {"direct_url.json": b'{"url": "file://[/a", "dir_info": {"editable": true}}'},
        {"direct_url.json": b'{"url": "https://[/a.whl", "archive_info": {}}'},
        {"INSTALLER": b"\xff"},
    ],
)
def test_damaged_metadata_is_no_error(small: SmallPrefix, damage: dict[str, bytes | None]) -> None:
    """If it is missing, empty, broken or in another encoding, name and version come from the name of the folder."""
    info = small.pip("a", direct_url={"url": "https://h/a.whl", "archive_info": {}})
    for name, content in damage.items():
        (info / name).unlink()
        if content is not None:
            (info / name).write_bytes(content)
    distribution = found(small)
    assert (distribution.package.name, distribution.package.version) == ("a", "1.0")
    assert distribution.complete is (damage.get("RECORD", b"whole") not in (None, b""))


def test_the_rest_of_an_interrupted_uninstall_is_no_distribution(small: SmallPrefix) -> None:
    """The names of these folders begin with a tilde. pip ignores them, too."""
    small.write(f"{SITE}/~ix-1.0.dist-info/METADATA", b"Name: six\nVersion: 1.0\n")
    assert snapshot(small.path).pip == ()


@pytest.mark.parametrize(
    ("info", "code"),
    [
        ({"commit_id": "a" * 40}, "vcs-install"),
        ({"requested_revision": "main"}, "pip-without-hash"),
        ({"requested_revision": "v1.0", "commit_id": "v1.0"}, "pip-without-hash"),
    ],
)
def test_a_branch_of_a_repository_is_no_commit(small: SmallPrefix, info: dict[str, str], code: str) -> None:
    """Such a package can be another one tomorrow, so it counts as one without a hash, as in a lock file."""
    small.pip("mine", direct_url={"url": "https://h.org/mine", "vcs_info": {"vcs": "git", **info}})
    assert codes(snapshot(small.path)) == [code]
