"""Logins of channels: the packages that need a login are known, and no other server gets the login."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_condabuild.conda import logins
from jupyter_condabuild.conda.contents import package_paths
from jupyter_condabuild.conda.fetch import locate
from jupyter_condabuild.conda.login_stores import read_logins
from jupyter_condabuild.conda.logins import Logins
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from tests.conda.test_fetch import DATA, package
from tests.parts.channel_host import Host

LAB = "https://lab.org/c/noarch/x-1-0.conda"


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "url"),
    [
        (".condarc", "channels: [https://me:word@lab.org/c]", LAB),
        (".condarc", "channel_alias: https://lab.org/t/tk-1-abc", LAB),
        (".condarc", "custom_channels: {mine: 'https://me:word@lab.org/c'}", LAB),
        (".condarc", "channel_settings: [{channel: 'https://lab.org/*', auth: http-basic}]", LAB),
        (".rattler/credentials.json", '{"*.lab.org": {"BearerToken": "x"}}', LAB.replace("lab.org", "conda.lab.org")),
        (".mamba/auth/authentication.json", '{"lab.org:8080": {"type": "BasicHTTPAuthentication"}}', LAB),
        (".netrc", "machine lab.org login me password word", LAB),
    ],
)
def test_the_settings_of_the_tools_say_which_channels_need_a_login(
    tmp_path: Path, name: str, text: str, url: str
) -> None:
    """Each tool has its own settings. A login of one channel says nothing about other channels."""
    write(tmp_path / name, text)
    found = read_logins({"HOME": str(tmp_path)})
    assert found.covers(url)
    assert not found.covers("https://other.org/c/noarch/x-1-0.conda")
    assert not read_logins({"HOME": str(tmp_path / "nobody")}).covers(url)


def test_a_login_in_the_url_of_a_record_counts() -> None:
    """conda writes ``<TOKEN>`` in place of a token."""
    none = Logins()
    for before in ("https://u:p@lab.org", "https://lab.org/t/<TOKEN>", "https://lab.org/t/tk-9"):
        assert none.covers(f"{before}/c/x.conda")
    assert not none.covers("https://lab.org/c/x.conda")


def test_public_channels_are_not_private() -> None:
    """This is true even if conda and rattler send a login to their host."""
    found = Logins(hosts=frozenset(("conda.anaconda.org",)))
    assert not found.covers("https://conda.anaconda.org/conda-forge/noarch/x-1-0.conda")
    assert not found.covers("https://conda.anaconda.org/t/<TOKEN>/conda-forge/noarch/x-1-0.conda")
    assert found.covers("https://conda.anaconda.org/conda-forge-mine/noarch/x-1-0.conda")


@pytest.mark.parametrize("broken", ["", "[", "- x", "null", '{"a": 1}', "a: &a [*a]", "\\x00"])
def test_settings_that_cannot_be_read_are_ignored(tmp_path: Path, broken: str) -> None:
    """A build does not fail because of a file that may contain logins."""
    for name in (".condarc", ".rattler/credentials.json", ".mamba/auth/authentication.json", ".netrc"):
        write(tmp_path / name, f"{broken} # ://")
    assert not read_logins({"HOME": str(tmp_path)}).covers(LAB)


@pytest.mark.parametrize("kind", ["login", "token", "stored token"])
def test_no_other_server_gets_a_login(tmp_path: Path, kind: str) -> None:
    """If a channel redirects to another server, this server gets neither an Authorization header nor a Referer."""
    path = "/noarch/small-1.0-0.conda"
    seen = f"/t/tk-canary{path}" if "token" in kind else path
    with Host({path: DATA}).serving() as files:
        moved = {seen: f"{files.url.replace('127.0.0.1', 'localhost')}{path}"}
        channel = Host({}, login="me:canary" if kind == "login" else "", moved=moved)
        with channel.serving():
            wanted = package(channel.url)
            with_login = {"login": wanted.url.replace("//", "//me:canary@"), "token": f"{channel.url}{seen}"}
            store = Logins(tokens={"127.0.0.1": "tk-canary"} if kind == "stored token" else {})
            sources = PackageSources(urls={wanted.dist: with_login.get(kind, wanted.url)}, logins=store)
            found, failures = locate([wanted], sources, tmp_path)
            package_paths([wanted], sources, "")
    assert not failures
    assert found[wanted.dist].path.read_bytes() == DATA
    assert (files.logins, files.referers) == ({""}, [])
    assert channel.logins == {"me:canary" if kind == "login" else ""}
    assert channel.seen == [f"GET {seen}"] * 2
    assert len(files.seen) == 2


def test_a_login_is_used_on_its_own_server(tmp_path: Path) -> None:
    """The target of a redirect on the same server needs the same login."""
    path = "/noarch/small-1.0-0.conda"
    host = Host({"/files/x": DATA}, login="me:canary", moved={path: "/files/x"})
    with host.serving():
        logins.download(f"{host.url.replace('//', '//me:canary@')}{path}", tmp_path / "x", 10, 1 << 20)
    assert (tmp_path / "x").read_bytes() == DATA
    assert host.logins == {"me:canary"}


def test_a_failure_contains_no_login(tmp_path: Path) -> None:
    """The representation of the sources contains no login either."""
    with Host({}).serving() as host:
        wanted = package(host.url)
        urls = {wanted.dist: f"{host.url}/t/tk-canary/x"}
        sources = PackageSources(urls=urls, logins=Logins(tokens={"127.0.0.1": "tk-canary"}))
        _, failures = locate([wanted], sources, tmp_path)
    error = failures[wanted.dist]
    assert "404" in error.message
    assert "canary" not in f"{error.message}{error.hint}{sources}{error!r}"


def test_the_packages_of_most_environments_need_no_login() -> None:
    """No layer is kept out of the pool without a reason."""
    wanted = CondaPackage.of_url("https://conda.anaconda.org/conda-forge/noarch/x-1-0.conda", sha256="0" * 64)
    assert not PackageSources().needs_login(wanted)
