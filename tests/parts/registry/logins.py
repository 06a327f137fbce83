"""Real registries with a login: by a password file, and by tokens from our own realm."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from jupyter_condabuild.oci.logins.credentials import Credentials
from tests.conftest import missing
from tests.parts.registry.faults import FakeRegistry, Reply, Seen, serving, spec_error

USER, PASSWORD = "ada", "canary-open:sesame"
IDENTITY_TOKEN = "canary-identity-token"
BASIC = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
ADA = Credentials(USER, PASSWORD)
IDENTITY = Credentials(identity_token=IDENTITY_TOKEN)
CANARIES = (PASSWORD, BASIC.split()[1], IDENTITY_TOKEN, "canary-token")
"""Texts that no other server may get."""
# bcrypt of PASSWORD with cost 4, as `htpasswd -nbB` writes it.
_HTPASSWD = "ada:$2y$04$1Mk1uehFkRg4ogBrPOuPQeg8hTMbgB.ty4Ej2UBwwwvEblcCA9aUK\n"
_SERVICE = "registry of the tests"


@contextmanager
def real_registry(folder: Path, settings: str, tls: str = "", address: str = "127.0.0.1") -> Iterator[str]:
    """Debian's registry with additional settings (YAML), as ``ADDRESS:PORT``; with TLS if `tls` has its settings."""
    if not shutil.which("docker-registry"):
        missing("No registry: docker-registry is not installed")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as free:
        port = free.getsockname()[1]
    host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    config = folder / "config.yml"
    config.write_text(
        "version: 0.1\n"
        "log: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '{host}'{f', tls: {tls}' if tls else ''}}}\n{settings}"
    )
    command = ["docker-registry", "serve", str(config)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + 30
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    socket.create_connection((address, port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.02)
            yield host
        finally:
            process.terminate()


@contextmanager
def password_registry(folder: Path) -> Iterator[str]:
    """A registry that accepts only USER with PASSWORD (Basic)."""
    passwords = folder / "htpasswd"
    passwords.write_text(_HTPASSWD)
    with real_registry(folder, f"auth: {{htpasswd: {{realm: 'the \"lab\", here', path: {passwords}}}}}\n") as host:
        yield host


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Writes a key and a self-signed certificate for the host `name`."""
    if not shutil.which("openssl"):
        missing("No certificates: openssl is not installed")
    key, crt = folder / "key.pem", folder / "crt.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(crt)]
    subprocess.run(command, check=True, capture_output=True)
    return key, crt


@dataclass
class Realm:
    """A token server: every user may pull from ``public/``, and USER may do everything in ``team/``.

    Args:
        lifetime: the value of ``expires_in``, in seconds.
        pulls: whether USER may pull without pushing. Docker Hub and GHCR refuse this for a repository that does not
            exist.
    """

    key: Path
    certificate: Path
    server: FakeRegistry
    lifetime: int = 300
    pulls: bool = True
    granted: list[list[str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The URL in the challenge of a registry."""
        return f"http://{self.server.host}/token"

    def __call__(self, seen: Seen) -> Reply:
        """Answers a token request (docs/spec/auth/token.md and oauth.md)."""
        query = parse_qs(urlsplit(seen.path).query if seen.method == "GET" else seen.body.decode())
        refresh = query.get("refresh_token", [""])[0]
        known = seen.authorization == BASIC or refresh == IDENTITY_TOKEN
        if (seen.authorization or refresh) and not known:
            return spec_error(401, "UNAUTHORIZED", "wrong user name or password")
        scopes = [scope for text in query.get("scope", []) for scope in text.split()]
        self.granted.append(scopes)
        token = self._sign([grant for scope in scopes if (grant := self._grant(scope, known))])
        name = "access_token" if seen.method == "POST" else "token"
        body = json.dumps({name: token, "expires_in": self.lifetime}).encode()
        return Reply(200, {"Content-Type": "application/json"}, body)

    def _grant(self, scope: str, known: bool) -> Mapping[str, object] | None:
        kind, name, actions = scope.split(":")
        if known and name.startswith("team/") and (self.pulls or "push" in actions):
            allowed = actions.split(",")
        else:
            allowed = ["pull"] if name.startswith("public/") and "pull" in actions.split(",") else []
        return {"type": kind, "name": name, "actions": allowed} if allowed else None

    def _sign(self, access: list[Mapping[str, object]]) -> str:
        lines = self.certificate.read_text().splitlines()
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(lines[1:-1])]}
        now = int(time.time())
        claims = {"iss": "tests", "aud": _SERVICE, "sub": USER, "jti": uuid.uuid4().hex, "access": access}
        claims |= {"iat": now, "nbf": now - 60, "exp": now + 600}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        command = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        signature = subprocess.run(command, input=signed, check=True, capture_output=True).stdout
        return b".".join((signed, _base64url(signature))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@contextmanager
def token_registry(folder: Path) -> Iterator[tuple[str, Realm]]:
    """A registry that needs the tokens of a realm, with this realm."""
    key, crt = certificate(folder, "realm.test")
    with serving() as server:
        realm = Realm(key, crt, server)
        server.guard = realm
        token = f"{{realm: '{realm.url}', service: '{_SERVICE}', issuer: tests, rootcertbundle: '{crt}'}}"
        with real_registry(folder, f"auth: {{token: {token}}}\n") as host:
            yield host, realm


def basic_guard(seen: Seen) -> Reply | None:
    """Accepts requests with the password."""
    if seen.authorization == BASIC:
        return None
    return spec_error(401, "UNAUTHORIZED", "authentication required", **{"WWW-Authenticate": 'Basic realm="lab"'})


def bearer_guard(realm_url: str, *, accept: str = "canary-token") -> Callable[[Seen], Reply | None]:
    """Accepts requests with the token, and serves a realm that gives the token to every client."""

    def guard(seen: Seen) -> Reply | None:
        if seen.path.startswith("/token"):
            return Reply(200, body=json.dumps({"token": "canary-token"}).encode())
        if seen.authorization == f"Bearer {accept}":
            return None
        challenge = f'Bearer realm="{realm_url}",service="s"'
        return spec_error(401, "UNAUTHORIZED", "authentication required", **{"WWW-Authenticate": challenge})

    return guard
