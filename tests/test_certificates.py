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
from tests.parts.registry.faults import FakeRegistry, Reply, serving

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of a lab."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def channel(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    """A server whose certificate the authority has issued, for a user without settings."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
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
    assert {name for name in VARIABLES if name in os.environ} == {variable}


@pytest.mark.parametrize("login", ["", "ada:sesame@"])
def test_a_channel_whose_authority_is_unknown_gets_a_hint(channel: FakeRegistry, tmp_path: Path, login: str) -> None:
    """The hint names the variables, with and without a login."""
    package = CondaPackage.of_url(f"https://localhost:{channel.port}/noarch/small-1.0-0.conda", sha256="0" * 64)
    urls = {package.dist: package.url.replace("//", f"//{login}")}
    _, failures = locate([package], PackageSources(urls=urls), tmp_path)
    error = failures[package.dist]
    assert "SSL_CERT_FILE or REQUESTS_CA_BUNDLE" in error.hint
    assert "sesame" not in error.message


@pytest.mark.parametrize("download", [with_login, with_rattler])
def test_conda_s_settings_count_for_channels(
    channel: FakeRegistry,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    download: Callable[[str], None],
) -> None:
    """`ssl_verify` names the authority, and `proxy_servers` the proxies. A variable comes first."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    condarc = tmp_path / ".condarc"
    condarc.write_text(f"ssl_verify: {authority.certificate}\nproxy_servers:\n  http: http://127.0.0.1:9\n")
    download(f"https://localhost:{channel.port}/v2/")
    with serving() as proxy:
        proxy.guard = lambda seen: Reply()
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
        download("http://lab.test/v2/")
        monkeypatch.delenv("HTTP_PROXY")
        condarc.write_text(f"proxy_servers: {{http: 'http://ada:p%40ss@{proxy.host}', https: 5}}\n")
        download("http://lab.test/v3/")
    assert [seen.path for seen in proxy.seen] == ["http://lab.test/v2/", "http://lab.test/v3/"]
    assert [seen.headers.get("proxy-authorization", "") for seen in proxy.seen] == ["", "Basic YWRhOnBAc3M="]


def test_certificates_are_checked_whatever_conda_s_settings_say(
    channel: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ssl_verify: false` is not followed, and a damaged file of settings counts as empty."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in ("ssl_verify: false\n", "ssl_verify: <truststore>\n", "ssl_verify: [\n", "proxy_servers: 5\n"):
        (tmp_path / ".condarc").write_text(text)
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            with_login(f"https://localhost:{channel.port}/v2/")
