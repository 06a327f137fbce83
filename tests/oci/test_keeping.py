"""Logins are kept and removed where Docker and Podman find them, and nothing else in their files changes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import docker.auth
import pytest

from jupyter_condabuild.errors import LoginNotKept
from jupyter_condabuild.oci.logins.credentials import ANONYMOUS, Credentials, find
from jupyter_condabuild.oci.logins.keeping import keep, remove

HOST = "registry.lab.org:5000"
ADA, BOB = Credentials("ada", "sesame:x"), Credentials("bob", "pw")

HELPER = """#!/bin/sh
# A credential helper that keeps one login in a file.
login="${0%/*}/login"
case $1 in
store) cat >"$login" ;;
get) cat "$login" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) rm "$login" ;;
esac
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a user without a login."""
    (tmp_path / "bin").mkdir()
    return {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The path of Docker's configuration file, without the file."""
    return tmp_path / ".docker/config.json"


def write(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value))


def test_a_login_is_kept_where_docker_finds_it(environ: dict[str, str], config: Path) -> None:
    """The file is made, and only the user may read it. docker-py reads the same login."""
    assert keep(HOST, ADA, environ) == str(config)
    assert config.stat().st_mode & 0o777 == 0o600
    assert find(HOST, "team/env", environ) == ADA
    found = docker.auth.load_config(str(config)).resolve_authconfig(HOST)
    assert (found["username"], found["password"]) == ("ada", "sesame:x")
    keep(HOST, BOB, environ)
    assert find(HOST, "team/env", environ) == BOB


def test_docker_hub_has_its_old_name(environ: dict[str, str], config: Path) -> None:
    """Docker looks for the login of Docker Hub under this URL only."""
    write(config, {"auths": {"docker.io": {"auth": "eDp5"}}})
    keep("docker.io", ADA, environ)
    assert list(json.loads(config.read_text())["auths"]) == ["https://index.docker.io/v1/"]
    assert docker.auth.load_config(str(config)).resolve_authconfig("docker.io")["username"] == "ada"


def test_nothing_else_in_the_file_changes(environ: dict[str, str], config: Path, tmp_path: Path) -> None:
    """A link stays a link, as with a home folder in git."""
    before = {"psFormat": "table", "auths": {"other.org": {"auth": "eDp5"}}, "plugins": {"é": ["1"]}}
    write(tmp_path / "dotfiles/docker.json", before)
    config.parent.mkdir()
    config.symlink_to("../dotfiles/docker.json")
    keep(HOST, ADA, environ)
    assert config.is_symlink()
    after = json.loads(config.read_text())
    assert after.pop("auths").keys() == {"other.org", HOST}
    assert list(after) == ["psFormat", "plugins"]
    assert remove(HOST, environ) == [str(config)]
    assert json.loads(config.read_text()) == before
    assert remove(HOST, environ) == []


def test_a_credential_helper_keeps_the_login(environ: dict[str, str], config: Path, tmp_path: Path) -> None:
    """The file has no password then. The helper forgets the login when it is removed."""
    program = tmp_path / "bin/docker-credential-ring"
    write(program, HELPER)
    program.chmod(0o755)
    write(config, {"credsStore": "ring"})
    assert keep(HOST, ADA, environ) == "docker-credential-ring"
    assert find(HOST, "", environ) == ADA
    assert json.loads(config.read_text())["auths"] == {HOST: {}}
    assert remove(HOST, environ) == ["docker-credential-ring"]
    assert find(HOST, "", environ) == ANONYMOUS
    assert json.loads(config.read_text()) == {"credsStore": "ring", "auths": {}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not a readable JSON object"),
        ("[]", "not a readable JSON object"),
        ({"credsStore": "gone"}, "docker-credential-gone is not installed"),
        ({"credHelpers": {HOST: "../evil"}}, "name of the credential helper is not valid"),
    ],
)
def test_a_damaged_configuration_is_not_changed(environ: dict[str, str], config: Path, content: Any, said: str) -> None:
    """The user can still repair the file. The message has no password."""
    write(config, content)
    before = config.read_bytes()
    for change in (lambda: keep(HOST, ADA, environ), lambda: remove(HOST, environ)):
        with pytest.raises(LoginNotKept, match=said) as raised:
            change()
        assert "sesame" not in f"{raised.value.message} {raised.value.hint}"
    assert config.read_bytes() == before


@pytest.mark.parametrize("empty", ["", " \n"])
def test_an_empty_file_is_as_good_as_none(environ: dict[str, str], config: Path, empty: str) -> None:
    """An interrupted program leaves such a file. Docker takes it for an empty object, too."""
    write(config, empty)
    assert remove(HOST, environ) == []
    assert keep(HOST, ADA, environ) == str(config)
    assert find(HOST, environ=environ) == ADA


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("echo garbage", "gave an answer that is not valid"),
        ("exit 3", "failed with status 3"),
        ("echo credentials not found; exit 1", "does not give the same login back"),
        ("""echo '{"Username": "bob", "Secret": "pw"}'""", "does not give the same login back"),
    ],
)
def test_a_helper_that_does_not_give_the_login_back_is_named(
    environ: dict[str, str], config: Path, tmp_path: Path, answer: str, said: str
) -> None:
    """The message names the helper as the place of the login, not the file, and the hint says what to repair."""
    write(config, {"credsStore": "ring"})
    helper = tmp_path / "bin/docker-credential-ring"
    helper.write_text(f"#!/bin/sh\n[ $1 = store ] && exec cat >/dev/null\n{answer}\n")
    helper.chmod(0o755)
    with pytest.raises(LoginNotKept, match=f"was given to docker-credential-ring, but .*{said}") as raised:
        keep(HOST, ADA, environ)
    assert str(config) not in raised.value.message
    assert raised.value.hint == f"Repair the credential helper, or remove it from {config} (credsStore or credHelpers)."


def test_a_login_that_is_not_used_is_said(environ: dict[str, str]) -> None:
    """The variable of CI systems is read first."""
    environ["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {HOST: {"auth": "eDp5"}}})
    with pytest.raises(LoginNotKept, match="another login is used first") as raised:
        keep(HOST, ADA, environ)
    assert "DOCKER_AUTH_CONFIG" in raised.value.hint


def test_a_login_is_removed_from_all_places(environ: dict[str, str], config: Path, tmp_path: Path) -> None:
    """Podman's file can have one, too, also for a namespace of the registry."""
    podman = tmp_path / "containers/auth.json"
    write(podman, {"auths": {HOST: {"auth": "eDp5"}, "other.org": {"auth": "eDp5"}}})
    keep(HOST, ADA, environ)
    assert remove(HOST, environ) == [str(config), str(podman)]
    assert json.loads(podman.read_text()) == {"auths": {"other.org": {"auth": "eDp5"}}}


def test_a_file_that_the_user_may_not_write_is_named(environ: dict[str, str], config: Path) -> None:
    """The place of the file is a folder."""
    config.mkdir(parents=True)
    with pytest.raises(LoginNotKept, match=r"config\.json"):
        keep(HOST, ADA, environ)
    assert os.listdir(config) == []
