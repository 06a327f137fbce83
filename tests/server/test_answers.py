"""REST requests that are answered at once: stamps, comparisons, exported files, and pruning of the store."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.requests.others import EXPORTS
from jupyter_condabuild.server.lockfiles import FILE_NAMES
from tests.parts.command_line import CommandLine
from tests.parts.gate import Gate
from tests.parts.server.images import put_base
from tests.parts.small_prefix import SmallPrefix
from tests.server.conftest import Api
from tests.server.test_builds import check
from tests.server.test_routes import error_of

IMAGE = "registry.lab.org/team/env:v1"


async def asked(api: Api, path: str, body: object, schema: str) -> Any:
    """Returns the answer to a valid request, and checks it against the contract."""
    answer = await api("POST", f"condabuild/{path}", body)
    assert answer.status == 200, answer.body
    check(answer.json, schema)
    return answer.json


async def test_each_form_of_an_environment_is_equal(
    api: Api, kernelspec: str, kernel_prefix: Path, small_base: str, registry: str, tmp_path: Path
) -> None:
    """The forms are kernelspec, folder, lock file and image."""
    digest = (await api("POST", "condabuild/snapshots", {"kernel_name": kernelspec})).json["digest"]
    reference = f"{registry}/server/diff-{tmp_path.name}:v1"
    body = {"lockfile": digest, "base": small_base, "push": True, "reference": reference}
    assert (await api.ended((await api("POST", "condabuild/builds", body)).json["id"]))["state"] == "finished"
    forms = (
        {"kernel_name": kernelspec},
        {"prefix": str(kernel_prefix)},
        {"lockfile": digest},
        {"reference": reference},
    )
    for form in forms:
        found = await asked(api, "diffs", {"before": {"lockfile": digest}, "after": form}, "Difference")
        assert (found["equal"], found["changes"]) == (True, []), form
        assert found["same"] == len(list((kernel_prefix / "conda-meta").glob("*.json")))


async def test_each_different_package_is_named(api: Api, tmp_path: Path) -> None:
    """Added, removed and changed packages are named, in the requested direction."""
    before, after = SmallPrefix(tmp_path / "a" / "env"), SmallPrefix(tmp_path / "b" / "env")
    for prefix, packages in (
        (before, {"one": "1", "two": "1", "same": "1"}),
        (after, {"two": "2", "three": "1", "same": "1"}),
    ):
        for name, version in packages.items():
            prefix.add(name, version)
    body = {"before": {"prefix": str(before.path)}, "after": {"prefix": str(after.path)}}
    found = await asked(api, "diffs", body, "Difference")
    assert [(one["name"], one["kind"], one["before"], one["after"]) for one in found["changes"]] == [
        ("one", "removed", "1-0", ""),
        ("three", "added", "", "1-0"),
        ("two", "changed", "1-0", "2-0"),
    ]
    assert (found["equal"], found["same"]) == (False, 1)


async def test_a_comparison_that_fails_gives_the_reason(api: Api, rattler_prefix: Path, registry: str) -> None:
    """The side is missing or doubled, the image is of another tool or missing, or a path is outside of the root."""
    good = {"prefix": str(rattler_prefix)}
    put_base(f"{registry}/server/theirs:1")
    for body, status, code in (
        ({"before": good}, 400, "bad_request"),
        ({"before": good, "after": {}}, 400, "bad_request"),
        ({"before": good, "after": []}, 400, "bad_request"),
        ({"before": good, "after": {**good, "reference": "x"}}, 400, "bad_request"),
        ({"before": good, "after": {"prefix": ""}}, 400, "bad_request"),
        ({"before": good, "after": {"path": "/"}}, 400, "bad_request"),
        ({"before": good, "after": good, "json": True}, 400, "bad_request"),
        ({"before": good, "after": {"reference": "oci-archive:../x.tar"}}, 400, "bad_request"),
        ({"before": good, "after": {"reference": "UPPER"}}, 422, "bad_reference"),
        ({"before": good, "after": {"prefix": "/"}}, 404, "not_a_prefix"),
        ({"before": good, "after": {"lockfile": "sha256:" + "0" * 64}}, 404, "not_found"),
        ({"before": good, "after": {"reference": f"{registry}/server/theirs:1"}}, 422, "bad_image"),
        ({"before": good, "after": {"reference": "oci-archive:none.tar"}}, 422, "bad_image"),
        ({"before": good, "after": {"reference": f"{registry}/server/theirs:2"}}, 424, "registry_not_found"),
    ):
        answer = await api("POST", "condabuild/diffs", body)
        assert (answer.status, error_of(answer)) == (status, code), body


async def test_licences_are_those_of_the_environment(api: Api, tmp_path: Path) -> None:
    """With the channels whose terms ask some users to pay."""
    prefix = SmallPrefix(tmp_path / "env")
    prefix.add("free", "1", license="MIT")
    prefix.add("silent", "1", url="https://repo.anaconda.com/pkgs/main/linux-64/silent-1-0.conda")
    found = await asked(api, "licenses", {"prefix": str(prefix.path)}, "Licenses")
    assert found["licenses"] == {"MIT": 1}
    assert found["unlicensed"] == ["silent"]
    assert [channel["packages"] for channel in found["commercial"]] == [["silent"]]
    answer = await api("POST", "condabuild/licenses", {"kernel_name": "python3", "prefix": "/"})
    assert (answer.status, error_of(answer)) == (400, "bad_request")


@pytest.mark.parametrize("kind", ["dockerfile", "github-actions"])
async def test_exported_files_are_the_same_as_with_the_command_line(
    api: Api, rattler_prefix: Path, tmp_path: Path, kind: str
) -> None:
    """The texts and the programs are the same, and nothing is written."""
    body = {"kind": kind, "prefix": str(rattler_prefix), "reference": IMAGE, "base": "debian:12"}
    found = await asked(api, "exports", body, "Export")
    folder = tmp_path / "files"
    done = CommandLine(tmp_path)("export", kind, rattler_prefix, "-t", IMAGE, "--base", "debian:12", "-o", folder)
    assert done.status == 0, done.err
    written = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert {file["path"]: file["text"] for file in found["files"]} == {
        path: file.read_text() for path, file in written.items()
    }
    assert {file["path"] for file in found["files"] if file["executable"]} == {
        path for path, file in written.items() if file.stat().st_mode & 0o100
    }
    assert f"Next: {found['next']}" in done.out


async def test_every_kind_is_exported_from_a_lock_file(api: Api, rattler_prefix: Path) -> None:
    """All kinds except the Dockerfile need the name of the image. Those that need packages name what is missing."""
    digest = (await api("POST", "condabuild/snapshots", {"prefix": str(rattler_prefix)})).json["digest"]
    for kind in EXPORTS:
        body = {"kind": kind, "lockfile": digest, "reference": IMAGE, "base": "debian:12"}
        if kind in ("jupyterhub", "jupyter-scheduler", "binder"):
            answer = await api("POST", "condabuild/exports", body)
            assert (answer.status, answer.json["message"].partition(" no ")[0]) == (422, "The environment has")
            continue
        found = await asked(api, "exports", body, "Export")
        assert found["files"], kind
        assert found["next"], kind
    for wrong, status, code in (
        ({"kind": "compose", "lockfile": digest}, 422, "usage"),
        ({"kind": "spaceship", "lockfile": digest}, 422, "usage"),
        ({"kind": "compose", "lockfile": digest, "reference": "UPPER"}, 422, "bad_reference"),
        ({"lockfile": digest}, 400, "bad_request"),
        ({"kind": "compose"}, 400, "bad_request"),
        ({"kind": "compose", "lockfile": digest, "output": "/tmp"}, 400, "bad_request"),
    ):
        answer = await api("POST", "condabuild/exports", wrong)
        assert (answer.status, error_of(answer)) == (status, code), wrong


async def test_exported_files_are_written_into_a_folder_of_the_root_folder(
    api: Api, rattler_prefix: Path, jp_root_dir: Path, tmp_path: Path
) -> None:
    """Other files are replaced only if the client says so. Nothing leaves the root folder, not even through a link."""
    digest = (await api("POST", "condabuild/snapshots", {"prefix": str(rattler_prefix)})).json["digest"]
    body = {
        "kind": "github-actions",
        "lockfile": digest,
        "reference": IMAGE,
        "base": "debian:12",
        "folder": "new/project",
    }
    found = await asked(api, "exports", body, "Export")
    assert found["written"] == [f"new/project/{file['path']}" for file in found["files"]]
    for file in found["files"]:
        written = jp_root_dir / "new/project" / file["path"]
        assert written.read_text() == file["text"]
        assert bool(written.stat().st_mode & 0o100) == file["executable"]
    assert (await asked(api, "exports", body, "Export"))["written"] == found["written"]

    other = body | {"reference": f"{IMAGE}-two"}
    answer = await api("POST", "condabuild/exports", other)
    assert (answer.status, error_of(answer)) == (409, "files_exist")
    changed = await asked(api, "exports", other | {"replace": True}, "Export")
    assert any(f"{IMAGE}-two" in (jp_root_dir / path).read_text() for path in changed["written"])

    lockfile = f"condabuild/lockfiles/{digest}"
    for format, name in FILE_NAMES.items():
        made = await asked(api, f"lockfiles/{digest}", {"format": format, "folder": ""}, "Written")
        assert made == {"written": [name]}
        assert (jp_root_dir / name).read_text() == (await api("GET", f"{lockfile}?format={format}")).body.decode()
    (jp_root_dir / "pixi.lock").write_text("mine")
    answer = await api("POST", lockfile, {"format": "pixi", "folder": "."})
    assert (answer.status, error_of(answer)) == (409, "files_exist")
    assert (jp_root_dir / "pixi.lock").read_text() == "mine"

    outside = tmp_path / "outside"
    outside.mkdir()
    (jp_root_dir / "link").symlink_to(outside)
    for folder in ("..", "/tmp", "link", "x/../../y"):
        for path, sent in ((lockfile, {"folder": folder}), ("condabuild/exports", body | {"folder": folder})):
            answer = await api("POST", path, sent)
            assert (answer.status, error_of(answer)) == (400, "bad_request"), (path, folder)
    assert list(outside.iterdir()) == []


async def test_files_without_a_package_are_reported_with_an_export(api: Api, tmp_path: Path) -> None:
    """The answer has the warnings of a build, and the packages that other users cannot install."""
    small = SmallPrefix(tmp_path / "env")
    small.add("numbers", files={"share/numbers.txt": b"1"})
    small.add("homemade", url="file:///lab/channel/linux-64/homemade-1.0-0.conda")
    (small.path / "notes.txt").write_text("mine")
    body = {"kind": "dockerfile", "prefix": str(small.path), "base": "debian:12"}
    found = await asked(api, "exports", body, "Export")
    warnings = {warning["code"]: warning["message"] for warning in found["warnings"]}
    assert "untracked-files" in warnings
    assert "homemade" in warnings["not-installable"]


async def test_a_command_that_takes_too_long_is_ended_and_named(
    api: Api, rattler_prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has a hint, and no process is left."""
    (extension,) = api.app.extension_manager.extension_apps["jupyter_condabuild"]
    monkeypatch.setattr(extension._service._runner, "_limit", 0.01)
    answer = await api("POST", "condabuild/snapshots", {"prefix": str(rattler_prefix)})
    assert (answer.status, error_of(answer)) == (504, "build_limit")
    assert answer.json["hint"]
    assert [child for child in psutil.Process().children(recursive=True) if "snapshot" in child.cmdline()] == []


class TestWithAStoreOfItsOwn:
    """A server whose store has only the builds of this test."""

    @pytest.fixture
    def config(self, tmp_path: Path, small_base: str) -> dict[str, Any]:
        """The settings. Without a number of bytes, a prune keeps everything."""
        return {"store_dir": str(tmp_path / "store"), "base_image": small_base, "store_max_bytes": 1 << 30}

    async def test_the_store_is_pruned_unless_a_build_uses_it(
        self, api: Api, held: dict[str, Any], gate: Gate, tmp_path: Path
    ) -> None:
        """The status is 409 during a build. Later, everything above the limit is removed, and the next build works."""
        id = (await api("POST", "condabuild/builds", held)).json["id"]
        await asyncio.to_thread(gate.wait)
        busy = await api("POST", "condabuild/prune", {"keep_bytes": 0})
        assert (busy.status, error_of(busy)) == (409, "store_busy")
        assert busy.json["hint"]
        gate.opened.set()
        assert (await api.ended(id))["state"] == "finished"
        with Store(tmp_path / "store") as store:
            size = store.size
        assert size > 100_000
        assert await asked(api, "prune", {}, "Pruned") == {"freed": 0, "left": size}
        assert await asked(api, "prune", {"keep_bytes": 0}, "Pruned") == {"freed": size, "left": 0}
        again = await api("POST", "condabuild/builds", {**held, "again": True})
        assert (await api.ended(again.json["id"]))["state"] == "finished"
        for body in ({"keep_bytes": -1}, {"keep_bytes": "1"}, {"keep_bytes": True}, {"store_dir": "/"}, []):
            answer = await api("POST", "condabuild/prune", body)
            assert (answer.status, error_of(answer)) == (400, "bad_request"), body


async def contents(api: Api, small: SmallPrefix) -> dict[str, Any]:
    """Returns the snapshot of an environment, whose stamp is the current one."""
    source = {"prefix": str(small.path)}
    snapshot = (await api("POST", "condabuild/snapshots", source)).json
    assert (await api("POST", "condabuild/stamps", source)).json == {**source, "stamp": snapshot["stamp"]}
    return snapshot  # type: ignore[no-any-return]


async def test_a_stamp_says_that_a_snapshot_is_out_of_date(api: Api, tmp_path: Path) -> None:
    """Every installation, removal and update changes the stamp, by conda, pip or conda's variables."""
    small = SmallPrefix(tmp_path / "envs" / "small")
    small.add("numbers", files={"lib/python3.11/site-packages/numbers.py": b"1"})
    meta, site = small.path / "conda-meta", small.path / "lib/python3.11/site-packages"
    seen = [(await contents(api, small))["stamp"]]

    for change in (
        lambda: small.add("more"),
        lambda: small.pip("words"),
        lambda: shutil.rmtree(site / "words-1.0.dist-info"),
        lambda: (meta / "state").write_text('{"env_vars": {"A": "1"}}'),
        lambda: next(meta.glob("more-*.json")).unlink(),
    ):
        change()
        stamp = (await api("POST", "condabuild/stamps", {"prefix": str(small.path)})).json["stamp"]
        assert stamp not in seen
        seen.append(stamp)


async def test_files_of_no_package_are_in_the_identity(api: Api, tmp_path: Path) -> None:
    """Changed, missing and foreign files are in the identity. The digest of the lock file does not have them."""
    small = SmallPrefix(tmp_path / "envs" / "small")
    files = {"lib/python3.11/site-packages/numbers.py": b"1", "share/one.txt": b"1", "share/two.txt": b"2"}
    small.add("numbers", files=files)
    clean = await contents(api, small)
    assert clean["identity"] == clean["digest"]
    assert (await contents(api, small))["identity"] == clean["identity"]
    foreign = small.path / "share" / "foreign.txt"
    seen = [clean["identity"]]
    for change in (
        lambda: foreign.write_text("a"),
        lambda: foreign.write_text("ab"),
        lambda: (small.path / "share" / "one.txt").write_text("changed"),
        lambda: (small.path / "share" / "two.txt").unlink(),
    ):
        change()
        snapshot = await contents(api, small)
        assert snapshot["digest"] == clean["digest"]
        assert snapshot["identity"] not in seen
        seen.append(snapshot["identity"])


async def test_the_source_of_an_editable_install_is_in_the_identity(api: Api, tmp_path: Path) -> None:
    """The source is outside of the environment, and goes into the image as it is."""
    small = SmallPrefix(tmp_path / "envs" / "small")
    small.python()
    source = tmp_path / "src" / "words"
    source.mkdir(parents=True)
    (source / "words.py").write_text("1")
    small.pip("words", direct_url={"url": source.as_uri(), "dir_info": {"editable": True}})
    before = await contents(api, small)
    (source / "words.py").write_text("22")
    after = await contents(api, small)
    assert before["digest"] == after["digest"]
    assert len({before["digest"], before["identity"], after["identity"]}) == 3


async def test_the_page_behind_a_warning_is_served(api: Api) -> None:
    """The address in `why` leads to a heading of an HTML page, which runs no script and loads nothing."""
    answer = await api("GET", "condabuild/docs/environments")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert b'<h2 id="leaving-things-out">' in answer.body
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_two_builds_are_compared_right_after_they_end(
    api: Api, kernel_prefix: Path, small_base: str, jp_root_dir: Path
) -> None:
    """Nobody took a snapshot, and the images are in archives: packages and files are compared all the same."""
    ids = []
    (jp_root_dir / "project").mkdir()
    (jp_root_dir / "project/notes.txt").write_text("notes")
    for more in ({}, {"include": "project"}):
        body = {"prefix": str(kernel_prefix), "base": small_base, "archive": f"{len(ids)}.tar", **more}
        build = await api.ended((await api("POST", "condabuild/builds", body)).json["id"])
        assert build["state"] == "finished", build["error"]
        ids.append(build["id"])
    body = {"before": {"build": ids[0]}, "after": {"build": ids[1]}}
    found = await asked(api, "diffs", body, "Difference")
    assert (found["equal"], found["files_compared"], found["files_changed"]) == (False, True, 1)
    assert [(one["name"], one["manager"], one["kind"]) for one in found["changes"]] == [
        ("/work/notes.txt", "file", "added")
    ]
    answer = await api("POST", "condabuild/diffs", {"before": {"build": ids[0]}, "after": {"build": "0" * 16}})
    assert (answer.status, error_of(answer)) == (404, "not_found")
