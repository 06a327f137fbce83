"""Requests to one registry: authorization, redirects, and failures as named errors.

Credentials go to the registry's own origin (scheme, host and port) and to its token realm, and nowhere else, whatever
an answer says (the class of GHSA-jxpm-75mh-9fp7): where a redirect or a ``Location`` leads elsewhere, they stay behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

from jupyter_condabuild.errors import CondaBuildError, RegistryFault
from jupyter_condabuild.oci.credentials import Credentials
from jupyter_condabuild.oci.http import httpx
from jupyter_condabuild.oci.http_errors import misplaced, refusal, spec_errors_text, unreachable
from jupyter_condabuild.oci.origins import Origin, make_client, resolve
from jupyter_condabuild.oci.retry import Patience, patiently
from jupyter_condabuild.oci.tokens import Access, Authorizer, Challenge

MAX_ANSWER = 4 * 1024 * 1024
MAX_ERROR = 64 * 1024
MAX_HOPS = 5
CONNECT_TIMEOUT = 20.0
IDLE_TIMEOUT = 60.0
PROBE_TIMEOUT = 10.0
USER_AGENT = "jupyter-condabuild"
_FAILURES = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Call:
    """One request: `url` is a path below the registry, or the absolute URL that a ``Location`` gave.

    `body` makes the body's chunks, `size` bytes in all, anew for each attempt. `doing` completes "Could not …".
    `timeout` is how many seconds the answer may take to begin, and to go on, where that is not IDLE_TIMEOUT.
    """

    method: str
    url: str
    access: Access
    doing: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Iterator[bytes]] | None = None
    size: int = 0
    timeout: float | None = None


@dataclass(frozen=True)
class Answer:
    """A complete answer: header names in lower case, the body at most MAX_ANSWER bytes, the URL it came from."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True)
class Stream:
    """An answer whose body comes in pieces as the network gives them, not decoded."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]


class Transport:
    """The connections to one registry, shared by any number of threads."""

    def __init__(
        self, host: str, *, insecure: bool, credentials: Callable[[str], Credentials], patience: Patience
    ) -> None:
        self.host = host
        self.patience = patience
        self._insecure = insecure
        self._authorizer = Authorizer(host, credentials, self._ask_token_server, patience.clock)
        self._home = Origin.of_registry(host, "https")
        self._home_found = False
        self._home_lock = threading.Lock()
        self._clients: dict[tuple[bool, bool], httpx.Client] = {}
        self._clients_lock = threading.Lock()
        self._answered = False

    def close(self) -> None:
        """Closes every connection."""
        with self._clients_lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def request(self, call: Call, accept: Collection[int]) -> Answer:
        """The answer to a request that may safely be made twice; tried again after temporary failures.

        Raises RegistryError, or ContentMismatch where the registry says so, for any status not in `accept`.
        """
        return patiently(self.patience, lambda: self.once(call, accept))

    def once(self, call: Call, accept: Collection[int]) -> Answer:
        """The answer to a request that is made once; raises as `request` does."""
        with self._answer(call, accept) as response:
            body = self._read(response, MAX_ANSWER, call.doing)
            return Answer(response.status_code, _headers(response), body, str(response.url))

    @contextmanager
    def stream(self, call: Call, accept: Collection[int]) -> Iterator[Stream]:
        """The answer to a request that is made once, its body still to be read; raises as `request` does."""

        def pieces() -> Iterator[bytes]:
            try:
                yield from response.iter_raw()
            except _FAILURES as error:
                raise unreachable(self.host, call.doing, error, known=True) from None

        with self._answer(call, accept) as response:
            yield Stream(response.status_code, _headers(response), pieces())

    def locate(self, answer: Answer, doing: str, location: str = "") -> str:
        """The absolute URL of a location that an answer names, by default in ``Location``.

        Raises RegistryFault where it is missing or not safe.
        """
        return str(resolve(httpx.URL(answer.url), location or answer.headers.get("location", ""), doing, self.host))

    @contextmanager
    def _answer(self, call: Call, accept: Collection[int]) -> Iterator[httpx.Response]:
        try:
            response = self._follow(call)
            try:
                if response.status_code not in accept:
                    raise self._refusal(call, response)
                yield response
            finally:
                response.close()
        except _FAILURES as error:
            raise unreachable(self.host, call.doing, error, known=self._answered) from None

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
            if response.status_code == 401 and at_home and not challenged:
                challenged = True
                _finish(response)
                challenges = Challenge.parse_all(response.headers.get_list("www-authenticate"))
                authorization = self._authorizer.answer(challenges, call.access, authorization or "")
            elif _redirects(call, response):
                _finish(response)
                url = resolve(url, response.headers.get("location", ""), call.doing, self.host)
            else:
                return response
        raise RegistryFault(f"Could not {call.doing} at {self.host}: it redirects without end.")

    def _send(self, call: Call, url: httpx.URL, authorization: str) -> httpx.Response:
        headers = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT, **call.headers}
        if authorization:
            headers["Authorization"] = authorization
        if call.body is not None:
            headers["Content-Length"] = str(call.size)
        content = call.body() if call.body else None
        client = self._client(url)
        timeout = httpx.Timeout(IDLE_TIMEOUT, connect=CONNECT_TIMEOUT, read=call.timeout or IDLE_TIMEOUT, pool=None)
        request = client.build_request(call.method, url, headers=headers, content=content, timeout=timeout)
        response = client.send(request, stream=True)
        self._answered = True
        return response

    def _refusal(self, call: Call, response: httpx.Response) -> CondaBuildError:
        said = self._read_error(response)
        status, origin = response.status_code, Origin.of(response.url)
        if origin != self._home and status in (401, 403, 404):
            return misplaced(self.host, call.doing, status, origin.host)
        if status == 401:
            return self._authorizer.refused(call.access, spec_errors_text(said))
        return refusal(self.host, call.doing, status, _headers(response), said)

    def _read_error(self, response: httpx.Response) -> bytes:
        """As much of an error's body as can be had, without any secret that was sent."""
        body = bytearray()
        try:
            for piece in response.iter_raw():
                body += piece
                if len(body) > MAX_ERROR:
                    break
        except httpx.HTTPError:
            pass
        return self._authorizer.redact(body[:MAX_ERROR].decode("utf-8", "replace")).encode()

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
            if not self._home_found:
                plain = Origin.of_registry(self.host, "http")
                if not self._insecure:
                    self._home = plain if plain.is_loopback else self._home
                else:
                    try:
                        self._client(self._home.url).head(self._home.url.join("/v2/"), timeout=PROBE_TIMEOUT)
                    except httpx.TransportError:
                        self._home = plain
                self._home_found = True
            return self._home

    def _client(self, url: httpx.URL) -> httpx.Client:
        """The pool for a URL: one checks certificates, one, for an insecure registry's own host, does not.

        A third is for a registry on this machine, where nothing but plain HTTP is spoken.
        """
        verify = not (self._insecure and url.host == self._home.host)
        tls = url.scheme == "https" or not self._home.is_loopback
        with self._clients_lock:
            if (verify, tls) not in self._clients:
                self._clients[verify, tls] = make_client(self._home, verify=verify, tls=tls)
            return self._clients[verify, tls]

    def _ask_token_server(
        self, realm: str, query: Sequence[tuple[str, str]], form: Mapping[str, str] | None, authorization: str
    ) -> bytes:
        """Asks a token realm, whose security must not be less than the registry's; redirects are not followed."""
        doing = "log in"
        url = resolve(self._find_home().url, realm, doing, self.host)
        where = self.host if url.host == self._home.host else f"{self.host} (token server {url.host})"
        content = urlencode(form or {}).encode()
        body = (lambda: iter((content,))) if form else None
        call = Call("POST" if form else "GET", "", Access(""), doing, _FORM if form else {}, body, len(content))
        url = httpx.URL(with_query(str(url), query))

        def attempt() -> bytes:
            try:
                response = self._send(call, url, authorization)
                try:
                    if response.status_code == 200:
                        return self._read(response, MAX_ANSWER, doing)
                    raise refusal(where, doing, response.status_code, _headers(response), self._read_error(response))
                finally:
                    response.close()
            except _FAILURES as error:
                raise unreachable(where, doing, error, known=False) from None

        return patiently(self.patience, attempt)


def with_query(url: str, query: Sequence[tuple[str, str]]) -> str:
    """The URL with more parameters; those it has are kept as they are, since they may be signed."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}" if query else url


def _redirects(call: Call, response: httpx.Response) -> bool:
    """Whether the answer sends the same request elsewhere (RFC 9110 section 15.4)."""
    return response.status_code in ((301, 302, 303, 307, 308) if call.method in ("GET", "HEAD") else (307, 308))


def _finish(response: httpx.Response) -> None:
    """Reads an answer that does not matter to its end, so that its connection can be used again."""
    size = 0
    for piece in response.iter_raw():
        size += len(piece)
        if size > MAX_ERROR:
            break
    response.close()


def _headers(response: httpx.Response) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
