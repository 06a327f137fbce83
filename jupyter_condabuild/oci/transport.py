"""Requests to one registry: connections, authorization, redirects, retries, and failures as named errors.

Credentials go to the registry's own origin (scheme, host and port) and to its token realm, and nowhere else, whatever
an answer says (the class of GHSA-jxpm-75mh-9fp7): where a redirect or a ``Location`` leads elsewhere, they stay behind.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar
from urllib.parse import urlencode

import httpx

from jupyter_condabuild import __version__
from jupyter_condabuild.errors import RegistryError, RegistryFault, RegistryUnreachable, UsageError
from jupyter_condabuild.oci.credentials import Credentials
from jupyter_condabuild.oci.origins import Origin, address, is_loopback, resolve, tls_context
from jupyter_condabuild.oci.refusals import refusal, spec_errors_text, unreachable
from jupyter_condabuild.oci.tokens import Access, Authorizer, Challenge

MIB = 1024 * 1024
MAX_ANSWER = 4 * MIB
MAX_ERROR = 64 * 1024
MAX_HOPS = 5
MAX_CONNECTIONS = 32
CONNECT_TIMEOUT = 20.0
IDLE_TIMEOUT = 60.0
PROBE_TIMEOUT = 10.0
USER_AGENT = f"jupyter-condabuild/{__version__}"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOWHERE = Access("")
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How often and how long a request is tried again; times in seconds, clock and sleep replaceable by tests."""

    attempts: int = 6
    first: float = 0.5
    longest: float = 60.0
    total: float = 240.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random


class Pauses:
    """The waits of one operation: exponential with jitter, or as long as the registry asked for."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failures = 0
        self._started = patience.clock()

    def progressed(self) -> None:
        """Something was achieved since the last failure: the count of failures and the time start afresh."""
        self._failures = 0
        self._started = self._patience.clock()

    def after(self, error: RegistryError) -> None:
        """Waits, or raises the error when it is not temporary or patience has come to its end."""
        patience = self._patience
        self._failures += 1
        wait = min(patience.longest, patience.first * 2 ** (self._failures - 1)) * (0.5 + patience.jitter() / 2)
        wait = max(wait, error.retry_after or 0.0)
        left = patience.total - (patience.clock() - self._started)
        if not error.temporary or self._failures >= patience.attempts or wait > min(left, patience.longest):
            raise error
        patience.sleep(wait)


@dataclass(frozen=True)
class Call:
    """One request: `url` is a path below the registry, or the absolute URL that a ``Location`` gave.

    `body` makes the body's chunks, `size` bytes in all, anew for each attempt. `doing` completes "Could not …".
    `timeout` is how many seconds the answer may take to begin, and to go on.
    """

    method: str
    url: str
    access: Access
    doing: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Iterator[bytes]] | None = None
    size: int = 0
    timeout: float = IDLE_TIMEOUT


@dataclass(frozen=True)
class Answer:
    """A complete answer: header names in lower case, the body at most MAX_ANSWER bytes, the URL it came from."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Transport:
    """The connections to one registry, shared by any number of threads."""

    def __init__(
        self, host: str, *, insecure: bool, credentials: Callable[[str], Credentials], patience: Patience
    ) -> None:
        self.host = host
        self.patience = patience
        self._insecure = insecure
        self._authorizer = Authorizer(host, credentials, self._ask_token_server, patience.clock)
        self._address = address(host)
        self._home: Origin | None = None
        self._home_lock = threading.Lock()
        self._clients: dict[bool, httpx.Client] = {}
        self._clients_lock = threading.Lock()
        self._answered = False

    def close(self) -> None:
        """Closes every connection."""
        with self._clients_lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def patiently(self, attempt: Callable[[], T]) -> T:
        """The result of an attempt, tried again after temporary errors as patience allows."""
        pauses = Pauses(self.patience)
        while True:
            try:
                return attempt()
            except RegistryError as error:
                pauses.after(error)

    def request(self, call: Call, accept: Collection[int]) -> Answer:
        """The answer to a request that may safely be made twice.

        Raises RegistryError, or ContentMismatch where the registry says so, for any status not in `accept`.
        """
        return self.patiently(lambda: self.once(call, accept))

    def once(self, call: Call, accept: Collection[int]) -> Answer:
        """The answer to a request that is made once; raises as `request` does."""
        with self.stream(call, accept) as response:
            body = self._read(response, MAX_ANSWER, call.doing)
            return Answer(response.status_code, _headers(response), body, str(response.url))

    @contextmanager
    def stream(self, call: Call, accept: Collection[int]) -> Iterator[httpx.Response]:
        """The answer to a request that is made once, its body still to be read; raises as `request` does."""
        try:
            response = self._follow(call)
            try:
                if response.status_code not in accept:
                    raise self._refusal(call, response)
                yield response
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise unreachable(self.host, call.doing, error, known=self._answered) from None

    def locate(self, answer: Answer, doing: str, location: str = "") -> str:
        """The absolute URL of a location that an answer names, by default in ``Location``.

        Raises RegistryFault where it is missing or not safe.
        """
        return str(resolve(httpx.URL(answer.url), location or answer.headers.get("location", ""), doing, self.host))

    def _follow(self, call: Call) -> httpx.Response:
        """Sends a request, answers one challenge and follows redirects; credentials stay at the registry's origin."""
        home = self._find_home()
        url = resolve(home.url, call.url, call.doing, self.host)
        at_home, challenged = True, False
        authorization: str | None = None
        for _ in range(MAX_HOPS + 2):
            at_home = at_home and Origin.of(url) == home
            if at_home and authorization is None:
                authorization = self._authorizer.header(call.access)
            response = self._send(call, url, authorization or "" if at_home else "")
            if response.status_code == 401 and at_home:
                if challenged:
                    return response
                challenged = True
                _finish(response)
                challenges = Challenge.parse_all(response.headers.get_list("www-authenticate"))
                authorization = self._authorizer.answer(challenges, call.access, authorization or "")
                continue
            any_method = response.status_code in (307, 308)
            if response.status_code not in _REDIRECTS or not (any_method or call.method in ("GET", "HEAD")):
                return response
            _finish(response)
            url = resolve(url, response.headers.get("location", ""), call.doing, self.host)
        raise RegistryFault(f"Could not {call.doing} at {self.host}: it redirects without end.")

    def _send(self, call: Call, url: httpx.URL, authorization: str) -> httpx.Response:
        headers = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT, **call.headers}
        if authorization:
            headers["Authorization"] = authorization
        if call.body is not None:
            headers["Content-Length"] = str(call.size)
        client = self._client(url)
        timeout = httpx.Timeout(IDLE_TIMEOUT, connect=CONNECT_TIMEOUT, read=call.timeout, pool=None)
        content = call.body() if call.body else None
        request = client.build_request(call.method, url, headers=headers, content=content, timeout=timeout)
        response = client.send(request, stream=True)
        self._answered = True
        return response

    def _refusal(self, call: Call, response: httpx.Response) -> Exception:
        try:
            body = self._read(response, MAX_ERROR, call.doing)
        except (httpx.HTTPError, RegistryFault):
            body = b""
        body = self._authorizer.redact(body.decode("utf-8", "replace")).encode()
        if response.status_code == 401 and Origin.of(response.url) == self._home:
            return self._authorizer.refused(call.access, spec_errors_text(body))
        return refusal(self.host, call.doing, response.status_code, _headers(response), body)

    def _read(self, response: httpx.Response, limit: int, doing: str) -> bytes:
        """A small body, whole; of a HEAD request none, and the connection can be used again."""
        body = bytearray()
        for piece in response.iter_raw():
            body += piece
            if len(body) > limit:
                raise RegistryFault(f"Could not {doing} at {self.host}: its answer is larger than {limit // 1024} kB.")
        return bytes(body)

    def _find_home(self) -> Origin:
        """The registry's origin: http on this machine, https elsewhere; an insecure one is asked what it speaks."""
        with self._home_lock:
            if self._home is None:
                scheme = "http" if is_loopback(self._address) and not self._insecure else "https"
                self._home = _origin(scheme, self._address)
                if self._insecure:
                    try:
                        self._client(self._home.url).head(f"{self._home.url}v2/", timeout=PROBE_TIMEOUT)
                    except httpx.TransportError:
                        self._home = _origin("http", self._address)
            return self._home

    def _client(self, url: httpx.URL) -> httpx.Client:
        """The pool for a URL: one checks certificates, the other, for an insecure registry's own host, does not."""
        verify = not (self._insecure and self._home is not None and url.host == self._home.host)
        with self._clients_lock:
            if verify not in self._clients:
                self._clients[verify] = _make_client(self._address, verify)
            return self._clients[verify]

    def _ask_token_server(
        self, realm: str, query: Sequence[tuple[str, str]], form: Mapping[str, str] | None, authorization: str
    ) -> bytes:
        """Asks a token realm, whose security must not be less than the registry's; redirects are not followed."""
        doing = "log in"
        url = resolve(self._find_home().url, realm, doing, self.host)
        if query:
            url = httpx.URL(with_query(str(url), query))
        where = self.host if url.host == self._find_home().host else f"{self.host} (token server {url.host})"
        content = urlencode(form).encode() if form else None
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        call = Call(
            "POST" if form else "GET",
            str(url),
            _NOWHERE,
            doing,
            headers,
            (lambda: iter((content,))) if content else None,
            len(content or b""),
        )

        def attempt() -> bytes:
            try:
                response = self._send(call, url, authorization)
                try:
                    body = self._read(response, MAX_ANSWER, doing)
                finally:
                    response.close()
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                raise unreachable(where, doing, error, known=False) from None
            if response.status_code != 200:
                text = self._authorizer.redact(body[:MAX_ERROR].decode("utf-8", "replace"))
                raise refusal(where, doing, response.status_code, _headers(response), text.encode())
            return body

        return self.patiently(attempt)


class _WithoutQueries(logging.Filter):
    """Takes the query, which may be a signature, off the URLs that httpx logs for our requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.copy_with(query=None, fragment=None) if isinstance(arg, httpx.URL) else arg for arg in record.args
            )
        return True


def _make_client(host: str, verify: bool) -> httpx.Client:
    logging.getLogger("httpx").addFilter(_QUIET)
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)
    try:
        return httpx.Client(
            verify=tls_context(host, verify=verify),
            limits=limits,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )
    except (ValueError, ImportError, httpx.InvalidURL):
        raise RegistryUnreachable(
            f"Could not connect to {host}: the proxy that the environment names cannot be used.",
            "Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.",
        ) from None
    except OSError as error:
        raise RegistryUnreachable(
            f"Could not connect to {host}: the trusted certificates cannot be read ({error.strerror or 'not valid'}).",
            "Check SSL_CERT_FILE, SSL_CERT_DIR and the registry's folder in /etc/docker/certs.d.",
        ) from None


def _origin(scheme: str, host: str) -> Origin:
    try:
        return Origin.of(httpx.URL(f"{scheme}://{host}"))
    except httpx.InvalidURL:
        raise UsageError(f"{host[:200]!r} is not the name of a registry.") from None


def _finish(response: httpx.Response) -> None:
    """Reads an answer that does not matter to its end, so that its connection can be used again."""
    size = 0
    for piece in response.iter_raw():
        size += len(piece)
        if size > MAX_ERROR:
            break
    response.close()


def with_query(url: str, query: Sequence[tuple[str, str]]) -> str:
    """The URL with more parameters; those it has are kept as they are, since they may be signed."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


def _headers(response: httpx.Response) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


_QUIET = _WithoutQueries()
