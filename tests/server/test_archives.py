"""Downloads of archives over REST: whole, in parts, with a name; and only the file that a build wrote."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.server import archives
from tests.server.conftest import Api
from tests.server.test_images import done
from tests.server.test_routes import error_of


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
