"""`jupyter condabuild login` tests a login at a real registry and keeps it; `logout` removes it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.command_line import CommandLine
from tests.parts.registry.logins import PASSWORD, USER, password_registry


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that requires a login."""
    with password_registry(tmp_path_factory.mktemp("locked")) as host:
        yield host


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def config(run: CommandLine) -> Path:
    return Path(run.environ["HOME"], ".docker/config.json")


def test_after_a_login_an_image_can_be_pushed(
    run: CommandLine, locked: str, rattler_prefix: Path, small_base: str
) -> None:
    """Before the login, and after a logout, the push is refused with a hint that names the command."""
    build = ("build", rattler_prefix, "-t", f"{locked}/team/env:v1", "--push", "--base", small_base)
    refused = run(*build)
    assert refused.status == 1
    assert f"jupyter condabuild login {locked}" in refused.err
    done = run("login", f"https://{locked}/team", "--user", USER, "--password-stdin", input=f"{PASSWORD}\n")
    assert done.status == 0, done.err
    assert done.out == (
        f"{locked} accepts the login of {USER}. It is kept in {config(run)}, where Docker and Podman find it, too.\n"
    )
    assert run(*build).status == 0
    assert run("logout", locked, "--json").json == {"registry": locked, "places": [str(config(run))]}
    assert run(*build, "--again").status == 1
    assert run("logout", locked).out == f"There was no login for {locked}.\n"


def test_a_build_and_a_login_give_the_same_advice_for_a_damaged_configuration(run: CommandLine, locked: str) -> None:
    """The advice works: without the damaged file, the login is kept. A file without content needs no repair."""
    config(run).parent.mkdir(parents=True)
    config(run).write_text('{"auths": {')
    login = ("login", locked, "--user", USER, "--password-stdin")
    advice = f"Repair {config(run)}, or remove it"
    needed = run("who-has", "numpy", "--in", f"{locked}/team/env:v1")
    assert needed.status == 1
    assert advice in needed.err
    assert f"Then log in with 'jupyter condabuild login {locked}'" in needed.err
    refused = run(*login, input=f"{PASSWORD}\n")
    assert (refused.status, advice in refused.err) == (1, True)
    config(run).write_text("")
    assert run(*login, input=f"{PASSWORD}\n").status == 0


def test_a_wrong_password_is_not_kept(run: CommandLine, locked: str) -> None:
    """The error has no password."""
    done = run("login", locked, "-u", USER, "--password-stdin", input="canary-wrong")
    assert done.status == 1
    assert f"{locked} does not accept the user name {USER} with this password. Nothing is kept." in done.err
    assert "canary" not in done.out + done.err
    assert not config(run).exists()


def test_a_registry_that_asks_for_no_login_is_said(run: CommandLine, registry: str) -> None:
    """The login is kept, because the registry may ask for it at a push."""
    done = run("login", registry, "-u", USER, "--password-stdin", "--json", input=PASSWORD)
    assert done.json == {"registry": registry, "user": USER, "place": str(config(run)), "tested": False}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "names no registry"),
        (("lab", "-u", "x", "--password-stdin"), "not the name of a registry"),
        (("https://ada:canary@registry.lab.org", "--password-stdin"), "--user NAME"),
        (("registry.lab.org/UPPER x:", "-u", "x"), "--password-stdin"),
        (("registry.lab.org", "--password-stdin"), "--user NAME"),
        (("registry.lab.org", "-u", "x"), "--password-stdin"),
        (("registry.lab.org", "-u", "x", "--password-stdin"), "empty"),
    ],
)
def test_what_is_missing_is_named(run: CommandLine, words: tuple[str, ...], said: str) -> None:
    """Without a terminal, nothing is asked for."""
    done = run("login", *words)
    assert done.status in (1, 2)
    assert said in done.err
    assert "canary" not in done.err


def test_a_terminal_is_asked_and_does_not_show_the_password(run: CommandLine, locked: str) -> None:
    """The questions are on standard error, so that the output can be read by a program."""
    main, terminal = pty.openpty()
    command = run.command("login", locked, "--json")
    with subprocess.Popen(
        command, env=run.environ, stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, start_new_session=True
    ) as process:
        os.close(terminal)
        shown = _until(main, b"User: ")
        os.write(main, f"{USER}\n".encode())
        shown += _until(main, b"(not shown): ")
        os.write(main, f"{PASSWORD}\n".encode())
        assert process.stdout
        assert json.loads(process.stdout.read())["tested"] is True
    assert process.returncode == 0
    assert PASSWORD.encode() not in shown + _rest(main)


def _until(terminal: int, text: bytes) -> bytes:
    shown = b""
    while text not in shown:
        shown += os.read(terminal, 1000)
    return shown


def _rest(terminal: int) -> bytes:
    shown = b""
    try:
        while part := os.read(terminal, 1000):
            shown += part
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(terminal)
    return shown
