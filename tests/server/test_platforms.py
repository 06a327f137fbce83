"""An environment of macOS over REST: the table before anything is built, the build, and the history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.cross.solver import Solver
from jupyter_condabuild.conda.platforms import linux_platform
from tests.parts.channel import platforms
from tests.parts.channel.channel import Channel
from tests.parts.small_image import two_platforms
from tests.server.conftest import Api
from tests.server.test_answers import asked
from tests.server.test_builds import check
from tests.server.test_routes import error_of


@pytest.fixture
def mac(tmp_path: Path, mixed: Channel) -> Path:
    """A macOS environment with a file of no package."""
    prefix = platforms.installed(tmp_path / "mac", "osx-arm64", platforms.SPECS, mixed.url, tmp_path / "pkgs")
    (prefix / "share").mkdir(exist_ok=True)
    (prefix / "share/notes.txt").write_text("text")
    return prefix


async def test_nothing_is_solved_unasked(api: Api, mac: Path) -> None:
    """The error has a code of its own, so that a client can offer the platforms."""
    answer = await api("POST", "condabuild/snapshots", {"prefix": str(mac)})
    assert (answer.status, error_of(answer)) == (422, "platform_needed")
    assert answer.json["platform"] == linux_platform()


async def test_a_snapshot_has_the_table(api: Api, mac: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages are those of Linux, and the environment is named. The process of the server solves nothing."""

    async def refuse(self: Solver) -> None:
        raise AssertionError("the server solved")

    monkeypatch.setattr(Solver, "read", refuse)
    report = await asked(api, "snapshots", {"prefix": str(mac), "platform": "linux-64"}, "Snapshot")
    assert (report["name"], report["prefix"], report["platform"]) == ("mac", str(mac), "linux-64")
    table = report["substitution"]
    assert (table["from"], table["platform"], table["counts"]["left-out"]) == ("osx-arm64", "linux-64", 1)
    (libcxx,) = (row for row in table["packages"] if row["name"] == "libcxx")
    assert (libcxx["there"], libcxx["why"]) == ("", "the C++ library of macOS")
    assert "libcxx" not in [package["name"] for package in report["conda"]]
    assert [entry["path"] for entry in report["drift"]["untracked"]["first"]] == ["share/notes.txt"]
    lockfile = await api("GET", f"condabuild/lockfiles/{report['digest']}?format=conda-lock")
    assert b"linux-64" in lockfile.body
    assert b"osx-arm64" not in lockfile.body


async def test_an_environment_of_linux_has_no_table(api: Api, rattler_prefix: Path) -> None:
    """Also if the request names its own platform."""
    for more in ({}, {"platform": "linux-64"}):
        report = await asked(api, "snapshots", {"prefix": str(rattler_prefix), **more}, "Snapshot")
        assert report["substitution"] is None


async def test_packages_that_are_too_far_away_are_refused(api: Api, mac: Path) -> None:
    """linux-aarch64 has another version of fastlib; who can do without it says so."""
    body = {"prefix": str(mac), "platform": "linux-aarch64", "strict_versions": "same-version"}
    answer = await api("POST", "condabuild/snapshots", body)
    assert (answer.status, error_of(answer)) == (422, "not_compatible")
    assert "fastlib 1.0 -> 1.1" in answer.json["message"]
    report = await asked(api, "snapshots", {**body, "leave_out": ["fastlib"]}, "Snapshot")
    assert report["substitution"]["counts"]["left-out"] == 2
    answer = await api("POST", "condabuild/snapshots", {**body, "strict_versions": "exactly"})
    assert (answer.status, error_of(answer)) == (422, "usage")


async def test_the_build_is_that_of_the_snapshot(api: Api, mac: Path) -> None:
    """Its identity is that of the snapshot, and the history has the request. Another file is another identity."""
    source = {"prefix": str(mac), "platform": "linux-64", "leave_out": ["idna"]}
    report = await asked(api, "snapshots", source, "Snapshot")
    body = {**source, "identity": report["identity"], "archive": "mac.tar"}
    started = await api("POST", "condabuild/builds", body)
    assert started.status == 201, started.body
    build = await api.ended(started.json["id"])
    check(build, "Build")
    assert (build["state"], build["result"]["environment"]) == ("finished", report["digest"])
    asked_for = build["request"]
    assert (asked_for["platform"], asked_for["leave_out"]) == ("linux-64", ["idna"])
    assert (asked_for["strict_versions"], asked_for["cuda"]) == ("as-requested", "")
    (mac / "share/notes.txt").write_text("other text")
    again = await api("POST", "condabuild/builds", {**body, "again": True})
    ended = await api.ended(again.json["id"])
    assert ended["error"]["code"] == "environment_changed"


async def test_a_build_makes_images_for_several_platforms(
    api: Api, mac: Path, tmp_path: Path, jp_root_dir: Path
) -> None:
    """The history shows them. The same build joins; a build for another selection of platforms is another build."""
    base = two_platforms(jp_root_dir / "two.tar").replace(f"{jp_root_dir}/", "")
    body = {"prefix": str(mac), "base": base, "archive": "mac.tar", "platforms": ["linux-64", "linux-aarch64"]}
    report = await asked(api, "snapshots", {"prefix": str(mac), "platforms": body["platforms"]}, "Snapshot")
    started = await api("POST", "condabuild/builds", {**body, "identity": report["identity"]})
    assert started.status == 201, started.body
    joined = await api("POST", "condabuild/builds", {**body, "identity": report["identity"]})
    other = await api("POST", "condabuild/builds", {**body, "platforms": ["linux-64"], "archive": "one.tar"})
    assert joined.json["id"] == started.json["id"] != other.json["id"]
    build = await api.ended(started.json["id"])
    check(build, "Build")
    assert (build["state"], build["request"]["platforms"]) == ("finished", body["platforms"])
    assert list(build["result"]["images"]) == body["platforms"]
    single = await api.ended(other.json["id"])
    assert (single["request"]["platforms"], single["result"]["images"]) == (["linux-64"], None)
    refused = await api("POST", "condabuild/builds", {**body, "engine": "docker"})
    assert (refused.status, error_of(refused)) == (422, "usage")


class TestWithPlatforms:
    """A server whose settings name platforms."""

    @pytest.fixture
    def config(self, config: dict[str, Any]) -> dict[str, Any]:
        """The first is that of the base."""
        return {**config, "platforms": ["linux-64", "linux-aarch64"]}

    async def test_a_snapshot_is_for_all(self, api: Api, mac: Path, rattler_prefix: Path) -> None:
        """For environments that no image can have, and for no others."""
        report = await asked(api, "snapshots", {"prefix": str(mac)}, "Snapshot")
        assert report["substitution"]["platform"] == "linux-64"
        assert [table["platform"] for table in report["other_substitutions"]] == ["linux-aarch64"]
        report = await asked(api, "snapshots", {"prefix": str(rattler_prefix)}, "Snapshot")
        assert report["substitution"] is None
        status = (await api("GET", "condabuild/status?probes=false")).json
        assert status["settings"]["platforms"] == ["linux-64", "linux-aarch64"]
