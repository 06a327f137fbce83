"""Commands for images over REST: an image is rebased, verified and kept as a base. Each is a build like any other.

The archive of a build is sent as a download.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.oci.image import ImageConfig, Manifest, Reference
from jupyter_condabuild.oci.registry import open_registry
from jupyter_condabuild.oci.tag_list import tags_of
from jupyter_condabuild.server import archives
from tests.parts.gate import Gate
from tests.parts.jobs import exchange_layer
from tests.parts.server.images import put_base
from tests.parts.small_prefix import SmallPrefix
from tests.server.conftest import LAST, Api
from tests.server.test_builds import check
from tests.server.test_routes import error_of


@pytest.fixture
def name(registry: str, tmp_path: Path) -> str:
    """A repository for one test."""
    return f"{registry}/server/images-{tmp_path.name}"


@pytest.fixture
def base(registry: str, tmp_path: Path) -> str:
    """A base of a few bytes in the registry."""
    reference = f"{registry}/server/system-{tmp_path.name}:1"
    put_base(reference)
    return reference


async def done(api: Api, body: dict[str, Any], status: int = 201) -> Any:
    """Returns the ended build of a request, and checks all answers against the contract."""
    answer = await api("POST", "condabuild/builds", body)
    assert answer.status == status, answer.body
    check(answer.json, "Build")
    messages = [message async for message in api.messages(answer.json["id"])]
    events = [message.data for message in messages if message.event == "message"]
    for event in events:
        check(event, "Event")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len([event for event in events if event["type"] in LAST]) == 1
    check(messages[-1].data, "Build")
    return messages[-1].data


def labels(reference: str) -> dict[str, str]:
    """Returns the manifest of an image in the registry."""
    name = Reference.parse(reference)
    with open_registry(name) as registry:
        repository = registry.repository(name.repository)
        manifest = repository.manifest(name.target)
        assert isinstance(manifest, Manifest)
        return dict(ImageConfig.parse(b"".join(repository.read(manifest.config))).runtime["Labels"])


def tags(name: str) -> set[str]:
    """Returns the tags of a repository."""
    reference = Reference.parse(name)
    with open_registry(reference) as registry:
        return set(tags_of(registry.repository(reference.repository)))


@pytest.fixture
def image(rattler_prefix: Path, small_base: str, name: str) -> dict[str, Any]:
    """The request for the image of the tests."""
    return {"prefix": str(rattler_prefix), "base": small_base, "push": True, "reference": f"{name}:v1"}


async def test_an_image_is_rebased(api: Api, image: dict[str, Any], name: str, base: str) -> None:
    """The image has the requested base and name.

    None of our layers is made. The answer has the commands to run the image.
    """
    built = await done(api, image)
    body = {"command": "rebase", "reference": f"{name}:v1", "base": base, "target": f"{name}:v2"}
    build = await done(api, body)
    assert built["command"] == "build"
    assert (build["state"], build["command"]) == ("finished", "rebase"), build["error"]
    assert {part: build["request"][part] for part in ("reference", "base", "target", "push")} == {
        **{part: body[part] for part in ("reference", "base", "target")},
        "push": True,
    }
    assert build["result"]["reference"] == f"{name}:v2"
    assert build["result"]["environment"] == built["result"]["environment"]
    assert build["result"]["layers_reused"] == build["result"]["layers"] == built["result"]["layers"]
    assert [command["tool"] for command in build["share"]] == [command["tool"] for command in built["share"]]
    assert f"{name}:v2" in build["share"][0]["text"]
    assert labels(f"{name}:v2")["org.opencontainers.image.base.name"] == base
    assert labels(f"{name}:v1")["org.opencontainers.image.base.name"] != base
    again = await done(api, body)  # its name can mean another image by now, and no other value is used
    assert (again["state"], again["result"]["digest"]) == ("finished", build["result"]["digest"])
    assert again["id"] != build["id"]


async def test_an_image_is_verified(
    api: Api, image: dict[str, Any], name: str, base: str, rattler_prefix: Path
) -> None:
    """Each part is made again and counted. The image is neither moved nor pushed."""
    built = await done(api, {**image, "base": base})
    build = await done(api, {"command": "verify", "reference": f"{name}:v1", "all": True})
    assert (build["state"], build["command"]) == ("finished", "verify"), build["error"]
    packages = len(list((rattler_prefix / "conda-meta").glob("*.json")))
    assert build["result"]["proved"] == packages + 3  # the entrypoint's layer, the base, the configuration
    assert (build["result"]["signature"], build["result"]["signer"]) == ("unsigned", "")
    assert (build["result"]["unproved"], build["result"]["bytes_pushed"]) == (0, 0)
    assert build["result"]["digest"] == built["result"]["digest"]
    assert (build["share"], build["request"]["reference"]) == ([], f"{name}:v1")


async def test_an_image_with_a_replaced_layer_is_not_verified(
    api: Api, rattler_prefix: Path, small_base: str, jp_root_dir: Path
) -> None:
    """The image is an archive in the root folder. The build names the package that differs."""
    build = await done(api, {"prefix": str(rattler_prefix), "base": small_base, "archive": "good.tar"})
    assert build["state"] == "finished", build["error"]
    good = await done(api, {"command": "verify", "reference": "oci-archive:good.tar"})
    assert (good["state"], good["request"]["reference"]) == ("finished", "oci-archive:good.tar"), good["error"]
    assert good["result"]["unproved"] > 0  # the base was an archive
    shutil.copyfile(small_base.removeprefix("oci-archive:"), jp_root_dir / "base.tar")
    named = {"command": "verify", "reference": "oci-archive:good.tar", "base": "oci-archive:base.tar"}
    whole = await done(api, named)
    assert (whole["state"], whole["result"]["unproved"]) == ("finished", 0), whole["error"]
    exchange_layer(jp_root_dir / "good.tar", "tqdm-", jp_root_dir / "evil.tar")
    evil = await done(api, {"command": "verify", "reference": "oci-archive:evil.tar"})
    assert (evil["state"], evil["error"]["code"]) == ("failed", "not_verified")
    assert "tqdm-" in evil["error"]["message"]
    assert evil["result"] is None


async def test_a_base_is_kept(api: Api, rattler_prefix: Path, name: str, base: str) -> None:
    """The base has a dated tag and the tag of the newest, without the named packages. An unknown package is refused."""
    body = {"command": "base", "prefix": str(rattler_prefix), "reference": f"{name}:v1", "base": base, "keep": 2}
    build = await done(api, {**body, "without": ["tqdm"]})
    assert (build["state"], build["command"]) == ("finished", "base"), build["error"]
    assert re.fullmatch(re.escape(name) + r":base-\d{8}", build["result"]["reference"])
    assert tags(name) == {"latest-base", build["result"]["reference"].rpartition(":")[2]}
    assert (build["request"]["keep"], build["request"]["without"]) == (2, ["tqdm"])
    assert build["result"]["reference"] in build["share"][0]["text"]
    wrong = await done(api, {**body, "without": ["no-such-package"]})
    assert (wrong["state"], wrong["error"]["code"]) == ("failed", "usage")
    assert "no-such-package" in wrong["error"]["message"]


async def test_the_same_command_is_one_build_while_it_runs_and_can_be_cancelled(
    api: Api, image: dict[str, Any], name: str, gate: Gate, small_base: str
) -> None:
    """The same request joins the build. Another command for the same image is another build."""
    await done(api, image)
    through = name.replace(name.partition("/")[0], gate.host)
    body = {"command": "rebase", "reference": f"{through}:v1", "base": small_base}
    first = await api("POST", "condabuild/builds", body)
    await asyncio.to_thread(gate.wait)
    joined = await api("POST", "condabuild/builds", body)
    assert (first.status, joined.status, joined.json["id"]) == (201, 200, first.json["id"])
    other = await api("POST", "condabuild/builds", {"command": "verify", "reference": f"{through}:v1"})
    assert (other.status, other.json["command"]) == (201, "verify")
    for id in (first.json["id"], other.json["id"]):
        await api("DELETE", f"condabuild/builds/{id}")
        assert (await api.ended(id))["state"] == "cancelled"


async def test_a_base_of_a_changed_environment_is_another_build(
    api: Api, gate: Gate, small_base: str, tmp_path: Path
) -> None:
    """The request does not join the build that reads the environment before the change."""
    small = SmallPrefix(tmp_path / "env")
    small.add("numbers", files={"share/numbers.txt": b"1"})
    body = {"command": "base", "prefix": str(small.path), "reference": f"{gate.host}/server/{tmp_path.name}:v1"}
    ids = []
    for _ in range(2):
        for status in (201, 200):
            answer = await api("POST", "condabuild/builds", {**body, "base": small_base})
            assert answer.status == status
            ids.append(answer.json["id"])
        (small.path / "notes.txt").write_text("more")
    assert ids[0] == ids[1] != ids[2] == ids[3]
    for id in ids[1:3]:
        await api("DELETE", f"condabuild/builds/{id}")
        assert (await api.ended(id))["state"] == "cancelled"


async def test_a_failed_command_has_its_error(api: Api, name: str, base: str) -> None:
    """A missing image, an image of another tool, and a missing base have different codes."""
    for body, code in (
        ({"command": "rebase", "reference": f"{name}:none", "base": base}, "registry_not_found"),
        ({"command": "rebase", "reference": base, "base": base}, "bad_image"),
        ({"command": "verify", "reference": base}, "bad_image"),
        ({"command": "verify", "reference": f"{name}:none"}, "registry_not_found"),
        ({"command": "verify", "reference": "oci-archive:none.tar"}, "bad_image"),
    ):
        build = await done(api, body)
        assert (build["state"], build["error"]["code"]) == ("failed", code), body
        assert build["error"]["hint"]


async def test_invalid_commands_are_refused(api: Api, rattler_prefix: Path) -> None:
    """Unknown commands, members of another command, invalid names and paths outside of the root are not queued."""
    source = {"prefix": str(rattler_prefix)}
    for body, status, code in (
        ({"command": "prune"}, 400, "bad_request"),
        ({"command": ["build"]}, 400, "bad_request"),
        ({"command": "rebase"}, 400, "bad_request"),
        ({"command": "rebase", "reference": ""}, 400, "bad_request"),
        ({"command": "rebase", "reference": "x:1", "push": True}, 400, "bad_request"),
        ({"command": "verify", "reference": "x:1", **source}, 400, "bad_request"),
        ({"command": "verify", "reference": "oci-archive:../x.tar"}, 400, "bad_request"),
        ({"command": "verify", "reference": "x:1", "base": "oci-archive:../x.tar"}, 400, "bad_request"),
        ({"command": "verify", "reference": "docker-archive:/etc/passwd"}, 400, "bad_request"),
        ({"command": "base", "reference": "x:1"}, 400, "bad_request"),
        ({"command": "base", "reference": "x:1", "keep": "7", **source}, 400, "bad_request"),
        ({"command": "base", "reference": "x:1", "keep": True, **source}, 400, "bad_request"),
        ({"command": "base", "reference": "x:1", "keep": 0, **source}, 422, "usage"),
        ({"command": "base", **source}, 422, "usage"),
        ({"command": "rebase", "reference": "UPPER"}, 422, "bad_reference"),
        ({"command": "rebase", "reference": f"x@sha256:{'0' * 64}"}, 422, "usage"),
        ({"command": "rebase", "reference": "team/env:1"}, 422, "usage"),
        ({"command": "base", "reference": "team/env:1", **source}, 422, "usage"),
        ({"reference": "team/env:1", "push": True, **source}, 422, "usage"),
        ({"command": "verify", "reference": "UPPER"}, 422, "bad_reference"),
        ({"keep": 7, "archive": "x.tar", **source}, 400, "bad_request"),
    ):
        answer = await api("POST", "condabuild/builds", body)
        assert (answer.status, error_of(answer)) == (status, code), body
    assert (await api("GET", "condabuild/builds")).json == {"builds": [], "total": 0}


async def built(api: Api, rattler_prefix: Path) -> Any:
    """Returns a finished build whose archive has a name that a header cannot hold as it is."""
    build = await done(api, {"prefix": str(rattler_prefix), "archive": 'a "good" Ümlaut.tar', "reference": "env:v1"})
    assert build["state"] == "finished", build["error"]
    return build


async def test_an_archive_is_sent_as_it_is(
    api: Api, rattler_prefix: Path, jp_root_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes, size and name are those of the file. The command for a labmate has the name without a folder."""
    build = await built(api, rattler_prefix)
    monkeypatch.setattr(archives, "CHUNK_BYTES", 100_000)
    answer = await api("GET", f"condabuild/builds/{build['id']}/archive")
    assert answer.status == 200
    file = jp_root_dir / 'a "good" Ümlaut.tar'
    assert answer.body == file.read_bytes()
    assert answer.headers["Content-Length"] == str(file.stat().st_size)
    assert answer.headers["Content-Type"] == "application/x-tar"
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename=\"a--good---mlaut.tar\"; filename*=UTF-8''a%20%22good%22%20%C3%9Cmlaut.tar"
    )
    load = next(command for command in build["share"] if command["tool"] == "docker")["text"].splitlines()[0]
    assert load == """docker load --input 'a "good" Ümlaut.tar'"""


async def test_another_file_at_the_same_path_is_not_sent(api: Api, rattler_prefix: Path, jp_root_dir: Path) -> None:
    """A link, a pipe, a folder, text, an archive of another image, or no file: the answer has no byte of it."""
    build = await built(api, rattler_prefix)
    path = jp_root_dir / 'a "good" Ümlaut.tar'
    good = jp_root_dir / "moved.tar"
    path.rename(good)
    route = f"condabuild/builds/{build['id']}/archive"
    other = await done(api, {"prefix": str(rattler_prefix), "archive": "other.tar", "bytecode": False})
    assert other["state"] == "finished", other["error"]
    for make in (
        lambda: path.symlink_to(good),
        lambda: os.mkfifo(path),
        lambda: path.mkdir(),
        lambda: path.write_text("secret"),
        lambda: shutil.copyfile(jp_root_dir / "other.tar", path),
        lambda: None,
    ):
        make()
        answer = await api("GET", route)
        assert (answer.status, error_of(answer)) == (404, "not_found")
        assert b"secret" not in answer.body
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    shutil.copyfile(good, path)
    assert (await api("GET", route)).status == 200


async def test_only_a_finished_build_with_an_oci_archive_has_a_download(api: Api, rattler_prefix: Path) -> None:
    """A docker-archive and a failed build have none, and the message says why."""
    old = await done(api, {"prefix": str(rattler_prefix), "archive": "docker-archive:old.tar"})
    assert old["state"] == "finished", old["error"]
    answer = await api("GET", f"condabuild/builds/{old['id']}/archive")
    assert (answer.status, error_of(answer)) == (404, "not_found")
    assert "docker-archive" in answer.json["message"]
    body = {"prefix": str(rattler_prefix), "archive": "bad.tar", "base": "localhost:1/no/base:1"}
    failed = await done(api, body)
    assert failed["state"] == "failed"
    answer = await api("GET", f"condabuild/builds/{failed['id']}/archive")
    assert (answer.status, error_of(answer)) == (404, "not_found")
    assert "wrote no archive" in answer.json["message"]
