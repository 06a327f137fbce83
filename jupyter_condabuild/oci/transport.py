"""Makes the HTTP requests to one registry: authorization, redirects, and errors.

Credentials are sent only to the registry's own origin (scheme, host and port) and to its token realm. If a redirect or
a ``Location`` leads to another origin, the request there has no credentials (see GHSA-jxpm-75mh-9fp7 for this kind of
leak).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

from jupyter_condabuild.errors import CondaBuildError, RegistryFault, RegistryUnreachable
from jupyter_condabuild.oci.connections.allowed_hosts import AllowedHosts
from jupyter_condabuild.oci.connections.http import httpx
from jupyter_condabuild.oci.connections.origins import Origin, resolve
from jupyter_condabuild.oci.connections.pools import Pools
from jupyter_condabuild.oci.http_errors import refusal, spec_errors_text, storage_refusal, unreachable
from jupyter_condabuild.oci.logins.credentials import Credentials
from jupyter_condabuild.oci.retry import Patience, patiently, timely
from jupyter_condabuild.oci.tokens import Access, Authorizer, Challenge

MAX_ANSWER = 4 * 1024 * 1024
MAX_ERROR = 64 * 1024
LEAST_OF_DOCUMENT = 32 * 1024
LEAST_OF_BLOB = 1024
"""The bytes per second with which a document and a blob must come."""

MAX_HOPS = 5
CONNECT_TIMEOUT = 20.0
IDLE_TIMEOUT = 60.0
PROBE_TIMEOUT = 10.0
USER_AGENT = "jupyter-condabuild"
_FAILURES = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
_HIDING = (401, 403, 404)
"""The statuses with which registries hide private repositories from anonymous users."""

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Call:
    """One request.

    Args:
        method: the HTTP method.
        url: a path in the registry, or an absolute URL from a ``Location``.
        access: the rights that the request needs.
        doing: completes "Could not …" in an error.
        headers: the headers of the request.
        body: returns the chunks of the body. It is called once for each attempt.
        size: the size of the body in bytes; None if it is not known.
        timeout: the longest wait in seconds for the next bytes of the response; None for that of the patience.
    """

    method: str
    url: str
    access: Access
    doing: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Iterator[bytes]] | None = None
    size: int | None = 0
    timeout: float | None = None


@dataclass(frozen=True)
class Answer:
    """A complete response. The names of headers are in lower case. `url` is the URL after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True)
class Stream:
    """A response whose body is not read yet. `pieces` yields the body as it arrives, without decoding it."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]


class Transport:
    """The connections to one registry. Several threads can share them.

    Args:
        host: the registry as in a reference.
        insecure: whether plain HTTP or a certificate that is not trusted is allowed.
        credentials: returns the login for a repository.
        patience: how often and how long requests are repeated after temporary failures.
        allowed: patterns of the hosts that may be connected to; empty for all.
    """

    def __init__(
        self,
        host: str,
        *,
        insecure: bool,
        credentials: Callable[[str], Credentials],
        patience: Patience,
        allowed: Collection[str] = (),
    ) -> None:
        self.host = host
        self._allowed = AllowedHosts(allowed)
        self.patience = patience
        self._insecure = insecure
        self._authorizer = Authorizer(host, credentials, self._ask_token_server, patience.clock)
        self._home = Origin.of_registry(host, "https")
        self._home_found = False
        self._home_lock = threading.Lock()
        self._pools = Pools(host, insecure=insecure)
        self._answered = False

    @property
    def asks_for_login(self) -> bool:
        """Whether the registry has asked for a login."""
        return self._authorizer.is_challenged

    def close(self) -> None:
        """Closes all connections. Threads that still use the transport get a RegistryUnreachable."""
        self._pools.close()

    def request(self, call: Call, accept: Collection[int]) -> Answer:
        """Makes a request and repeats it after temporary failures. The request must be safe to repeat.

        Args:
            call: the request.
            accept: the HTTP statuses that are not errors.

        Raises:
            RegistryError: the status is not in `accept`, or there is no response.
            ContentMismatch: the registry reports that the digest or size of the sent bytes is wrong.
        """
        return patiently(self.patience, lambda: self.once(call, accept))

    def once(self, call: Call, accept: Collection[int]) -> Answer:
        """Makes a request without repeating it. Raises as `request` does."""
        with self._answer(call, accept) as response:
            body = self._read(response, MAX_ANSWER, call.doing)
            return Answer(response.status_code, _headers(response), body, str(response.url))

    @contextmanager
    def stream(self, call: Call, accept: Collection[int]) -> Iterator[Stream]:
        """Makes a request without repeating it and yields the response before its body is read.

        Raises as `request` does.
        """

        def pieces() -> Iterator[bytes]:
            try:
                yield from self._timely(response, call.doing, LEAST_OF_BLOB)
            except _FAILURES as error:
                raise unreachable(self.host, call.doing, error, known=True) from None

        with self._answer(call, accept) as response:
            yield Stream(response.status_code, _headers(response), pieces())

    def locate(self, answer: Answer, doing: str, location: str = "") -> str:
        """Returns the absolute URL of a location that a response names.

        Args:
            answer: the response.
            doing: completes "Could not …" in an error.
            location: the location. If it is empty, the header ``Location`` of the response is used.

        Raises:
            RegistryFault: the location is missing or not safe.
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
        """Sends a request, answers one authentication challenge and follows redirects.

        A request that the registry refuses to an anonymous user without a challenge is repeated with the user's login.
        If the registry refuses the login, its answer to the anonymous user counts.

        Credentials are sent only to the registry's origin. After a redirect to another origin they are never sent
        again.
        """
        home = self._find_home()
        url = resolve(home.url, call.url, call.doing, self.host)
        at_home, challenged, hidden_by = True, False, 0
        authorization: str | None = None
        for _ in range(MAX_HOPS + 4):
            at_home = at_home and Origin.of(url) == home
            if at_home and authorization is None:
                authorization = self._authorizer.header(call.access)
            response = self._send(call, url, authorization or "" if at_home else "")
            status = response.status_code
            challenges = Challenge.parse_all(response.headers.get_list("www-authenticate")) if at_home else []
            other = self._other_login(call, status, challenges, authorization or "", hidden_by) if at_home else None
            if other is not None:
                _finish(response)
                authorization, hidden_by = other, hidden_by or status
            elif status == 401 and challenges and not challenged:
                challenged = True
                _finish(response)
                authorization = self._authorizer.answer(challenges, call.access, authorization or "")
            elif _redirects(call, response):
                _finish(response)
                url = resolve(url, response.headers.get("location", ""), call.doing, self.host)
            else:
                return response
        raise RegistryFault(f"Could not {call.doing} at {self.host}: the registry redirects without end.")

    def _other_login(
        self, call: Call, status: int, challenges: Sequence[Challenge], authorization: str, hidden_by: int
    ) -> str | None:
        """Returns the login with which to repeat a request that was refused without asking for a login.

        Args:
            authorization: the login of the request.
            hidden_by: the status of the refusal for which the login was offered; 0 if none was offered.

        Returns:
            The user's login, or an empty text if the registry has refused it. None to not repeat the request.
        """
        if not (hidden_by or authorization or challenges) and status in _HIDING:
            return self._authorizer.offer(call.access, self._ask_root) or None
        denied = status == 401 and not any(challenge.scheme == "bearer" for challenge in challenges)
        if hidden_by and authorization and (denied or (status == 403 and hidden_by == 404)):
            self._authorizer.withdraw()
            return ""
        return None

    def _ask_root(self) -> list[Challenge]:
        """Asks the registry's root how it wants the login ("Determining Support")."""
        response = self._send(Call("GET", "", Access(""), "log in"), self._home.url.join("/v2/"), "")
        _finish(response)
        if response.status_code != 401:
            return []
        return Challenge.parse_all(response.headers.get_list("www-authenticate"))

    def _send(self, call: Call, url: httpx.URL, authorization: str) -> httpx.Response:
        headers = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT, **call.headers}
        if authorization:
            headers["Authorization"] = authorization
        if call.body is not None and call.size is not None:
            headers["Content-Length"] = str(call.size)
        content = call.body() if call.body else None
        self._allowed.check(Origin.of(url), self.host)
        client = self._pools.client(url, self._home)
        answer = call.timeout or self.patience.answer or IDLE_TIMEOUT
        timeout = httpx.Timeout(IDLE_TIMEOUT, connect=CONNECT_TIMEOUT, read=answer, pool=None)
        request = client.build_request(call.method, url, headers=headers, content=content, timeout=timeout)
        response = client.send(request, stream=True)
        self._answered = True
        return response

    def _refusal(self, call: Call, response: httpx.Response) -> CondaBuildError:
        body = self._read_error(response)
        status, origin = response.status_code, Origin.of(response.url)
        if origin != self._home and status in (401, 403, 404):
            return storage_refusal(self.host, call.doing, status, origin.host)
        if status == 401:
            return self._authorizer.refused(call.access, spec_errors_text(body))
        writing = call.method in ("POST", "PUT", "PATCH")
        return refusal(self.host, call.doing, status, _headers(response), body, writing=writing)

    def _read_error(self, response: httpx.Response) -> bytes:
        """Returns the first part of the body of an error response, without the secrets that were sent or received."""
        body = bytearray()
        try:
            for piece in self._timely(response, "", LEAST_OF_DOCUMENT):
                body += piece
                if len(body) > MAX_ERROR:
                    break
        except (httpx.HTTPError, RegistryUnreachable):
            pass
        return self._authorizer.redact(body[:MAX_ERROR].decode("utf-8", "replace")).encode()

    def _read(self, response: httpx.Response, limit: int, doing: str) -> bytes:
        """Returns the whole body, so that the connection can be used again. Raises RegistryFault if it is too large."""
        body = bytearray()
        for piece in self._timely(response, doing, LEAST_OF_DOCUMENT):
            body += piece
            if len(body) > limit:
                raise RegistryFault(
                    f"Could not {doing} at {self.host}: the response is larger than {limit // 1024} KiB."
                )
        return bytes(body)

    def _timely(self, response: httpx.Response, doing: str, least: int) -> Iterator[bytes]:
        message = f"Could not {doing} at {self.host}: the answer comes too slowly."
        hint = "Check the network, or ask the administrator of the registry."
        late = RegistryUnreachable(message, hint, temporary=least == LEAST_OF_BLOB)  # a blob is resumed
        return timely(response.iter_raw(), self.patience.clock, least, late)

    def _find_home(self) -> Origin:
        """Returns the origin of the registry: http on this machine, https on others.

        An insecure registry is probed once: if it does not answer over TLS, its origin is http.
        """
        with self._home_lock:
            if not self._home_found:
                plain = Origin.of_registry(self.host, "http")
                if not self._insecure:
                    self._home = plain if plain.is_loopback else self._home
                else:
                    self._allowed.check(self._home, self.host)
                    try:
                        self._pools.client(self._home.url, self._home).head(
                            self._home.url.join("/v2/"), timeout=PROBE_TIMEOUT
                        )
                    except httpx.TransportError:
                        self._home = plain
                self._home_found = True
            return self._home

    def _ask_token_server(
        self, realm: str, query: Sequence[tuple[str, str]], form: Mapping[str, str] | None, authorization: str
    ) -> bytes:
        """Requests a token from a realm. Returns the body of the response. Does not follow redirects.

        Raises RegistryFault if the realm has no TLS and the registry has TLS.
        """
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
    """Returns the URL with additional parameters. Existing ones stay unchanged, because they may be signed."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}" if query else url


def _redirects(call: Call, response: httpx.Response) -> bool:
    """Whether the response redirects the request with the same method (RFC 9110 section 15.4)."""
    return response.status_code in ((301, 302, 303, 307, 308) if call.method in ("GET", "HEAD") else (307, 308))


def _finish(response: httpx.Response) -> None:
    """Reads and discards the body of a response, so that its connection can be used again."""
    size = 0
    for piece in response.iter_raw():
        size += len(piece)
        if size > MAX_ERROR:
            break
    response.close()


def _headers(response: httpx.Response) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
