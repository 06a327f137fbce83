"""Snapshots over REST with choices: what is left out, what may be chosen, and the meaning of each warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.planning.test_exclusion import Lab
from tests.server.conftest import Api
from tests.server.test_answers import asked
from tests.server.test_routes import error_of


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


async def test_a_snapshot_lists_what_may_be_chosen(api: Api, lab: Lab) -> None:
    """Files of no package, changed, removed and empty ones, editable installs, and files with credentials."""
    lab.prefix.write("share/.netrc", b"machine x")
    report = await asked(api, "snapshots", {"prefix": str(lab.prefix.path)}, "Snapshot")
    assert report["editables"] == [
        {"name": "my-lib", "path": str(lab.source), "state": "taken", "files": 4, "bytes": 4 * 6}
    ]
    assert [item["path"] for item in report["drift"]["empty"]["first"]] == ["var/spool"]
    assert report["credentials"] == [str(lab.prefix.path / "share/.netrc")]
    assert report["excluded"]["count"] == 0
    groups = {warning["code"]: (warning["group"], warning["why"]) for warning in report["warnings"]}
    assert groups["untracked-files"] == ("others", "environments#files-that-belong-to-no-package")
    assert groups["credentials-left-out"][0] == "lost"


async def test_a_choice_changes_the_snapshot(api: Api, lab: Lab) -> None:
    """What is left out is listed, is another identity, and is no warning of its kind any more."""
    source = {"prefix": str(lab.prefix.path)}
    before = await asked(api, "snapshots", source, "Snapshot")
    choice = {"exclude": ["/data.bin", "share/tool/", f"{lab.source}/mylib/big.bin"]}
    report = await asked(api, "snapshots", {**source, **choice}, "Snapshot")
    assert report["identity"] != before["identity"]
    paths = [item["path"] for item in report["excluded"]["first"]]
    assert paths == ["data.bin", "share/tool/a.txt", "share/tool/b.txt", f"{lab.source}/mylib/big.bin"]
    assert report["excluded"]["bytes"] > 31_000
    assert "modified-files" not in [warning["code"] for warning in report["warnings"]]
    without = await asked(api, "snapshots", {**source, "exclude_editable": ["my-lib"]}, "Snapshot")
    assert [item["state"] for item in without["editables"]] == ["excluded"]
    assert without["digest"] != before["digest"]
    assert without["pip"] == []


async def test_a_text_that_is_no_pattern_is_refused(api: Api, lab: Lab) -> None:
    """The answer is an error of the request."""
    answer = await api("POST", "condabuild/snapshots", {"prefix": str(lab.prefix.path), "exclude": ["!"]})
    assert (answer.status, error_of(answer)) == (422, "usage")


async def test_a_name_on_this_machine_is_said(api: Api, lab: Lab) -> None:
    """Others cannot reach it. The name of a registry in the network is not said."""
    for name, said in (
        ("localhost:5000/env:v1", True),
        ("127.0.0.1:9/env:v1", True),
        ("registry.invalid/env:v1", False),
    ):
        body = {"prefix": str(lab.prefix.path), "reference": name}
        report = await asked(api, "snapshots", body, "Snapshot")
        messages = [warning["message"] for warning in report["warnings"] if warning["code"] == "local-name"]
        assert bool(messages) == said
        if said:
            assert messages == [f"Others cannot reach {name.split('/')[0]}: the name {name} is one on this machine."]
