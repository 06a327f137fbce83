"""Answers to a registry's challenges: Basic credentials, and bearer tokens with their cache.

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
from jupyter_condabuild.oci.credentials import Credentials
from jupyter_condabuild.oci.http_errors import clean

CLIENT_ID = "jupyter-condabuild"
DEFAULT_LIFETIME = 60.0
_MARGIN = 10.0
_CHALLENGE = re.compile(
    r"""[\s,]*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]+)))?"""
)
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")


@dataclass(frozen=True)
class Access:
    """What a request needs the right to: actions on a repository, and `pull` on others (the sources of mounts)."""

    repository: str
    actions: str = "pull"
    also: tuple[str, ...] = ()

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes as a token server reads them (token.md, "Requesting a Token")."""
        if not self.repository:
            return ()
        extra = (f"repository:{name}:pull" for name in self.also if name != self.repository)
        return (f"repository:{self.repository}:{self.actions}", *extra)


@dataclass(frozen=True)
class Challenge:
    """One challenge of a ``WWW-Authenticate`` header; scheme and parameter names in lower case."""

    scheme: str
    parameters: Mapping[str, str]

    @classmethod
    def parse_all(cls, headers: Iterable[str]) -> list[Challenge]:
        """Every challenge of every header; what is not well-formed is left out."""
        found: list[tuple[str, dict[str, str]]] = []
        for header in headers:
            position = 0
            while match := _CHALLENGE.match(header, position):
                position = match.end()
                name = match["name"].lower()
                if match["quoted"] is None and match["plain"] is None:
                    found.append((name, {}))
                elif found:
                    value = match["plain"] if match["quoted"] is None else re.sub(r"\\(.)", r"\1", match["quoted"])
                    found[-1][1].setdefault(name, value)
        return [cls(scheme, parameters) for scheme, parameters in found]


class TokenServer(Protocol):
    """How a realm is asked: GET with a query, or POST with a form; the body of a 200 answer comes back."""

    def __call__(
        self, realm: str, query: list[tuple[str, str]], form: Mapping[str, str] | None, authorization: str
    ) -> bytes: ...


class Authorizer:
    """Makes the ``Authorization`` header for one registry and remembers tokens until they expire; thread-safe."""

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
        self._tokens: dict[Access, tuple[str, float]] = {}
        self._secrets: set[str] = set()

    def header(self, access: Access) -> str:
        """The header to send, empty as long as the registry has not asked for one."""
        with self._lock:
            return self._header(access) if self._challenge else ""

    def answer(self, challenges: Iterable[Challenge], access: Access, sent: str) -> str:
        """The header for a request that was answered with 401, given what it was sent with.

        Raises RegistryUnauthorized when nothing better can be sent.
        """
        by_scheme = {challenge.scheme: challenge for challenge in reversed(list(challenges))}
        chosen = by_scheme.get("bearer") or by_scheme.get("basic")
        if chosen is None:
            schemes = clean(", ".join(sorted(by_scheme)) or "none", 100)
            raise RegistryUnauthorized(
                f"{self._host} asks for a way of logging in that is not known here ({schemes}).", status=401
            )
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

    def refused(self, access: Access, said: str = "") -> RegistryUnauthorized:
        """The error for a registry that accepts neither the stored login nor anonymous access."""
        login = self._credentials(access.repository)
        what = (
            f" for {'reading' if access.actions == 'pull' else 'writing'} {access.repository}"
            if access.repository
            else ""
        )
        detail = f" ({said})" if said else ""
        if login:
            return RegistryUnauthorized(
                f"{self._host} does not accept the stored login{what}{detail}.",
                f"Log in again with 'docker login {self._host}' or 'podman login {self._host}', as one who may.",
                status=401,
            )
        return RegistryUnauthorized(
            f"{self._host} wants a login{what}{f': {login.problem}' if login.problem else ''}{detail}.",
            f"Log in with 'docker login {self._host}' or 'podman login {self._host}' and try again.",
            status=401,
        )

    def redact(self, text: str) -> str:
        """Text without any secret that was sent or received."""
        for secret in tuple(self._secrets):
            text = text.replace(secret, "***")
        return text

    def _header(self, access: Access, asked: str = "") -> str:
        assert self._challenge is not None
        if self._challenge.scheme == "basic":
            return self._basic(self._credentials(access.repository))
        token, expires = self._tokens.get(access, ("", 0.0))
        if not token or self._clock() >= expires:
            token, lifetime = self._fetch(self._challenge, access, asked)
            self._tokens[access] = (token, self._clock() + lifetime)
        return f"Bearer {token}"

    def _basic(self, login: Credentials) -> str:
        if not login.username and not login.password:
            return ""
        encoded = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
        self._secrets.update(secret for secret in (login.password, encoded) if len(secret) > 3)
        return f"Basic {encoded}"

    def _fetch(self, challenge: Challenge, access: Access, asked: str) -> tuple[str, float]:
        realm, service = challenge.parameters.get("realm", ""), challenge.parameters.get("service", "")
        scopes = _widened(access.scopes, asked)
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
        except RegistryUnauthorized:
            raise self.refused(access) from None

    def _parse(self, body: bytes) -> tuple[str, float]:
        try:
            value = json.loads(body)
            token = value.get("token") or value.get("access_token")
            lifetime = float(value.get("expires_in") or DEFAULT_LIFETIME)
        except (ValueError, AttributeError, TypeError, RecursionError):
            token, lifetime = None, 0.0
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise RegistryFault(f"The token server of {self._host} gave an answer without a valid token.")
        self._secrets.add(token)
        return token, max(lifetime - _MARGIN, lifetime / 2)


def _widened(scopes: Iterable[str], asked: str) -> list[str]:
    """The scopes with the actions that a challenge asks for besides, on the same repositories and no others."""
    result = list(scopes)
    for resource, _, actions in (scope.rpartition(":") for scope in asked.split()):
        for index, scope in enumerate(result):
            own, _, have = scope.rpartition(":")
            if own == resource:
                missing = [action for action in actions.split(",") if action not in have.split(",")]
                result[index] = ",".join([scope, *missing])
    return result
