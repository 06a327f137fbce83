"""Logins for registries over REST: they are tested, kept, listed without passwords, and removed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts.registry.logins import PASSWORD, USER, password_registry
from tests.server.conftest import Api
from tests.server.test_builds import check
from tests.server.test_routes import error_of


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that requires a login."""
    with password_registry(tmp_path_factory.mktemp("locked")) as host:
        yield host


@pytest.fixture
def config(server_store: Path, locked: str) -> dict[str, Any]:
    """The settings of a hub that allows some registries."""
    allowed = [locked, "other.org", "*.lab.org"]
    return {"store_dir": str(server_store), "registry": f"{locked}/team", "allowed_registries": allowed}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration file, which does not exist yet."""
    for name in ("DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "docker/config.json"


def files(kept: Path) -> dict[str, tuple[int, str]]:
    """Returns the mode and the text of each file in the folder of the configuration."""
    found = kept.parent.iterdir() if kept.parent.exists() else ()
    return {file.name: (file.stat().st_mode & 0o777, file.read_text()) for file in found}


def damage(kept: Path) -> None:
    kept.parent.mkdir()
    kept.write_text("{")


def login(registry: str, password: str = PASSWORD) -> dict[str, str]:
    return {"registry": registry, "user": USER, "password": password}


async def test_a_login_is_tested_kept_listed_and_removed(
    api: Api, locked: str, kept: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No answer and no line of the log has the password."""
    caplog.set_level(logging.DEBUG)
    answers = [await api("GET", "condabuild/logins")]
    answers.append(await api("POST", "condabuild/logins", login(locked)))
    check(answers[1].json, "Login")
    assert answers[1].json == {"registry": locked, "user": USER, "place": str(kept), "tested": True}
    answers.append(await api("GET", "condabuild/logins"))
    for answer, user in ((answers[0], ""), (answers[2], USER)):
        check(answer.json, "Logins")
        assert answer.json == {"logins": [{"registry": locked, "user": user, "problem": ""}]}
    assert files(kept)["config.json"][0] == 0o600
    answers.append(await api("DELETE", f"condabuild/logins?registry={locked}"))
    check(answers[3].json, "Logout")
    assert answers[3].json == {"registry": locked, "places": [str(kept)]}
    assert not any(PASSWORD.encode() in answer.body for answer in answers)
    assert PASSWORD not in caplog.text


async def test_a_wrong_password_is_not_kept(api: Api, locked: str, kept: Path) -> None:
    """The error does not have the password."""
    answer = await api("POST", "condabuild/logins", login(locked, "canary-wrong"))
    assert (answer.status, error_of(answer)) == (424, "registry_unauthorized")
    assert "access token" in answer.json["hint"]
    assert b"canary" not in answer.body
    assert not files(kept)


async def test_a_damaged_file_is_not_changed(api: Api, locked: str, kept: Path) -> None:
    """The error names the file."""
    damage(kept)
    before = files(kept)
    answer = await api("POST", "condabuild/logins", login(locked))
    assert (answer.status, error_of(answer)) == (409, "login_not_kept")
    assert str(kept) in answer.json["message"]
    assert files(kept) == before
    listed = (await api("GET", "condabuild/logins")).json["logins"]
    assert str(kept) in listed[0]["problem"]


async def test_other_requests_are_refused(api: Api, locked: str, kept: Path) -> None:
    """A server that may reach some registries alone sends the password to no other."""
    for body, status, code in (
        (login("evil.org"), 403, "registry_not_allowed"),
        (login("lab"), 422, "bad_reference"),
        (login(""), 400, "bad_request"),
        ({**login(locked), "user": ""}, 400, "bad_request"),
        ({**login(locked), "password": ""}, 400, "bad_request"),
        ({**login(locked), "password": 7}, 400, "bad_request"),
        ({**login(locked), "insecure_registries": ["evil.org"]}, 400, "bad_request"),
        ({"registry": locked}, 400, "bad_request"),
    ):
        answer = await api("POST", "condabuild/logins", body)
        assert (answer.status, error_of(answer)) == (status, code), body
        assert PASSWORD.encode() not in answer.body
    assert (await api("DELETE", "condabuild/logins")).status == 400
    assert not files(kept)


async def test_whether_a_user_may_push_is_asked_of_the_registry(api: Api, locked: str, kept: Path) -> None:
    """The answer has the repository and the user, or the reason. An open upload does not stay at the registry."""

    async def asked(name: str) -> Any:
        answer = await api("POST", "condabuild/permissions", {"reference": name})
        assert answer.status == 200, answer.body
        check(answer.json, "Permission")
        return answer.json

    before = await asked("env:v1")
    assert (before["registry"], before["repository"], before["user"]) == (locked, "team/env", "")
    assert (before["allowed"], before["fault"]["code"]) == (False, "registry_unauthorized")
    await api("POST", "condabuild/logins", login(locked))
    after = await asked(f"{locked}/team/env:v1")
    assert (after["user"], after["allowed"], after["fault"]) == (USER, True, None)


async def test_a_registry_that_is_not_allowed_is_not_asked(api: Api) -> None:
    """The setting `allowed_registries` counts for permissions as for builds."""
    answer = await api("POST", "condabuild/permissions", {"reference": "evil.org/team/env:v1"})
    assert (answer.status, error_of(answer)) == (403, "registry_not_allowed")
    assert (await api("POST", "condabuild/permissions", {"reference": ""})).status == 400
