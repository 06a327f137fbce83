"""Logins are read from Docker's and Podman's files and from credential helpers, also if one of them is damaged."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import docker.auth
import pytest

from jupyter_condabuild.oci.logins import credential_helper
from jupyter_condabuild.oci.logins.credentials import ANONYMOUS, Credentials, find

HOST = "registry.lab.org"
ADA, BOB = Credentials("ada", "sesame:x"), Credentials("bob", "pw")


def auth(login: Credentials) -> dict[str, str]:
    """Returns an entry of ``auths``."""
    return {"auth": base64.b64encode(f"{login.username}:{login.password}".encode()).decode()}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a user without a login."""
    (tmp_path / "bin").mkdir()
    return {
        "HOME": str(tmp_path),
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
    }


Write = Callable[[str, Mapping[str, object] | str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration file in the user's home."""

    def write_config(path: str, config: Mapping[str, object] | str) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(config if isinstance(config, str) else json.dumps(config))
        return file

    return write_config


@pytest.fixture
def helper(tmp_path: Path, environ: dict[str, str]) -> Callable[..., None]:
    """Installs a credential helper: a shell script with the server's name in $server."""

    def install(name: str, script: str) -> None:
        program = tmp_path / "bin" / f"docker-credential-{name}"
        program.write_text(f'#!/bin/sh\n[ "$1" = get ] || exit 9\nread -r server || true\n{script}\n')
        program.chmod(0o755)

    return install


def test_without_a_configuration_the_user_is_anonymous(environ: dict[str, str]) -> None:
    """Without a configuration file there is no login, and no error."""
    assert find(HOST, "team/env", environ) == ANONYMOUS
    assert not ANONYMOUS


@pytest.mark.parametrize(
    "path", [".docker/config.json", "run/containers/auth.json", ".config/containers/auth.json"], ids=str
)
def test_each_usual_file_is_read(environ: dict[str, str], write: Write, path: str) -> None:
    """Logins that ``docker login`` and ``podman login`` wrote are found."""
    write(path, {"auths": {HOST: auth(ADA)}})
    assert find(HOST, "team/env", environ) == ADA


@pytest.mark.parametrize(
    ("variable", "path", "value"),
    [
        ("DOCKER_CONFIG", "elsewhere/config.json", "{home}/elsewhere"),
        ("REGISTRY_AUTH_FILE", "elsewhere/any.json", "{home}/elsewhere/any.json"),
        ("XDG_CONFIG_HOME", "elsewhere/containers/auth.json", "{home}/elsewhere"),
    ],
)
def test_the_environment_names_the_file(
    environ: dict[str, str], write: Write, variable: str, path: str, value: str
) -> None:
    """The variables of Docker and Podman that name a configuration file are used."""
    write(path, {"auths": {HOST: auth(ADA)}})
    assert find(HOST, "team/env", environ) == ANONYMOUS
    assert find(HOST, "team/env", environ | {variable: value.format(home=environ["HOME"])}) == ADA


def test_docker_auth_config_contains_the_configuration(environ: dict[str, str], write: Write) -> None:
    """``DOCKER_AUTH_CONFIG`` contains JSON and has priority.

    Hosts that it does not contain are looked up in the files.
    """
    write(".docker/config.json", {"auths": {HOST: auth(ADA), "other.org": auth(ADA)}})
    environ["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {HOST: auth(BOB)}})
    assert find(HOST, "", environ) == BOB
    assert find("other.org", "", environ) == ADA


def test_docker_s_login_comes_before_podman_s(environ: dict[str, str], write: Write) -> None:
    """If both have a login for the host, Docker's login is used.

    Podman's login is used if Docker has none for the host.
    """
    write(".docker/config.json", {"auths": {HOST: auth(ADA)}})
    write("run/containers/auth.json", {"auths": {HOST: auth(BOB), "other.org": auth(BOB)}})
    assert find(HOST, "", environ) == ADA
    assert find("other.org", "", environ) == BOB


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("https://registry.lab.org", HOST),
        ("https://registry.lab.org/v2/", HOST),
        ("http://registry.lab.org/v1/", HOST),
        ("registry.lab.org/v2", HOST),
        ("Registry.Lab.org", HOST),
        ("registry.lab.org:5000", "registry.lab.org:5000"),
    ],
)
def test_old_and_new_keys_mean_the_same_host(environ: dict[str, str], write: Write, key: str, host: str) -> None:
    """A key can be a host, or a URL as older versions wrote it."""
    write(".docker/config.json", {"auths": {key: auth(ADA)}})
    assert find(host, "library/debian", environ) == ADA


@pytest.mark.parametrize("key", ["registry.lab.org:5000", "lab.org", "evil-registry.lab.org", "registry.lab.org.evil"])
def test_a_login_is_for_its_own_host_only(environ: dict[str, str], write: Write, key: str) -> None:
    """A login is not used for another port, domain or prefix."""
    write(".docker/config.json", {"auths": {key: auth(ADA)}})
    assert find(HOST, "team/env", environ) == ANONYMOUS


def test_podman_s_login_for_a_namespace_is_used_only_in_the_namespace(environ: dict[str, str], write: Write) -> None:
    """The most specific key wins. The login of a namespace is not used for other namespaces."""
    write("run/containers/auth.json", {"auths": {f"{HOST}/team": auth(ADA), f"{HOST}/team/secret/env": auth(BOB)}})
    assert find(HOST, "team/env", environ) == ADA
    assert find(HOST, "team/secret/env", environ) == BOB
    assert find(HOST, "team/secret/env2", environ) == ADA
    assert find(HOST, "teams/env", environ) == ANONYMOUS
    assert find(HOST, "", environ) == ANONYMOUS


def test_an_identity_token_is_read(environ: dict[str, str], write: Write) -> None:
    """The identity token that ``docker login`` stores for some registries is read as a token."""
    write(".docker/config.json", {"auths": {HOST: {**auth(Credentials("00000", "")), "identitytoken": "refresh"}}})
    assert find(HOST, "", environ).identity_token == "refresh"


def test_a_plain_user_name_and_password_are_read(environ: dict[str, str], write: Write) -> None:
    """Kubernetes' pull secrets can have the fields for user and password without the field ``auth``."""
    write(".docker/config.json", {"auths": {HOST: {"username": "ada", "password": "sesame:x"}}})
    assert find(HOST, "", environ) == ADA


@pytest.mark.parametrize("space", ["\n", "\r\n", "  "])
def test_white_space_in_an_encoded_login_is_ignored(environ: dict[str, str], write: Write, space: str) -> None:
    """``base64`` breaks long lines and ends with a line break. Docker ignores both."""
    encoded = auth(ADA)["auth"]
    write(".docker/config.json", {"auths": {HOST: {"auth": f"{space}{encoded[:6]}{space}{encoded[6:]}{space}"}}})
    assert find(HOST, environ=environ) == ADA


def test_a_helper_gives_the_login(environ: dict[str, str], write: Write, helper: Callable[..., None]) -> None:
    """The helper of the host is asked before the helper of all hosts. The entries of ``auths`` come last."""
    helper("lab", 'echo "{\\"ServerURL\\": \\"$server\\", \\"Username\\": \\"at $server\\", \\"Secret\\": \\"pw\\"}"')
    helper("all", 'echo "{\\"ServerURL\\": \\"$server\\", \\"Username\\": \\"ada\\", \\"Secret\\": \\"sesame:x\\"}"')
    config = {"auths": {HOST: auth(BOB)}, "credHelpers": {HOST: "lab"}, "credsStore": "all"}
    write(".docker/config.json", config)
    assert find(HOST, "", environ) == Credentials(f"at {HOST}", "pw")
    assert find("other.org", "", environ) == ADA


def test_a_helper_is_asked_for_docker_hub_by_its_old_url(
    environ: dict[str, str], write: Write, helper: Callable[..., None]
) -> None:
    """``docker login`` stores the login of Docker Hub under this URL."""
    helper("all", 'echo "{\\"Username\\": \\"$server\\", \\"Secret\\": \\"pw\\"}"')
    write(".docker/config.json", {"credsStore": "all"})
    assert find("docker.io", "library/debian", environ).username == "https://index.docker.io/v1/"


def test_a_helper_may_give_an_identity_token(
    environ: dict[str, str], write: Write, helper: Callable[..., None]
) -> None:
    """The user name ``<token>`` means that the secret is an identity token."""
    helper("all", 'echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"refresh\\"}"')
    write(".docker/config.json", {"credsStore": "all"})
    assert find(HOST, "", environ) == Credentials(identity_token="refresh")


def test_the_file_is_used_if_the_helper_has_no_login(
    environ: dict[str, str], write: Write, helper: Callable[..., None]
) -> None:
    """A helper's "not found" is not an error, and is not reported."""
    helper("all", "echo credentials not found in native keychain; exit 1")
    write(".docker/config.json", {"credsStore": "all", "auths": {HOST: auth(ADA)}})
    assert find(HOST, "", environ) == ADA
    assert find("other.org", "", environ) == ANONYMOUS


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (None, "docker-credential-all is not installed"),
        ("echo secret-in-output; exit 3", "failed with status 3"),
        ("echo secret-in-output", "not valid"),
        ("echo '{}'", "not valid"),
        ("echo '[]'", "not valid"),
    ],
)
def test_a_broken_helper_gives_a_reason_and_no_error(
    environ: dict[str, str], write: Write, helper: Callable[..., None], script: str | None, problem: str
) -> None:
    """Public images can still be read. The reason is kept, without secrets, for the case that a login is needed."""
    if script is not None:
        helper("all", script)
    write(".docker/config.json", {"credsStore": "all"})
    found = find(HOST, "", environ)
    assert not found
    assert problem in found.problem
    assert "secret" not in found.problem


def test_a_helper_that_hangs_is_stopped(
    environ: dict[str, str], write: Write, helper: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper that waits for a user to unlock a keyring does not block a build for ever."""
    monkeypatch.setattr(credential_helper, "TIMEOUT", 0.05)
    helper("all", "exec tail -f /dev/null")
    write(".docker/config.json", {"credsStore": "all"})
    assert "did not answer" in find(HOST, "", environ).problem


def test_the_user_is_told_what_is_waited_for(
    environ: dict[str, str],
    write: Write,
    helper: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A key ring may ask for its password. The helper goes on, and its answer counts. A fast one is not named."""
    write(".docker/config.json", {"credsStore": "all"})
    answer = f"echo '{json.dumps({'Username': ADA.username, 'Secret': ADA.password})}'"
    said: list[str] = []
    helper("all", answer)
    assert find(HOST, "", environ, said.append) == ADA
    assert said == []
    os.mkfifo(tmp_path / "asked")

    def answered(text: str) -> None:
        said.append(text)
        (tmp_path / "asked").write_text("the password\n")

    monkeypatch.setattr(credential_helper, "QUIET", 0.05)
    helper("all", f"read -r password <'{tmp_path}/asked'; {answer}")
    assert find(HOST, "", environ, answered) == ADA
    (sentence,) = said
    assert sentence.startswith("Waiting for the credential helper docker-credential-all, for at most 60 seconds.")


def test_each_problem_has_its_repair(environ: dict[str, str], write: Write, helper: Callable[..., None]) -> None:
    """The advice is the one that `login` gives, and names the file or the variable. An empty file is no problem."""
    file = write(".docker/config.json", "{")
    assert find(HOST, "", environ).repair == f"Repair {file}, or remove it: it keeps your logins as a JSON object."
    helper("all", "echo secret")
    write(".docker/config.json", {"credsStore": "all"})
    assert find(HOST, "", environ).repair == (
        f"Repair the credential helper, or remove it from {file} (credsStore or credHelpers)."
    )
    for empty in ("", " \n"):
        write(".docker/config.json", empty)
        assert (find(HOST, "", environ).problem, find(HOST, "", environ).repair) == ("", "")
    environ["DOCKER_AUTH_CONFIG"] = "{"
    assert find(HOST, "", environ).repair == "Correct or unset the variable DOCKER_AUTH_CONFIG."


@pytest.mark.parametrize("name", ["../../evil", "a b", "x;y", 7, ""])
def test_a_helper_s_name_is_validated(environ: dict[str, str], write: Write, name: object) -> None:
    """A helper whose name is not the name of a program is not started."""
    write(".docker/config.json", {"credsStore": name, "auths": {"other.org": auth(ADA)}})
    assert find(HOST, "", environ) == Credentials(
        problem="the name of the credential helper is not valid" if name else ""
    )
    assert find("other.org", "", environ) == ADA


@pytest.mark.parametrize(
    "config",
    [
        "not json",
        "[]",
        {"auths": []},
        {"auths": {HOST: "ada"}},
        {"auths": {HOST: {"auth": "%%%"}}},
        {"auths": {HOST: {"auth": base64.b64encode(b"no colon").decode()}}},
        {"auths": {HOST: {"auth": base64.b64encode(b"\xff:\xff").decode()}}},
        {"credHelpers": [], "credsStore": None},
    ],
)
def test_a_damaged_file_is_skipped(environ: dict[str, str], write: Write, config: Mapping[str, object] | str) -> None:
    """If a file cannot be read, the next file is read."""
    write(".docker/config.json", config)
    assert not find(HOST, "", environ)
    write("run/containers/auth.json", {"auths": {HOST: auth(BOB)}})
    assert find(HOST, "", environ) == BOB


def test_the_reason_names_a_damaged_login(environ: dict[str, str], write: Write) -> None:
    """The reason says which file contains the damaged login."""
    file = write(".docker/config.json", {"auths": {HOST: {"auth": "%%%"}, "other.org": auth(ADA)}})
    assert str(file) in find(HOST, "", environ).problem
    assert find("other.org", "", environ) == ADA


def test_a_login_is_not_printed() -> None:
    """The representation contains the user's name and no secret."""
    text = repr(Credentials("ada", "canary-password", "canary-token"))
    assert "ada" in text
    assert "canary" not in text


@pytest.mark.parametrize(
    "config",
    [
        {"auths": {HOST: auth(ADA)}},
        {"auths": {f"https://{HOST}/v1/": auth(ADA)}},
        {"auths": {HOST: {**auth(ADA), "identitytoken": "refresh"}}},
        {"auths": {HOST: {}}},
        {"auths": {"https://index.docker.io/v1/": auth(BOB)}},
        {"credHelpers": {HOST: "lab"}, "auths": {HOST: auth(BOB)}},
        {"credsStore": "lab"},
    ],
)
@pytest.mark.parametrize("host", [HOST, "docker.io", "other.org"])
def test_docker_py_reads_the_same_login(
    environ: dict[str, str],
    write: Write,
    helper: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    config: dict[str, object],
    host: str,
) -> None:
    """docker-py reads the same login from the same configuration."""
    helper("lab", 'echo "{\\"ServerURL\\": \\"$server\\", \\"Username\\": \\"at $server\\", \\"Secret\\": \\"pw\\"}"')
    monkeypatch.setenv("PATH", environ["PATH"])
    path = write(".docker/config.json", config)
    theirs = docker.auth.load_config(str(path)).resolve_authconfig(host) or {}
    entry = {name.lower(): value for name, value in theirs.items()}
    ours = find(host, "", environ)
    assert ours.identity_token == entry.get("identitytoken", "")
    if not ours.identity_token:
        assert (ours.username, ours.password) == (entry.get("username", ""), entry.get("password", ""))
