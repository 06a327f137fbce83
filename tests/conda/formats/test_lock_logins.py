"""The logins in the URLs of a lock file: they are used and named, and no message and no file has them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from jupyter_condabuild.conda.fetch import locate
from jupyter_condabuild.conda.foreign.logins import login_urls
from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.login_stores import read_logins
from jupyter_condabuild.conda.logins import Logins
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.events import Event, Warning
from tests.parts.channel_host import Host

DATA = b"an archive" * 100
SHA256 = hashlib.sha256(DATA).hexdigest()
PATH = "/noarch/small-1.0-0.conda"
SET = {"LAB_USER": "me", "LAB_WORD": "can/ary@1"}


@pytest.fixture
def host() -> Iterator[Host]:
    """A channel that asks for a login."""
    with Host({PATH: DATA}, login="me:can/ary@1").serving() as serving:
        yield serving


def written(url: str, format: str) -> str:
    """Returns a lock file of one package, in one of the formats."""
    if format == "explicit":
        return f"@EXPLICIT\n{url}#{SHA256}\n"
    if format == "pixi":
        default = {"packages": {"linux-64": [{"conda": url}]}}
        return json.dumps(
            {"version": 6, "environments": {"default": default}, "packages": [{"conda": url, "sha256": SHA256}]}
        )
    package = {"name": "small", "version": "1.0", "manager": "conda", "platform": "linux-64", "url": url}
    package |= {"hash": {"sha256": SHA256}}  # type: ignore[dict-item]
    return json.dumps({"version": 1, "metadata": {"platforms": ["linux-64"]}, "package": [package]})


def fetched(lockfile: Lockfile, home: Path, environ: dict[str, str]) -> tuple[bool, list[Event]]:
    """Returns whether the package is downloaded, and the events."""
    events: list[Event] = []
    logins = read_logins({"HOME": str(home), **environ})
    urls = login_urls(lockfile, logins, events.append, [urlsplit(lockfile.conda[0].url).netloc], environ)
    sources = PackageSources(urls=urls, logins=logins)
    found, failures = locate(lockfile.conda, sources, home / "downloads")
    texts = [repr(events), repr(sources), repr(lockfile), dump(lockfile), dump(lockfile, "explicit")]
    texts += [f"{failure.message}{failure.hint}" for failure in failures.values()]
    assert "ary" not in "".join(texts)
    return bool(found), events


@pytest.mark.parametrize("format", ["explicit", "pixi", "conda-lock"])
@pytest.mark.parametrize("login", ["$LAB_USER:$LAB_WORD@", "${LAB_USER}:${LAB_WORD}@", "me:$LAB_WORD@"])
def test_the_variables_of_a_login_have_their_values(host: Host, tmp_path: Path, format: str, login: str) -> None:
    """This is the form of conda-lock. The log names the variables and the host, and no message has a value."""
    lockfile = load(written(host.url.replace("//", f"//{login}") + PATH, format))
    assert [package.url for package in lockfile.conda] == [host.url + PATH]
    found, events = fetched(lockfile, tmp_path, SET)
    assert (found, host.logins) == (True, {"me:can/ary@1"})
    names = "$LAB_USER and $LAB_WORD" if "LAB_USER" in login else "$LAB_WORD"
    (event,) = events
    assert f"login of {host.url[7:]} is that of the lock file, with the value of {names}" in repr(event)


@pytest.mark.parametrize("format", ["explicit", "pixi", "conda-lock"])
def test_the_variable_of_a_token_has_its_value(tmp_path: Path, format: str) -> None:
    """The path of the request has the token, and the lock file of the image has not."""
    with Host({f"/t/tk-canary/lab{PATH}": DATA}).serving() as host:
        lockfile = load(written(f"{host.url}/t/$TOKEN/lab{PATH}", format))
        assert fetched(lockfile, tmp_path, {"TOKEN": "tk-canary"})[0]
    assert lockfile.conda[0].url == f"{host.url}/lab{PATH}"


@pytest.mark.parametrize("login", ["$LAB_USER:$LAB_WORD@", "me:${LAB_WORD}@", "me:can$LAB_WORD@"])
def test_a_host_that_the_user_has_not_named_gets_no_variable(host: Host, tmp_path: Path, login: str) -> None:
    """A lock file of somebody else could send any variable to any server. A login of the user takes its place."""
    lockfile = load(written(host.url.replace("//", f"//{login}") + PATH, "explicit"))
    logins, events = read_logins({"HOME": str(tmp_path)}), list[Event]()
    for trusted in ((), ("lab.org",), ("27.0.0.1",), ("127.0.0.1",), ("127.0.0.1:1",), ("127.0.0.1:80",)):
        with pytest.raises(LockfileError, match=r"asks for the value of .*\$LAB_WORD and sends it to") as failed:
            login_urls(lockfile, logins, events.append, trusted, SET)
        assert f"--channel-login {host.url[7:]}." in failed.value.hint
    (tmp_path / ".condarc").write_text(f"channels: ['{host.url.replace('//', '//me:own@')}']")
    urls = login_urls(lockfile, read_logins({"HOME": str(tmp_path)}), events.append, (), SET)
    assert urls == {}
    assert not host.seen


@pytest.mark.parametrize(
    ("server", "named", "gets"),
    [
        ("https://lab.org", "lab.org", True),
        ("https://Lab.Org", "LAB.org", True),
        ("https://lab.org", "lab.org:443", True),
        ("https://lab.org:443", "lab.org", True),
        ("http://lab.org", "lab.org:80", True),
        ("https://lab.org:8443", "lab.org:8443", True),
        ("https://[::1]:8443", "[::1]:8443", True),
        ("https://[::1]", "[::1]", True),
        ("https://lab.org:8443", "lab.org", False),
        ("https://lab.org", "lab.org:8443", False),
        ("https://lab.org", "lab.org:80", False),
        ("https://sub.lab.org", "lab.org", False),
        ("https://lab.org.evil.org", "lab.org", False),
    ],
)
def test_a_server_is_a_host_and_a_port(server: str, named: str, gets: bool) -> None:
    """A host without a port is the usual port of http or https: another port may be the server of another person."""
    url = server.replace("//", "//$LAB_USER:$LAB_WORD@") + PATH
    lockfile = load(written(url, "explicit"))
    if gets:
        assert login_urls(lockfile, Logins(), lambda event: None, [named], SET)
    else:
        with pytest.raises(LockfileError, match="asks for the value of"):
            login_urls(lockfile, Logins(), lambda event: None, [named], SET)


def test_a_variable_that_is_not_set_is_an_error(host: Host, tmp_path: Path) -> None:
    """The message names the variable and the host. A login of the user takes its place."""
    lockfile = load(written(host.url.replace("//", "//$LAB_USER:$LAB_WORD@") + PATH, "explicit"))
    with pytest.raises(LockfileError, match=r"names \$LAB_WORD for the login of 127\.0\.0\.1:[0-9]+,") as failed:
        fetched(lockfile, tmp_path, {"LAB_USER": "me", "LAB_WORD": ""})
    assert "export LAB_WORD=" in failed.value.hint
    (tmp_path / ".condarc").write_text(f"channels: ['{host.url.replace('//', '//me:can%2Fary%401@')}']")
    found, events = fetched(lockfile, tmp_path, {})
    assert found
    assert f"The login of {host.url[7:]} is that in {tmp_path}/.condarc." in repr(events)


@pytest.mark.parametrize("token", ["<TOKEN>", "*****", "**********"])
def test_a_placeholder_of_a_token_is_the_users_login(tmp_path: Path, token: str) -> None:
    """conda and mamba write it into explicit files. The package needs a login, also if the user has none."""
    with Host({f"/t/tk-canary/lab{PATH}": DATA}).serving() as host:
        lockfile = load(written(f"{host.url}/t/{token}/lab{PATH}", "explicit"))
        assert not fetched(lockfile, tmp_path, {})[0]
        (tmp_path / ".condarc").write_text(f"channel_alias: {host.url}/t/${{LAB_TOKEN}}\n")
        found, events = fetched(lockfile, tmp_path, {"LAB_TOKEN": "tk-canary"})
        assert (found, [type(event).__name__ for event in events]) == (True, ["Log"])
        urls = login_urls(lockfile, read_logins({"HOME": "/nobody"}), lambda event: None)
        assert PackageSources(urls=urls).needs_login(lockfile.conda[0])
    assert f"GET /t/{token}/lab{PATH}" not in host.seen


@pytest.mark.parametrize("name", [".condarc", ".mamba/auth/authentication.json"])
def test_a_login_that_only_the_user_has_is_used(host: Host, tmp_path: Path, name: str) -> None:
    """The URL in the lock file has none. The log names the file."""
    login = {"type": "BasicHTTPAuthentication", "user": "me", "password": "Y2FuL2FyeUAx"}
    texts = {
        ".condarc": f"channels: ['{host.url.replace('//', '//me:can%2Fary%401@')}']",
        ".mamba/auth/authentication.json": json.dumps({host.url.removeprefix("http://"): login}),
    }
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(texts[name])
    found, events = fetched(load(written(host.url + PATH, "explicit")), tmp_path, {})
    assert (found, host.logins) == (True, {"me:can/ary@1"})
    assert f"is that in {tmp_path / name}" in repr(events)


def test_a_login_in_clear_is_used_with_a_warning(host: Host, tmp_path: Path) -> None:
    """Everybody who has the lock file has the login."""
    lockfile = load(written(host.url.replace("//", "//me:can%2Fary%401@") + PATH, "explicit"))
    found, (warning,) = fetched(lockfile, tmp_path, {})
    assert found
    assert isinstance(warning, Warning)
    assert (warning.code, f"a login of {host.url[7:]} in clear" in warning.message) == ("login-in-lockfile", True)


@pytest.mark.parametrize("format", ["explicit", "pixi", "conda-lock"])
def test_a_variable_outside_of_a_login_is_refused(format: str) -> None:
    """The URL is in the lock file of the image, where a value may be a secret."""
    with pytest.raises(LockfileError, match=r"variable outside of the login in the URL of small-1\.0-0"):
        load(written(f"https://h/$TEAM{PATH}", format))


def test_a_login_of_a_pip_package_is_not_given_away() -> None:
    """The builder of an engine would keep it. A warning names the package."""
    text = written(f"https://h{PATH}", "explicit") + "# pip mine @ https://me:$WORD@h/mine-1.0-py3-none-any.whl\n"
    events: list[Event] = []
    lockfile = load(text)
    assert login_urls(lockfile, read_logins({"HOME": "/nobody"}), events.append, (), {}) == {}
    assert lockfile.pip[0].url == "https://h/mine-1.0-py3-none-any.whl"
    (warning,) = events
    assert isinstance(warning, Warning)
    assert (warning.code, warning.message.endswith("does not give to pip: mine.")) == ("pip-login-left-out", True)
