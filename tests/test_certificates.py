"""A channel with TLS is trusted by the same variables as a registry, whatever part of the program downloads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_condabuild.conda.clients import make_client
from jupyter_condabuild.conda.fetch import locate
from jupyter_condabuild.conda.logins import open_url
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from tests.parts.registry.certificates import Authority
from tests.parts.registry.faults import FakeRegistry, serving

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of a lab."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def channel(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    """A server whose certificate the authority has issued, for a user without settings."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # removed at the end of the test, also if the program sets it
        monkeypatch.delenv(name)
    with serving(authority.issue("localhost").server_context()) as server:
        yield server


def with_login(url: str) -> None:
    """Downloads as a package with a login is downloaded."""
    with open_url(url, 10):
        pass


def with_rattler(url: str) -> None:
    """Downloads as other packages are downloaded."""
    from rattler.package_streaming import download_to_path

    async def download() -> None:
        await download_to_path(make_client([url], retries=0, seconds=10), url, Path("/dev/null"))

    asyncio.run(download())


@pytest.mark.parametrize("download", [with_login, with_rattler])
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_variables_name_the_authority_of_a_channel(
    channel: FakeRegistry,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    download: Callable[[str], None],
) -> None:
    """conda reads REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, because requests reads them. rattler does not."""
    url = f"https://localhost:{channel.port}/v2/"
    with pytest.raises(Exception, match=r"certificate|error sending request"):
        download(url)
    assert channel.seen == []
    monkeypatch.setenv(variable, str(authority.certificate))
    download(url)
    assert [seen.path for seen in channel.seen] == ["/v2/"]
    assert os.environ[variable] == str(authority.certificate)


@pytest.mark.parametrize("login", ["", "ada:sesame@"])
def test_a_channel_whose_authority_is_unknown_gets_a_hint(channel: FakeRegistry, tmp_path: Path, login: str) -> None:
    """The hint names the variables, with and without a login."""
    package = CondaPackage.of_url(f"https://localhost:{channel.port}/noarch/small-1.0-0.conda", sha256="0" * 64)
    urls = {package.dist: package.url.replace("//", f"//{login}")}
    _, failures = locate([package], PackageSources(urls=urls), tmp_path)
    error = failures[package.dist]
    assert "SSL_CERT_FILE or REQUESTS_CA_BUNDLE" in error.hint
    assert "sesame" not in error.message
