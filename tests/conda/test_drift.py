"""Drift contains every change to a prefix, and nothing else."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_condabuild.conda.prefix.drift import Drift, DriftEntry, drift
from jupyter_condabuild.conda.prefix.listing import listing
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.conda.prefix.verification import expectations
from tests.parts.channel import prefix as prefixes
from tests.parts.small_prefix import SITE, SmallPrefix

SPECS = ["python", "requests", "tqdm", "pip", "greet", "textprefix", "templated", "activation", "oddnames"]


@pytest.fixture(params=["conda", "rattler"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> SmallPrefix:
    """A prefix of either kind, with files, a link and a cached copy of each."""
    made = SmallPrefix(tmp_path / "demo", like=request.param)
    made.python()
    made.add(
        "data", files={"share/data/a.txt": b"a" * 100, "share/data/b.txt": b"b" * 100}, links={"share/link": "data"}
    )
    return made


@pytest.fixture(params=["conda", "rattler"])
def real(request: pytest.FixtureRequest, tmp_path: Path, channel_url: str, package_cache: Path) -> Path:
    """A real prefix of either kind that a test may change. It shares no file with another prefix."""
    if request.param == "conda":
        return prefixes.conda_made(tmp_path / "envs/demo", tmp_path / "pkgs", SPECS, channel_url)
    return prefixes.create(tmp_path / "demo", SPECS, channel_url, tmp_path / "cache")


def found(small: SmallPrefix, *, trust_cache: bool = True) -> Drift:
    return drift(snapshot(small.path), trust_cache=trust_cache)


def paths(entries: tuple[DriftEntry, ...]) -> list[str]:
    return [entry.path for entry in entries]


@pytest.mark.parametrize("trust_cache", [True, False])
def test_an_untouched_prefix_has_no_drift(real: Path, trust_cache: bool) -> None:
    """The prefix has its path in text and in binaries, entry points, bytecode and odd names.

    The cache is trusted or not.
    """
    result = drift(snapshot(real), trust_cache=trust_cache)
    assert (result.modified, result.missing, result.untracked, result.empty) == ((), (), (), ())
    (warning,) = result.warnings
    assert (warning.code, "share/oddnames/private (0600)" in warning.message) == ("file-modes", True)
    assert not result
    assert result.files > 1000


def test_a_used_prefix_has_no_drift(real: Path) -> None:
    """Files that Python caches at an import are kept apart. The bytecode that conda made is not changed."""
    subprocess.run([str(real / "bin/python"), "-O", "-c", "import requests, tqdm"], check=True, env={})
    result = drift(snapshot(real))
    assert not result
    assert all("__pycache__" in path for path in paths(result.bytecode))
    assert any("tqdm" in path for path in paths(result.bytecode))


def test_files_of_pip_are_not_drift(real: Path, pip_wheel: Path) -> None:
    """The files in the RECORD of pip belong to pip."""
    pip = [str(real / "bin/python"), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, str(pip_wheel)], check=True)
    assert not drift(snapshot(real))


CHANGES: dict[str, Callable[[SmallPrefix], object]] = {
    "another content": lambda small: small.write("share/more/a", b"4321"),
    "gone": lambda small: (small.path / "share/more/a").unlink(),
    "another type": lambda small: [(small.path / "share/more/a").unlink(), (small.path / "share/more/a").mkdir()],
    "a link elsewhere": lambda small: [
        (small.path / "share/more/link").unlink(),
        (small.path / "share/more/link").symlink_to("b"),
    ],
    "new": lambda small: small.write("share/more/new"),
}


@pytest.mark.parametrize("change", [None, *CHANGES])
def test_verified_packages_are_not_read_again(
    small: SmallPrefix, change: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unchanged packages are not read again. A change in one package and a new file next to it are found."""
    small.add("more", files={"share/more/a": b"1234", "share/more/b": b"5678"}, links={"share/more/link": "a"})
    first = found(small)
    assert first.verified.keys() >= {"more-1.0-0", "data-1.0-0"}
    if change:
        CHANGES[change](small)
    looked_at: list[str] = []
    monkeypatch.setattr(
        "jupyter_condabuild.conda.prefix.drift.expectations",
        lambda prefix, records, **more: [
            looked_at.extend(record.name for record in records),
            expectations(prefix, records, **more),
        ][1],
    )
    environment = snapshot(small.path)
    again = drift(environment, verified=first.verified)
    expected = [] if change in (None, "new") else ["more"]
    assert looked_at == expected
    whole = drift(environment)
    assert (again.modified, again.missing, again.untracked) == (whole.modified, whole.missing, whole.untracked)
    assert bool(again) == bool(change)
    assert again.files == whole.files
    assert again.verified == whole.verified


def test_packages_that_share_a_path_are_checked_together(small: SmallPrefix) -> None:
    """The file can come from either package."""
    small.add("one", files={"share/both": b"1", "share/one": b"1"})
    small.add("two", files={"share/both": b"2", "share/two": b"2"})
    first = found(small)
    small.write("share/two", b"3")
    assert paths(drift(snapshot(small.path), verified=first.verified).modified) == ["share/two"]


def test_every_kind_of_change_is_found(small: SmallPrefix) -> None:
    """Content of the same size, another size, another type, deleted and new files are found, with owner and size."""
    small.add(
        "more", files={f"share/more/{name}": b"1234" for name in ("same-size", "longer", "folder", "linked", "gone")}
    )
    small.write("share/more/same-size", b"4321")
    small.write("share/more/longer", b"12345")
    (small.path / "share/more/folder").unlink()
    (small.path / "share/more/folder").mkdir()
    (small.path / "share/more/linked").unlink()
    (small.path / "share/more/linked").symlink_to("longer")
    (small.path / "share/more/gone").unlink()
    (small.path / "share/link").unlink()
    (small.path / "share/link").symlink_to("elsewhere")
    small.write("share/new", b"12")
    small.write(".hidden")
    result = found(small)
    assert {(entry.path, entry.kind) for entry in result.modified} == {
        ("share/link", "symlink"),
        ("share/more/folder", "directory"),
        ("share/more/linked", "symlink"),
        ("share/more/longer", "file"),
        ("share/more/same-size", "file"),
    }
    assert {entry.package for entry in result.modified} == {"data", "more"}
    assert result.missing == (DriftEntry("share/more/gone", 4, "more"),)
    assert result.untracked == (DriftEntry(".hidden"), DriftEntry("share/new", 2))


def test_files_of_the_package_cache_are_not_read(small: SmallPrefix) -> None:
    """A hard link to the cache's file that was not written after the extraction is not read. A copy must be read."""
    assert found(small).bytes_read == 0
    shutil.copy2(small.path / "share/data/a.txt", small.path / "copy")
    os.replace(small.path / "copy", small.path / "share/data/a.txt")
    result = found(small)
    assert (result.bytes_read, result.modified) == (100, ())
    assert found(small, trust_cache=False).bytes_read > 200


def test_a_link_to_another_file_is_found(small: SmallPrefix) -> None:
    """The other file has the same size and time, and a second hard link. But it is not the file of the cache."""
    other = small.write("share/data/other", b"o" * 100)
    os.utime(other, (1.7e9, 1.7e9))
    (small.path / "share/data/a.txt").unlink()
    os.link(other, small.path / "share/data/a.txt")
    assert paths(found(small).modified) == ["share/data/a.txt"]


def test_an_edit_through_a_hard_link_is_found(small: SmallPrefix) -> None:
    """The edit changes the file of the package cache, too, so that both are the same file. The time shows the edit."""
    path = small.path / "share/data/a.txt"
    with path.open("r+b") as file:
        file.write(b"X")
    assert path.samefile(small.pkgs / "data-1.0-0/share/data/a.txt")
    assert paths(found(small).modified) == ["share/data/a.txt"]


def test_an_edit_before_the_installation_is_found(small: SmallPrefix) -> None:
    """The cache was damaged through another prefix, and this prefix was linked from it. The time shows the edit."""
    source = small.pkgs / "data-1.0-0/share/data/a.txt"
    index = small.pkgs / "data-1.0-0/info/index.json"
    with source.open("r+b") as file:
        file.write(b"X")
    after = index.stat().st_ctime_ns + 1
    os.utime(source, ns=(after, after))
    for record in small.path.glob("conda-meta/*.json"):
        os.utime(record, ns=(after + 10**9, after + 10**9))
    assert paths(found(small).modified) == ["share/data/a.txt"]


def test_paths_of_two_packages_are_no_drift(small: SmallPrefix) -> None:
    """The later package wins in the prefix. Both records have the path, and both contents are accepted."""
    small.add("a", files={"share/both": b"from a"})
    small.add("b", files={"share/both": b"from b"})
    assert not found(small)
    small.write("share/both", b"from c")
    assert paths(found(small).modified) == ["share/both"]


def test_clobbered_paths_of_conda_are_no_drift(tmp_path: Path, channel_url: str) -> None:
    """The same is so for packages that conda links."""
    prefix = prefixes.conda_made(tmp_path / "envs/x", tmp_path / "pkgs", ["clobber-a", "clobber-b"], channel_url)
    assert not drift(snapshot(prefix))


def test_bytecode_is_kept_apart(small: SmallPrefix) -> None:
    """New, changed and missing caches are no drift. A module that is only bytecode is a normal file."""
    small.add(
        "mod",
        files={
            f"{SITE}/mod.py": b"",
            f"{SITE}/__pycache__/mod.cpython-311.pyc": b"old",
            f"{SITE}/__pycache__/gone.pyc": b"x",
        },
    )
    small.write(f"{SITE}/__pycache__/mod.cpython-311.pyc", b"new")
    small.write(f"{SITE}/__pycache__/other.cpython-311.opt-1.pyc", b"12")
    (small.path / SITE / "__pycache__/gone.pyc").unlink()
    small.write(f"{SITE}/alone.pyc")
    result = found(small)
    assert (result.modified, result.missing) == ((), ())
    assert paths(result.untracked) == [f"{SITE}/alone.pyc"]
    assert paths(result.bytecode) == [
        f"{SITE}/__pycache__/mod.cpython-311.pyc",
        f"{SITE}/__pycache__/other.cpython-311.opt-1.pyc",
    ]


def test_files_that_pip_overwrote_belong_to_pip(small: SmallPrefix) -> None:
    """The files in its RECORD are not modified files of conda. Files that pip removed are missing."""
    small.add("six", files=small.distribution("six", "1.0", {f"{SITE}/six.py": b"6", f"{SITE}/six_old.py": b""}))
    shutil.rmtree(small.path / SITE)
    small.pip("six", "2.0", {f"{SITE}/six.py": b"7"})
    result = found(small)
    assert (result.modified, result.untracked) == ((), ())
    assert f"{SITE}/six_old.py" in paths(result.missing)
    assert {entry.package for entry in result.missing} == {"six"}


def test_missing_files_of_pip_are_reported(small: SmallPrefix) -> None:
    """A RECORD with files that do not exist gives a warning, and no crash."""
    small.pip("a", files={f"{SITE}/a.py": b""})
    (small.path / SITE / "a.py").unlink()
    (warning,) = found(small).warnings
    assert warning.code == "pip-files-missing"
    assert "a.py" in warning.message


def test_odd_names_are_reported_unchanged(small: SmallPrefix) -> None:
    """Names with line ends, bytes that are not UTF-8 and spaces are reported unchanged."""
    names = [b"share/line\nend", b"share/b\xe4d", b"share/ blank "]
    for name in names:
        with open(os.fsencode(small.path) + b"/" + name, "wb"):
            pass
    assert sorted(map(os.fsencode, paths(found(small).untracked))) == sorted(names)


def test_another_form_of_accents_is_no_drift(small: SmallPrefix) -> None:
    """HFS+ lists the names of files in another form than their packages wrote. On Linux, these are other names."""
    composed, listed = (unicodedata.normalize(form, "share/caf\u00e9") for form in ("NFC", "NFD"))
    small.add("accents", files={composed: b"x"})
    small.write(listed.replace("share", "etc"), b"mine")
    here = listing(small.path)
    here = here._replace(statuses={unicodedata.normalize("NFD", path): item for path, item in here.statuses.items()})
    environment = snapshot(small.path)
    mac = drift(replace(environment, platform="osx-arm64"), here)
    assert paths(mac.untracked) == [listed.replace("share", "etc")]
    assert not mac.missing
    assert listed in paths(drift(environment, here).untracked)


def test_links_are_not_followed(small: SmallPrefix, tmp_path: Path) -> None:
    """Loops end, and nothing outside of the prefix is read."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").touch()
    (small.path / "share/loop").symlink_to("..")
    (small.path / "share/self").symlink_to("self")
    (small.path / "share/outside").symlink_to(tmp_path / "outside")
    assert [(entry.path, entry.kind) for entry in found(small).untracked] == [
        ("share/loop", "symlink"),
        ("share/outside", "symlink"),
        ("share/self", "symlink"),
    ]


def test_files_listed_below_a_link_are_found(small: SmallPrefix) -> None:
    """A package can have lib64/x where lib64 is a link to lib. The file is neither missing nor untracked."""
    (small.path / "lib64").symlink_to("lib")
    (small.path / "lib").mkdir(exist_ok=True)
    small.add("below", files={"lib64/x": b"x"})
    assert paths(found(small).untracked) == ["lib64"]
    assert not found(small).missing


def test_special_files_are_reported_and_not_read(small: SmallPrefix) -> None:
    """A pipe or socket does not block the check, even in place of a package's file of unknown size."""
    os.mkfifo(small.path / "share/pipe")
    record = small.path / "conda-meta/data-1.0-0.json"
    record.write_text(record.read_text().replace('"size_in_bytes": 100', '"size_in_bytes": null'))
    (small.path / "share/data/a.txt").unlink()
    os.mkfifo(small.path / "share/data/a.txt")
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(small.path, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/s")
        os.close(folder)
        result = found(small)
    assert [(entry.path, entry.kind) for entry in result.untracked] == [("s", "special"), ("share/pipe", "special")]
    assert [(entry.path, entry.kind) for entry in result.missing] == [("share/data/a.txt", "special")]
    assert result.modified == ()


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root can read every file")
def test_unreadable_files_are_reported(small: SmallPrefix) -> None:
    """Files and folders that only other users can read give one warning with their names."""
    shutil.copy(small.path / "share/data/b.txt", small.path / "copy")
    os.replace(small.path / "copy", small.path / "share/data/b.txt")
    os.chmod(small.path / "share/data/b.txt", 0)
    (small.path / "locked").mkdir(mode=0)
    code = f"""
from collections.abc import Callable
from pathlib import Path
from jupyter_condabuild.conda.prefix.drift import drift
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.conda.prefix.verification import expectations
result = drift(snapshot(Path({str(small.path)!r})))
assert not result
print([warning.message for warning in result.warnings])
"""
    as_others = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    run = subprocess.run([*as_others, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "['2 paths of the environment cannot be read: locked/, share/data/b.txt.']\n"


def test_files_of_conda_itself_are_no_drift(small: SmallPrefix) -> None:
    """Metadata, trash and rattler's tag are no drift. Nor are the packages and environments of a base environment."""
    for path in (
        "conda-meta/history",
        "conda-meta/new",
        "CACHEDIR.TAG",
        ".nonadmin",
        "share/x.c~",
        "share/y.conda_trash",
    ):
        small.write(path)
    assert not found(small)
    small.write("pkgs/x")
    small.write("envs/other/conda-meta/history")
    assert paths(found(small).untracked) == ["pkgs/x"]
    small.add("conda", files={"condabin/conda": b"#!/bin/sh\n"})
    assert not found(small)
    (warning,) = found(small).warnings
    assert (warning.code, "envs, pkgs" in warning.message) == ("root-prefix", True)


def test_an_environment_inside_is_reported(small: SmallPrefix) -> None:
    """A nested environment is not a part of the outer environment, and a warning names it."""
    small.write("nested/conda-meta/history")
    small.write("nested/bin/x")
    result = found(small)
    assert not result
    (warning,) = result.warnings
    assert (warning.code, "nested" in warning.message) == ("nested-environment", True)


def test_progress_reaches_its_total(small: SmallPrefix) -> None:
    """Progress counts bytes, and never goes back."""
    seen: list[tuple[int, int]] = []
    drift(snapshot(small.path), progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 0


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_number_of_workers_changes_nothing(small: SmallPrefix, workers: int) -> None:
    """The result is sorted, in whatever order the workers end."""
    small.add("many", files={f"share/many/{number}": bytes(number) for number in range(500)})
    for number in range(0, 500, 7):
        small.write(f"share/many/{number}", b"changed")
    result = drift(snapshot(small.path), workers=workers)
    assert paths(result.modified) == sorted(f"share/many/{number}" for number in range(0, 500, 7))
