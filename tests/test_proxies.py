"""The environment variables of proxies mean the same for registries and channels, and the same as for curl and Go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_condabuild.conda.clients import make_client
from jupyter_condabuild.conda.logins import open_url
from jupyter_condabuild.errors import PackageNotFound, RegistryError, RegistryUnreachable
from jupyter_condabuild.oci.logins.credentials import ANONYMOUS
from jupyter_condabuild.oci.registry import Registry
from jupyter_condabuild.proxies import Proxies
from tests.parts.registry.faults import Clock, FakeRegistry, Reply

PROXY = "http://proxy.test:3128"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("no_proxy", "direct", "proxied"),
    [
        ("", [], ["lab.org", "10.1.2.3", "fd00::1", "example"]),
        ("lab.org", ["lab.org", "LAB.org.", "a.lab.org", "a.b.lab.org"], ["mylab.org", "lab.org.uk", "org"]),
        (".lab.org", ["lab.org", "a.lab.org"], ["mylab.org"]),
        ("*.lab.org", ["lab.org", "a.lab.org"], ["mylab.org"]),
        ("lab.org:5000", ["lab.org:5000", "a.lab.org:5000"], ["lab.org", "lab.org:5001"]),
        ("*.lab.org:443", ["a.lab.org"], ["a.lab.org:80"]),
        ("10.0.0.0/8", ["10.1.2.3", "10.255.0.1:5000", "::ffff:10.1.2.3"], ["11.1.2.3", "10.lab.org"]),
        ("10.1.2.3", ["10.1.2.3", "10.1.2.3:5000"], ["10.1.2.30", "10.1.2.4"]),
        ("10.1.2.3:5000", ["10.1.2.3:5000"], ["10.1.2.3"]),
        ("fd00::/8", ["fd00::1", "fdff::1"], ["fe80::1", "lab.org", "10.1.2.3"]),
        ("[fd00::1]", ["fd00::1", "fd00:0::1"], ["fd00::2"]),
        ("[fd00::1]:5000", ["[fd00::1]:5000"], ["fd00::1"]),
        ("fe80::1", ["fe80::1%eth0"], ["fe80::2"]),
        ("[::1]", [], ["lab.org", "fd00::1"]),
        ("a.org, b.org  c.org,,", ["a.org", "b.org", "c.org"], ["d.org"]),
        ("a.org,*", ["lab.org", "10.1.2.3"], []),
        ("bücher.org", ["xn--bcher-kva.org", "bücher.org"], ["bucher.org"]),
        (",.,:,::,[],10.0.0.0/99,http://x:y", [], ["lab.org", "10.1.2.3"]),
    ],
)
def test_no_proxy_names_hosts_that_are_reached_directly(no_proxy: str, direct: list[str], proxied: list[str]) -> None:
    """Domains, addresses and ranges count, with or without a port. Malformed entries count for nothing."""
    proxies = Proxies.read({"all_proxy": PROXY, "NO_PROXY": no_proxy})

    def is_direct(place: str) -> bool:
        host, _, port = place.rpartition(":") if place.count(":") == 1 or "]" in place else (place, "", "443")
        return proxies.find("https", host.strip("[]"), int(port)) is None

    assert [place for place in direct if not is_direct(place)] == []
    assert [place for place in proxied if is_direct(place)] == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.1.2.3", "::1"])
@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
def test_this_machine_is_reached_without_a_proxy(host: str, variable: str) -> None:
    """No entry of NO_PROXY is needed."""
    assert Proxies.read({variable: "socks5h://proxy.test"}).find("http", host, 5000) is None


@pytest.mark.parametrize(
    ("environ", "http", "https"),
    [
        ({}, "", ""),
        ({"HTTP_PROXY": "http://a"}, "http://a", ""),
        ({"https_proxy": "http://a"}, "", "http://a"),
        ({"http_proxy": "http://a", "HTTP_PROXY": "http://b"}, "http://a", ""),
        ({"http_proxy": "", "HTTP_PROXY": "http://b"}, "http://b", ""),
        ({"ALL_PROXY": "http://all", "HTTPS_PROXY": "http://a"}, "http://all", "http://a"),
        ({"HTTPS_PROXY": " proxy.test:3128 "}, "", "http://proxy.test:3128"),
    ],
)
def test_each_scheme_has_its_proxy(environ: dict[str, str], http: str, https: str) -> None:
    """A variable in lower case comes first, and ALL_PROXY comes last. A proxy without a scheme is an HTTP proxy."""
    proxies = Proxies.read(environ)
    found = [proxies.find(scheme, "lab.org", 80) for scheme in ("http", "https")]
    assert [proxy.url if proxy else "" for proxy in found] == [http, https]
    assert not any(proxy and proxy.url in repr(proxies) for proxy in found)


def ask_registry(host: str) -> None:
    """Sends a request to a registry without TLS."""
    with Registry(host, insecure=True, credentials=ANONYMOUS, patience=Clock().patience) as registry:
        registry.check()


def ask_with_login(host: str) -> None:
    """Sends a request with a login to a channel."""
    with open_url(f"http://ada:sesame@{host}/v2/", 10):
        pass


def ask_with_rattler(host: str) -> None:
    """Downloads from a channel as rattler does."""
    from rattler.package_streaming import download_to_path

    async def download() -> None:
        client = make_client([f"http://{host}/v2/"], retries=0, seconds=10)
        await download_to_path(client, f"http://{host}/v2/", Path("/dev/null"))

    asyncio.run(download())


WAYS = pytest.mark.parametrize("ask", [ask_registry, ask_with_login, ask_with_rattler])


@WAYS
def test_the_proxy_gets_the_whole_url(
    fake_registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch, ask: Callable[[str], None]
) -> None:
    """Its login, which may have percent signs, goes to the proxy only."""
    monkeypatch.setenv("all_proxy", f"http://user:p%40ss@{fake_registry.host}")
    fake_registry.guard = lambda seen: Reply()
    ask("lab.test:5000")
    assert fake_registry.seen[-1].path == "http://lab.test:5000/v2/"
    assert fake_registry.seen[-1].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"


@WAYS
@pytest.mark.parametrize(
    "no_proxy", ["fd00::/8", "[::1]", "*.lab.test", "lab.test:80", "10.0.0.0/8,[::1],lab.test:5000"]
)
def test_a_list_of_direct_hosts_breaks_nothing(
    fake_registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch, ask: Callable[[str], None], no_proxy: str
) -> None:
    """This machine is reached directly, and other hosts through the proxy (encode/httpx#3221)."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    ask(fake_registry.host)
    monkeypatch.setenv("ALL_PROXY", f"http://{fake_registry.host}")
    fake_registry.guard = lambda seen: Reply()
    ask("other.test:5000")
    assert [seen.path for seen in fake_registry.seen][-1] == "http://other.test:5000/v2/"


@WAYS
@pytest.mark.parametrize("no_proxy", ["127.0.0.0/8", "", "localhost"])
def test_a_socks_proxy_does_not_stand_before_this_machine(
    fake_registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch, ask: Callable[[str], None], no_proxy: str
) -> None:
    """A proxy that this program cannot use is no error as long as it is not needed."""
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    ask(fake_registry.host)
    ask(f"localhost:{fake_registry.port}")
    assert [seen.headers["host"] for seen in fake_registry.seen] == [
        *[fake_registry.host] * (len(fake_registry.seen) // 2),
        *[f"localhost:{fake_registry.port}"] * (len(fake_registry.seen) // 2),
    ]


@WAYS
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "proxy",
    ["127.0.0.1:99999", "http://127.0.0.1:99999", "http://lab.test:port", "http://192.0.2.1:3128", "::::", "x:"],
)
def test_no_proxy_stands_before_this_machine(
    fake_registry: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[str], None],
    proxy: str,
    variable: str,
) -> None:
    """A registry and a channel on this machine are reached directly, whatever a variable names."""
    monkeypatch.setenv(variable, proxy)
    ask(fake_registry.host)
    ask(f"localhost:{fake_registry.port}")
    assert {seen.path for seen in fake_registry.seen} == {"/v2/"}


def test_a_direct_host_with_a_port_is_reached_directly(
    fake_registry: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
    trusted: Callable[[str], object],
) -> None:
    """The name of the host leads to this machine; the proxy does not exist."""
    trusted("lab.test")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    for no_proxy in (f"lab.test:{fake_registry.port}", "*.test", ".lab.test"):
        monkeypatch.setenv("NO_PROXY", no_proxy)
        for ask in (ask_registry, ask_with_login):
            ask(f"lab.test:{fake_registry.port}")
    assert {seen.path for seen in fake_registry.seen} == {"/v2/"}
    monkeypatch.setenv("NO_PROXY", "lab.test:80")
    for ask in (ask_registry, ask_with_login):
        with pytest.raises((RegistryUnreachable, OSError)):
            ask(f"lab.test:{fake_registry.port}")


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ("socks5://user:canary@h:1", "speaks SOCKS"),
        ("socks5h://user:canary@h:1", "speaks SOCKS"),
        ("nonsense://user:canary@h:1", "cannot be used"),
        ("http://user:canary@h:port", "cannot be used"),
        ("http://", "cannot be used"),
    ],
)
def test_an_unusable_proxy_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch, proxy: str, problem: str) -> None:
    """The error says what is wrong and what to do, without the login of the proxy."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with Registry("lab.test", credentials=ANONYMOUS) as registry, pytest.raises(RegistryUnreachable) as refused:
        registry.check()
    assert f"the proxy of HTTPS_PROXY {problem}" in refused.value.message
    assert ("socksio" in refused.value.hint) is (problem == "speaks SOCKS")
    with pytest.raises(OSError, match=f"the proxy of HTTPS_PROXY {problem}") as failed:
        open_url("https://ada:sesame@lab.test/x", 10)
    texts = [refused.value.message, refused.value.hint, str(failed.value)]
    with pytest.raises(PackageNotFound, match=f"the proxy of HTTPS_PROXY {problem}") as missing:
        make_client(["https://lab.test/x"], retries=0, seconds=1)
    assert make_client(["http://lab.test/x", "file:///x"], retries=0, seconds=1)
    texts += [missing.value.message, missing.value.hint]
    assert "canary" not in "".join(texts)


@pytest.mark.parametrize("insecure", [True, False], ids=["http", "https"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "http://proxy.invalid:3128"])
def test_a_proxy_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, proxy: str, insecure: bool) -> None:
    """The registry is not blamed for it."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    with (
        Registry("lab.test", insecure=insecure, credentials=ANONYMOUS, patience=Clock().patience) as registry,
        pytest.raises(RegistryUnreachable, match="the proxy of ALL_PROXY cannot be reached") as raised,
    ):
        registry.check()
    assert "ALL_PROXY and NO_PROXY" in raised.value.hint


@pytest.mark.parametrize("insecure", [True, False], ids=["http", "https"])
def test_a_proxy_that_requires_a_login_says_so(
    fake_registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch, insecure: bool
) -> None:
    """The hint shows where the login of a proxy is written."""
    monkeypatch.setenv("ALL_PROXY", f"http://{fake_registry.host}")
    fake_registry.guard = lambda seen: Reply(407, {"Proxy-Authenticate": 'Basic realm="proxy"'})
    with (
        Registry("lab.test", insecure=insecure, credentials=ANONYMOUS, patience=Clock().patience) as registry,
        pytest.raises(RegistryError, match=r"407 Proxy Authentication Required|through the proxy .407") as raised,
    ):
        registry.check()
    assert "http://USER:PASSWORD@HOST:PORT" in raised.value.hint
