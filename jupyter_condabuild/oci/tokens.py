"""Answers the authentication challenges of a registry with Basic credentials or bearer tokens, and caches the tokens.

Source: RFC 9110 section 11.6.1; distribution's docs/spec/auth/token.md and oauth.md.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from jupyter_condabuild.errors import RegistryFault, RegistryUnauthorized
from jupyter_condabuild.oci.http_errors import clean
from jupyter_condabuild.oci.logins.credentials import Credentials

CLIENT_ID = "jupyter-condabuild"
DEFAULT_LIFETIME = 60.0
_MARGIN = 10.0
_CHALLENGE = re.compile(
    r"""[\s,]*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]+)))?"""
)
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")


@dataclass(frozen=True)
class Access:
    """The rights that a request needs.

    Args:
        repository: the repository of the request. Empty if the request concerns no repository.
        actions: the actions on this repository, separated by commas, such as ``pull,push``.
        also: other repositories on which ``pull`` is needed, because blobs are mounted from them.
    """

    repository: str
    actions: str = "pull"
    also: tuple[str, ...] = ()

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes in the form that a token server expects (token.md, "Requesting a Token")."""
        if not self.repository:
            return ()
        extra = (f"repository:{name}:pull" for name in self.also if name != self.repository)
        return (f"repository:{self.repository}:{self.actions}", *extra)


@dataclass(frozen=True)
class Challenge:
    """One challenge of a ``WWW-Authenticate`` header. The scheme and the names of parameters are in lower case."""

    scheme: str
    parameters: Mapping[str, str]

    @classmethod
    def parse_all(cls, headers: Iterable[str]) -> list[Challenge]:
        """Returns the challenges of all ``WWW-Authenticate`` headers. Malformed parts are ignored."""
        challenges: list[tuple[str, dict[str, str]]] = []
        for header in headers:
            position = 0
            while match := _CHALLENGE.match(header, position):
                position = match.end()
                name = match["name"].lower()
                if match["quoted"] is None and match["plain"] is None:
                    challenges.append((name, {}))
                elif challenges:
                    value = match["plain"] if match["quoted"] is None else re.sub(r"\\(.)", r"\1", match["quoted"])
                    challenges[-1][1].setdefault(name, value)
        return [cls(scheme, parameters) for scheme, parameters in challenges]


class TokenServer(Protocol):
    """A function that requests a token: GET with `query`, or POST with `form`. It returns the body of the response."""

    def __call__(
        self, realm: str, query: list[tuple[str, str]], form: Mapping[str, str] | None, authorization: str
    ) -> bytes: ...


class Authorizer:
    """Makes the ``Authorization`` headers for one registry and caches tokens until they expire. Thread-safe.

    Args:
        host: the registry, for error messages.
        credentials: returns the login for a repository.
        ask: requests a token from a token server.
        clock: returns a time in seconds.
    """

    def __init__(
        self,
        host: str,
        credentials: Callable[[str], Credentials],
        ask: TokenServer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._credentials = functools.lru_cache(maxsize=None)(credentials)
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._offer_refused = False
        self._tokens: dict[Access, tuple[str, float]] = {}
        self._secrets: set[str] = set()

    @property
    def is_challenged(self) -> bool:
        """Whether the registry has asked for a login."""
        return self._challenge is not None

    def header(self, access: Access) -> str:
        """Returns the header for a request. Empty if the registry has not sent a challenge yet."""
        with self._lock:
            return self._header(access) if self._challenge else ""

    def answer(self, challenges: Iterable[Challenge], access: Access, sent: str) -> str:
        """Returns the header with which to repeat a request that was answered with status 401.

        Args:
            challenges: the challenges of the response.
            access: the rights that the request needs.
            sent: the ``Authorization`` header of the request. Empty if it had none.

        Raises:
            RegistryUnauthorized: no other header is possible.
            RegistryFault: the token server's response is not valid.
        """
        challenges = list(challenges)
        chosen = _supported(challenges)
        if chosen is None and challenges:
            schemes = clean(", ".join(sorted({challenge.scheme for challenge in challenges})), 100)
            raise RegistryUnauthorized(
                f"{self._host} requires a type of login that is not supported ({schemes}).", status=401
            )
        if chosen is None:
            raise self.refused(access)
        with self._lock:
            token, expires = self._tokens.get(access, ("", 0.0))
            if token and sent != f"Bearer {token}" and self._clock() < expires:
                return f"Bearer {token}"
            self._tokens.pop(access, None)
            self._challenge = chosen
            header = self._header(access, chosen.parameters.get("scope", ""))
        if not header or (header == sent and chosen.scheme == "basic"):
            raise self.refused(access)
        return header

    def offer(self, access: Access, ask: Callable[[], list[Challenge]]) -> str:
        """Returns the header with which to repeat a request that the registry refused without asking for a login.

        Registries hide private repositories from anonymous users: they answer with 404, or with 401 and no challenge.
        If the user has a login, the registry is asked once how it wants to have it; if it does not say, the login is
        offered as Basic credentials.

        Args:
            access: the rights that the request needs.
            ask: returns the challenges of the registry's root, ``/v2/``, to an anonymous user.

        Returns:
            An empty text if the user has no login, or if the registry has refused it before.
        """
        with self._lock:
            if self._challenge is None:
                if self._offer_refused or not self._credentials(access.repository):
                    return ""
                self._challenge = _supported(ask()) or Challenge("basic", {})
            try:
                return self._header(access)
            except RegistryUnauthorized:
                self._withdraw()
                return ""

    def withdraw(self) -> None:
        """Forgets an offer that the registry has refused. All further requests are anonymous until it asks."""
        with self._lock:
            self._withdraw()

    def _withdraw(self) -> None:
        self._challenge, self._offer_refused = None, True

    def refused(self, access: Access, errors: str = "") -> RegistryUnauthorized:
        """Returns the error for a registry that accepts neither the stored login nor anonymous access.

        Args:
            access: the rights that the request needs.
            errors: the registry's own error text. Empty if there is none.
        """
        login = self._credentials(access.repository)
        purpose = (
            f" for {'reading' if access.actions == 'pull' else 'writing'} {access.repository}"
            if access.repository
            else ""
        )
        detail = f" ({errors})" if errors else ""
        if login:
            return RegistryUnauthorized(
                f"{self._host} does not accept the stored login{purpose}{detail}.",
                f"Log in again with 'jupyter condabuild login {self._host}', as a user with access.",
                status=401,
            )
        first = f"{login.repair} Then log" if login.repair else "Log"
        return RegistryUnauthorized(
            f"{self._host} requires a login{purpose}{f': {login.problem}' if login.problem else ''}{detail}.",
            f"{first} in with 'jupyter condabuild login {self._host}' and try again.",
            status=401,
        )

    def redact(self, text: str) -> str:
        """Replaces every secret that was sent or received by ``***``."""
        for secret in tuple(self._secrets):
            text = text.replace(secret, "***")
        return text

    def _header(self, access: Access, challenge_scope: str = "") -> str:
        assert self._challenge is not None
        if self._challenge.scheme == "basic":
            return self._basic(self._credentials(access.repository))
        token, expires = self._tokens.get(access, ("", 0.0))
        if not token or self._clock() >= expires:
            token, lifetime = self._fetch(self._challenge, access, challenge_scope)
            self._tokens[access] = (token, self._clock() + lifetime)
        return f"Bearer {token}"

    def _basic(self, login: Credentials) -> str:
        if not login.username and not login.password:
            return ""
        encoded = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
        self._secrets.update(secret for secret in (login.password, encoded) if len(secret) > 3)
        return f"Basic {encoded}"

    def _fetch(self, challenge: Challenge, access: Access, challenge_scope: str) -> tuple[str, float]:
        """Requests a token. Returns the token and the number of seconds for which it is used."""
        realm, service = challenge.parameters.get("realm", ""), challenge.parameters.get("service", "")
        scopes = _widened(access.scopes, challenge_scope)
        login = self._credentials(access.repository)
        try:
            if login.identity_token:
                self._secrets.add(login.identity_token)
                form = {
                    "grant_type": "refresh_token",
                    "service": service,
                    "client_id": CLIENT_ID,
                    "scope": " ".join(scopes),
                    "refresh_token": login.identity_token,
                }
                return self._parse(self._ask(realm, [], form, ""))
            query = [("service", service)] if service else []
            query += [("scope", scope) for scope in scopes]
            return self._parse(self._ask(realm, query, None, self._basic(login)))
        except RegistryUnauthorized as error:
            raise self.refused(access, error.detail) from None

    def _parse(self, body: bytes) -> tuple[str, float]:
        try:
            value = json.loads(body)
            token = value.get("token") or value.get("access_token")
            lifetime = float(value.get("expires_in") or DEFAULT_LIFETIME)
        except (ValueError, AttributeError, TypeError, RecursionError):
            token, lifetime = None, 0.0
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise RegistryFault(f"The response of the token server of {self._host} has no valid token.")
        self._secrets.add(token)
        return token, max(lifetime - _MARGIN, lifetime / 2)


def _supported(challenges: Iterable[Challenge]) -> Challenge | None:
    """Returns the challenge to answer: the first Bearer, else the first Basic; None if there is neither."""
    by_scheme = {challenge.scheme: challenge for challenge in reversed(list(challenges))}
    return by_scheme.get("bearer") or by_scheme.get("basic")


def _widened(scopes: Iterable[str], challenge_scope: str) -> list[str]:
    """Returns the scopes with the additional actions that a challenge names, only for the same repositories."""
    result = list(scopes)
    for resource, _, actions in (scope.rpartition(":") for scope in challenge_scope.split()):
        for index, scope in enumerate(result):
            own_resource, _, own_actions = scope.rpartition(":")
            if own_resource == resource:
                missing = [action for action in actions.split(",") if action not in own_actions.split(",")]
                result[index] = ",".join([scope, *missing])
    return result
