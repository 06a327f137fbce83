"""The logins of channels: which channels need one, and requests that show a login to its own server alone.

rattler's downloads follow redirects with a ``Referer`` header, and a conda token is part of the path: the next server
would read it. So what is fetched with a login is fetched here, without that header.

Source: docs.conda.io "Using non-standard certificates and channels"; rattler_networking::authentication_storage.
"""

from __future__ import annotations

import json
import netrc
import os
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from jupyter_condabuild.conda.secrets import scrub_url
from jupyter_condabuild.proxies import Proxies

_PUBLIC = frozenset(
    f"{host}/{channel}"
    for host in ("conda.anaconda.org", "repo.prefix.dev", "prefix.dev")
    for channel in ("conda-forge", "bioconda", "pytorch", "nvidia", "main", "r", "msys2", "emscripten-forge-dev")
)
"""Channels that everybody can read, though a login for their host is sent along."""

_PUBLIC_HOSTS = frozenset(("repo.anaconda.com",))


@dataclass(frozen=True)
class Logins:
    """The channels and hosts for which this user has a login.

    `channels` are the URLs of channels without their credentials, as conda's settings name them with credentials.
    `hosts` are the names of hosts in the credential stores of rattler, mamba and netrc; ``*.lab.org`` stands for all
    hosts below. `tokens` are the conda tokens of hosts in rattler's store.
    """

    channels: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)

    def covers(self, url: str) -> bool:
        """Whether a package is fetched with a login: one in its URL, or one that this user's settings have."""
        clean = scrub_url(url)
        parts = urlsplit(clean)
        host, path = parts.hostname or "", parts.path.strip("/")
        if host in _PUBLIC_HOSTS or any(f"{host}/{path}/".startswith(f"{name}/") for name in _PUBLIC):
            return False
        if clean != url or any(f"{clean}/".startswith(f"{channel.rstrip('/')}/") for channel in self.channels):
            return True
        return _matching(host, self.hosts) is not None

    def url(self, url: str) -> str:
        """Returns the URL with the conda token of its host; unchanged if the store has none. It may be a secret."""
        parts = urlsplit(url)
        host = _matching(parts.hostname or "", self.tokens)
        if host is None or parts.path.startswith("/t/"):
            return url
        return urlunsplit(parts._replace(path=f"/t/{self.tokens[host]}{parts.path}"))


def _matching(host: str, names: Iterable[str]) -> str | None:
    return next((name for name in names if name == host or (name[:2] == "*." and host.endswith(name[1:]))), None)


def read_logins(environ: Mapping[str, str] = os.environ) -> Logins:
    """Returns the logins of this user: of conda's settings, of rattler's and mamba's stores, and of netrc.

    Files that cannot be read count as empty. Logins in the keyring of the desktop are not found.
    """
    home = Path(environ.get("HOME") or Path.home())
    places = (".condarc", ".conda/.condarc", ".config/conda/.condarc", ".config/conda/condarc", ".mambarc")
    files = [home / place for place in places]
    files += [Path(environ[name]) for name in ("CONDARC", "MAMBARC") if environ.get(name)]
    files += [Path(environ[name]) / ".condarc" for name in ("CONDA_ROOT", "MAMBA_ROOT_PREFIX") if environ.get(name)]
    channels = [channel for file in files for channel in _condarc_channels(file)]
    store = _json(Path(environ.get("RATTLER_AUTH_FILE") or home / ".rattler/credentials.json"))
    with_token = {host: login for host, login in store.items() if isinstance(login, dict) and "CondaToken" in login}
    tokens = {host: str(login["CondaToken"]) for host, login in with_token.items()}
    hosts = {
        *store,
        *(urlsplit(f"//{name}").hostname or "" for name in _json(home / ".mamba/auth/authentication.json")),
    }
    with suppress(OSError, netrc.NetrcParseError):
        hosts |= {host for host in netrc.netrc(environ.get("NETRC") or home / ".netrc").hosts if host != "default"}
    return Logins(tuple(dict.fromkeys(channels)), frozenset(hosts) - {""}, tokens)


def _condarc_channels(file: Path) -> Iterator[str]:
    """Yields the URLs of channels that a .condarc names with a login, without the login."""
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return
    if scrub_url(text) == text and "://" not in text:
        return
    import yaml  # takes 20 ms, and most users have no such file

    try:
        value = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        return
    for item in _texts(value):
        if "://" in item and (clean := scrub_url(item)) != item:
            yield clean
    for item in value.get("channel_settings") or () if isinstance(value, dict) else ():
        if isinstance(item, dict) and item.get("auth") and "://" in str(item.get("channel")):
            yield scrub_url(str(item["channel"])).rstrip("*")


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < 5 and isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item, depth + 1)


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects without ``Referer``; the login goes on to the same scheme, host and port only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url), urlsplit(urljoin(req.full_url, newurl))
        if before.scheme == "https" and after.scheme != "https":
            raise OSError("the channel redirects to an address without TLS")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        login = req.get_header("Authorization")
        if request and login and (before.scheme, before.netloc) == (after.scheme, after.netloc):
            request.add_unredirected_header("Authorization", login)
        return request


class _ToProxy(urllib.request.BaseHandler):
    """Sends each request to the proxy that the environment names for its address."""

    handler_order = 100  # before the handlers that connect, as urllib's own handler of proxies

    def __init__(self) -> None:
        self._proxies = Proxies.read()

    def http_open(self, request: urllib.request.Request) -> None:
        """Chooses the proxy, and leaves the connection to the next handler. Raises OSError if it cannot be used."""
        proxy = self._proxies.find_for(request.full_url)
        if proxy is None or request.has_proxy():
            return
        if proxy.is_socks or not proxy.is_valid:
            reason = "speaks SOCKS, which a download with a login cannot use" if proxy.is_socks else "cannot be used"
            raise OSError(f"the proxy of {proxy.variable} {reason}")
        place = urlsplit(proxy.url)
        login, _, host = place.netloc.rpartition("@")
        if login:
            request.add_unredirected_header("Proxy-authorization", _basic(login))
        request.set_proxy(host, place.scheme)

    https_open = http_open


def _basic(login: str) -> str:
    return f"Basic {b64encode(unquote(login).encode()).decode()}"


def open_url(url: str, seconds: float, *, method: str = "GET") -> HTTPResponse:
    """Sends a request to a channel. A login before the host goes as an ``Authorization`` header.

    Args:
        url: an http, https or file URL, maybe with a login or a conda token.

    Raises OSError, ValueError or HTTPException. Its text may contain the URL.
    """
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)), method=method)  # noqa: S310
    if login:
        request.add_unredirected_header("Authorization", _basic(login))
    # records and lock files have file URLs for local channels
    opener = urllib.request.build_opener(_Redirects, urllib.request.ProxyHandler({}), _ToProxy)
    return cast(HTTPResponse, opener.open(request, timeout=seconds))


def download(url: str, target: Path, seconds: float, most: int) -> None:
    """Downloads a file that needs a login, of at most `most` bytes. Raises as `open_url`."""
    with open_url(url, seconds) as response, open(target, "wb") as file:
        left = most
        while chunk := response.read(1 << 20):
            left -= len(chunk)
            if left < 0:
                raise OSError(f"the channel sends more than {most} bytes")
            file.write(chunk)


def length(headers: Message) -> int | None:
    """Returns the size that an answer announces, in bytes; None if it announces none."""
    text = headers.get("Content-Length")
    return int(text) if text and text.isdecimal() else None
