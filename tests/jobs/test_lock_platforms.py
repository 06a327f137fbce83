"""`lock --platform`: one lock file for several platforms, which other tools read, and a table of what changes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rattler

from jupyter_condabuild.conda.cross.substitution import Substitution
from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.errors import LockfileError, NotCompatible, PackageNotFound, UsageError
from jupyter_condabuild.events import Event, Warning
from jupyter_condabuild.jobs import convert, lock
from jupyter_condabuild.jobs.convert import Converted
from jupyter_condabuild.jobs.lock import LockReport
from jupyter_condabuild.requests.others import LockRequest
from tests.parts.channel import platforms
from tests.parts.channel.channel import Channel
from tests.parts.channel.wheel_index import serving
from tests.parts.small_prefix import SITE, SmallPrefix

BOTH = ["linux-64", "linux-aarch64"]


@pytest.fixture
def mac(tmp_path: Path, forge: Channel) -> Iterator[Path]:
    """The macOS sample with a pip package. Its packages seem to come from the test channel."""
    with serving() as index:
        index.wheel("fast", tag="cp311-cp311-manylinux2014_x86_64")
        index.wheel("fast", tag="cp311-cp311-manylinux2014_aarch64")
        index.wheel("pure")
        prefix = platforms.prefix_of(tmp_path / "mac", platforms.records("osx-arm64"), forge.url, ["numpy", "scipy"])
        (prefix / "pip.conf").write_text(f"[global]\nindex-url = {index.url}\n")
        (prefix / SITE).mkdir(parents=True)
        small = SmallPrefix(tmp_path / "other")
        for name in ("fast", "pure"):
            for path, data in small.distribution(name, installer="pip").items():
                (prefix / path).parent.mkdir(exist_ok=True)
                (prefix / path).write_bytes(data)
        yield prefix


def run(prefix: Path, **values: Any) -> tuple[LockReport, LockRequest, list[Event]]:
    """Runs the job."""
    events: list[Event] = []
    request = LockRequest.parse({"prefix": str(prefix), "leave_out": ["libclang"], **values})
    return lock.run(request, events.append), request, events


def test_conda_lock_reads_the_lock_file_of_both_platforms(mac: Path, tmp_path: Path) -> None:
    """Its parser finds every package of each platform, and its renderer makes a file that conda installs from."""
    found, request, _ = run(mac, platform=BOTH)
    (tmp_path / "conda-lock.yml").write_text(found.lockfile_text(request))
    code = """
import json, pathlib, sys
from conda_lock.lockfile import parse_conda_lock_file
found = parse_conda_lock_file(pathlib.Path(sys.argv[1]))
print(json.dumps([found.metadata.platforms, [[one.platform, one.manager, one.name, one.url] for one in found.package]]))
"""
    read = subprocess.run(
        [sys.executable, "-c", code, "conda-lock.yml"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    listed, packages = json.loads(read.stdout)
    assert listed == BOTH
    for other in found.others:
        named = [
            (manager, name, url) for platform, manager, name, url in packages if platform == other.lockfile.platform
        ]
        assert sorted(named) == sorted(
            [("conda", package.name, package.url) for package in other.lockfile.conda]
            + [("pip", package.name, package.url) for package in other.lockfile.pip]
        )
        render = [sys.executable, "-m", "conda_lock", "render", "-k", "explicit", "-p", other.lockfile.platform]
        subprocess.run([*render, "conda-lock.yml"], cwd=tmp_path, capture_output=True, check=True)
        text = (tmp_path / f"conda-{other.lockfile.platform}.lock").read_text()
        assert all(f"{package.url}#{package.md5}" in text for package in other.lockfile.conda)
        assert all(f"# pip {package.name} @ {package.url}#sha256=" in text for package in other.lockfile.pip)


@pytest.mark.parametrize("format", ["conda-lock", "pixi"])
def test_rattler_reads_the_lock_file_of_both_platforms(mac: Path, tmp_path: Path, format: str) -> None:
    """pixi reads its lock files with the same library."""
    found, request, _ = run(mac, platform=BOTH, format=format)
    path = tmp_path / {"conda-lock": "conda-lock.yml", "pixi": "pixi.lock"}[format]
    path.write_text(found.lockfile_text(request))
    (environment,) = (environment for _, environment in rattler.LockFile.from_path(path).environments())
    packages = {str(platform): environment.packages(platform) or [] for platform in environment.platforms()}
    assert {
        name: sorted(package.location.removeprefix("file://") for package in items) for name, items in packages.items()
    } == {
        other.lockfile.platform: sorted(
            package.url.removeprefix("file://") for package in (*other.lockfile.conda, *other.lockfile.pip)
        )
        for other in found.others
    }


@pytest.mark.parametrize("format", ["conda-lock", "pixi"])
def test_each_platform_reads_back_equal(mac: Path, format: str) -> None:
    """Packages of two platforms may have files of the same name, which differ in their sizes."""
    found, request, _ = run(mac, platform=["osx-arm64", *BOTH], format=format)
    text = found.lockfile_text(request)
    for lockfile in (found.lockfile, *(other.lockfile for other in found.others)):
        read = load(text, lockfile.platform)
        if format == "pixi":  # it has one URL for a pip package: that of its file, or that of its index
            lockfile = replace(
                lockfile, pip=tuple(replace(one, index=one.index * (not one.url)) for one in lockfile.pip)
            )
        assert (read.conda, read.pip) == (lockfile.conda, lockfile.pip)
        assert read.digest == lockfile.digest
        assert [package.size for package in read.conda] == [package.size for package in lockfile.conda]
        assert format == "pixi" or read.requested == lockfile.requested


def test_the_table_is_in_the_report_and_in_json(mac: Path) -> None:
    """The counts are those of the rows. The packages of pip are in it, too."""
    found, _, events = run(mac, platform=BOTH)
    assert found.text().count(" packages, ") >= 2
    first, second = found.summary()["platforms"]
    assert (first["platform"], first["from"], first["glibc"]) == ("linux-64", "osx-arm64", "2.36")
    assert first["counts"]["same-build"] == sum(row["level"] == "same-build" for row in first["packages"])
    pip = [(row["name"], row["level"]) for row in second["packages"] if row["manager"] == "pip"]
    assert pip == [("fast", "same-version"), ("pure", "same-build")]
    assert json.loads(json.dumps(found.summary())) == found.summary()
    assert not [event for event in events if isinstance(event, Warning) and event.code == "other-version"]


def test_packages_that_are_too_far_away_are_refused(mac: Path) -> None:
    """linux-aarch64 has another patch version of scipy."""
    run(mac, platform=["linux-64"], strict_versions="same-version")
    with pytest.raises(NotCompatible, match=r"further .* than same-version: scipy 1\.11\.4 -> 1\.11\.3"):
        run(mac, platform=BOTH, strict_versions="same-version")


def test_without_a_platform_no_channel_is_read(tmp_path: Path) -> None:
    """Locking an environment for its own platform needs its records alone."""
    records = platforms.records("osx-arm64")
    prefix = platforms.prefix_of(tmp_path / "gone", records, (tmp_path / "no-channel").as_uri())
    plain, request, _ = run(prefix)
    again, same, _ = run(prefix, platform=["osx-arm64"])
    assert plain.lockfile_text(request) == again.lockfile_text(same)
    with pytest.raises(PackageNotFound, match="channels of the environment cannot be read"):
        run(prefix, platform=["linux-64"])


def lock_of_the_mac(mac: Path, file: Path, format: str = "conda-lock") -> Path:
    """Writes the lock file of the macOS environment alone."""
    found, request, _ = run(mac, format=format, pip_hashes=True)
    file.write_text(found.lockfile_text(request))
    return file


def convert_of(lockfile: Path, **values: Any) -> tuple[Converted, LockRequest]:
    """Runs the job for a lock file."""
    request = LockRequest.parse({"lockfile": str(lockfile), "leave_out": ["libclang"], **values})
    return convert.run(request, lambda event: None), request


@pytest.mark.parametrize("format", ["conda-lock", "pixi"])
def test_the_lock_file_of_a_mac_alone_gives_the_same_lock_file(mac: Path, tmp_path: Path, format: str) -> None:
    """The environment is not needed: the lock file of a colleague's Mac becomes that of Linux, with the same table."""
    lockfile = lock_of_the_mac(mac, tmp_path / "mac.lock", format)
    found, _ = convert_of(lockfile, platform=BOTH)
    expected, _, _ = run(mac, platform=BOTH)
    assert [one.digest for one in found.lockfiles] == [one.lockfile.digest for one in expected.others]

    def closeness(table: Substitution) -> list[tuple[str, str, str]]:
        return [(row.name, row.there, str(row.level)) for row in table.rows]

    wanted = [closeness(one.substitution) for one in expected.others]
    assert [closeness(one.substitution) for one in found.others] == wanted
    assert "osx-arm64 to linux-aarch64: of 33 packages, " in found.text()
    assert [table["platform"] for table in found.summary()["platforms"]] == BOTH


def test_a_platform_that_the_lock_file_has_is_not_solved_again(mac: Path, tmp_path: Path) -> None:
    """The packages are those of the file. Another platform is solved from that of Linux, if the file has one."""
    found, request, _ = run(mac, platform=["osx-arm64", "linux-64"])
    (tmp_path / "two.yml").write_text(found.lockfile_text(request))
    again, _ = convert_of(tmp_path / "two.yml", platform=BOTH, leave_out=[])
    assert again.lockfiles[0].conda == found.others[0].lockfile.conda
    assert [one.substitution.source for one in again.others] == ["linux-64"]


def test_channels_keep_the_order_of_the_lock_file(mac: Path, tmp_path: Path, forge: Channel) -> None:
    """The first channel has the priority, also if none of the packages of the Mac comes from it."""
    lockfile = lock_of_the_mac(mac, tmp_path / "pixi.lock", "pixi")
    first = platforms.made(tmp_path / "first", [platforms.plain("libnsl", "9.0", "h0_0")])
    text = lockfile.read_text()
    assert text.count(f"- url: {forge.url}\n") == 1
    lockfile.write_text(text.replace(f"- url: {forge.url}\n", f"- url: {first.url}/\n      - url: {forge.url}\n"))
    found, request = convert_of(lockfile, platform=["linux-64"], format="pixi")
    (libnsl,) = (package for package in found.lockfiles[0].conda if package.name == "libnsl")
    assert (libnsl.version, libnsl.channel) == ("9.0", first.url)
    assert load(found.lockfile_text(request)).channels_by_priority[0] == first.url


def test_an_explicit_file_of_a_mac_is_refused(mac: Path, tmp_path: Path) -> None:
    """It does not say which packages need each other. The message names the formats that do."""
    lockfile = lock_of_the_mac(mac, tmp_path / "explicit.txt", "explicit")
    with pytest.raises(LockfileError, match="which packages need each other") as caught:
        convert_of(lockfile, platform=["linux-64"])
    assert "pixi.lock" in caught.value.hint


def test_a_format_for_one_platform_refuses_two() -> None:
    """The message names the formats that can have several."""
    with pytest.raises(UsageError, match="for one platform"):
        LockRequest.parse({"prefix": "/x", "format": "explicit", "platform": BOTH})


def test_a_platform_that_no_image_has_is_refused(mac: Path) -> None:
    """The message names the others."""
    with pytest.raises(UsageError, match="'win-64'"):
        run(mac, platform=["win-64"])
