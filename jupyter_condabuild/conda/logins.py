"""The logins of channels: which channels need one, and requests that show a login to its own server alone.

rattler's downloads follow redirects with a ``Referer`` header, and a conda token is part of the path: the next server
would read it. So what is fetched with a login is fetched here, without that header.

Source: docs.conda.io "Using non-standard certificates and channels"; rattler_networking::authentication_storage.
"""

from __future__ import annotations

import os
import re
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from jupyter_condabuild.certificates import client_context
from jupyter_condabuild.conda.clients import channel_environment
from jupyter_condabuild.conda.secrets import scrub_url
from jupyter_condabuild.proxies import Proxies

_PUBLIC = frozenset(
    f"{host}/{channel}"
    for host in ("conda.anaconda.org", "repo.prefix.dev", "prefix.dev")
    for channel in ("conda-forge", "bioconda", "pytorch", "nvidia", "main", "r", "msys2", "emscripten-forge-dev")
)
"""Channels that everybody can read, though a login for their host is sent along."""

_PUBLIC_HOSTS = frozenset(("repo.anaconda.com",))


PLACEHOLDER = re.compile(r"/t/(?:<TOKEN>|%3CTOKEN%3E|\*+)(?=/)", re.IGNORECASE)
"""What conda and mamba write into records and lock files instead of a token."""

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)


@dataclass(frozen=True)
class Logins:
    """The channels and hosts for which this user has a login.

    `channels` are the URLs of channels without their credentials, as conda's settings name them with credentials.
    `hosts` are the names of hosts in the credential stores of rattler, mamba and netrc; ``*.lab.org`` stands for all
    hosts below. `tokens` are the conda tokens of hosts in rattler's and mamba's store. `with_login` maps a channel or
    host without its credentials, as a URL, to the URL with them; rattler's client does not know these. `places` maps
    each channel and each host to the file that has its login.
    """

    channels: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    with_login: Mapping[str, str] = field(default_factory=dict, repr=False)
    places: Mapping[str, str] = field(default_factory=dict)

    def covers(self, url: str) -> bool:
        """Whether a package is fetched with a login: one in its URL, or one that this user's settings have."""
        clean = scrub_url(url)
        return not _is_public(clean) and (clean != url or bool(self._keys(clean)))

    def place(self, url: str) -> str:
        """Returns the file with this user's login for a URL; empty if the user has none, or if nobody needs one."""
        clean = scrub_url(url)
        keys = () if _is_public(clean) else self._keys(clean)
        return next((self.places[key] for key in keys if key in self.places), "")

    def url(self, url: str) -> str:
        """Returns the URL with the user's login for its channel, or with the conda token of its host.

        It is unchanged if it has a login, or if the user has none. The result may be a secret.
        """
        parts = urlsplit(url)
        host = _matching(parts.hostname or "", self.tokens)
        if host is not None and not parts.path.startswith("/t/"):
            return urlunsplit(parts._replace(path=f"/t/{self.tokens[host]}{parts.path}"))
        if scrub_url(url) != url or _is_public(url):
            return url
        key = _longest(url, self.with_login)
        return self.with_login[key].rstrip("/") + url[len(key.rstrip("/")) :] if key else url

    def _keys(self, clean: str) -> list[str]:
        """Returns the channel and the host among the user's logins that a URL without a login belongs to."""
        host = _matching(urlsplit(clean).hostname or "", self.hosts)
        return [key for key in (_longest(clean, self.channels), host) if key]


def _is_public(clean: str) -> bool:
    parts = urlsplit(clean)
    host, path = parts.hostname or "", parts.path.strip("/")
    return host in _PUBLIC_HOSTS or any(f"{host}/{path}/".startswith(f"{name}/") for name in _PUBLIC)


def _longest(url: str, channels: Iterable[str]) -> str:
    """Returns the longest URL of a channel that another URL starts with; empty if there is none."""
    found = (channel for channel in channels if f"{url}/".startswith(f"{channel.rstrip('/')}/"))
    return max(found, key=len, default="")


def _matching(host: str, names: Iterable[str]) -> str | None:
    return next((name for name in names if name == host or (name[:2] == "*." and host.endswith(name[1:]))), None)


def variables(text: str) -> list[str]:
    """Returns the names of the variables in a URL, which are written as ``$NAME`` or ``${NAME}``."""
    return list(dict.fromkeys(match[1] or match[2] for match in _VARIABLE.finditer(text)))


def expanded(url: str, environ: Mapping[str, str] = os.environ) -> str:
    """Returns a URL with the values of its variables. It may be a secret.

    A value cannot end the login: ``@``, ``/``, ``?`` and ``#`` are percent-encoded. Raises KeyError without a value.
    """
    return _VARIABLE.sub(lambda match: quote(environ[match[1] or match[2]], safe="%:!$&'()*+,;=~"), url)


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

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._proxies = Proxies.read(environ)

    def http_open(self, request: urllib.request.Request) -> None:
        """Chooses the proxy, and leaves the connection to the next handler. Raises OSError if it cannot be used."""
        proxy = self._proxies.find_for(request.full_url)
        if proxy is None or request.has_proxy():
            return
        if not proxy.is_http:
            reason = "speaks SOCKS, which downloads from channels cannot use" if proxy.is_socks else "cannot be used"
            raise OSError(f"the proxy of {proxy.variable} {reason}")
        place = urlsplit(proxy.url)
        login, _, host = place.netloc.rpartition("@")
        if login:
            request.add_unredirected_header("Proxy-authorization", _basic(login))
        request.set_proxy(host, place.scheme)

    https_open = http_open


def _basic(login: str) -> str:
    return f"Basic {b64encode(unquote(login).encode()).decode()}"


def open_url(
    url: str, seconds: float, *, method: str = "GET", headers: Mapping[str, str] | None = None
) -> HTTPResponse:
    """Sends a request to a channel or an index. A login before the host goes as an ``Authorization`` header.

    Args:
        url: an http, https or file URL, maybe with a login or a conda token.
        headers: further headers, which the servers of redirects get too.

    Raises OSError, ValueError or HTTPException. Its text may contain the URL.
    """
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)), None, dict(headers or {}), method=method)  # noqa: S310
    if login:
        request.add_unredirected_header("Authorization", _basic(login))
    # records and lock files have file URLs for local channels
    environ = channel_environment()
    handlers: list[Any] = [_Redirects, urllib.request.ProxyHandler({}), _ToProxy(environ)]
    if parts.scheme == "https":
        handlers.append(urllib.request.HTTPSHandler(context=client_context(environ)))
    opener = urllib.request.build_opener(*handlers)
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
