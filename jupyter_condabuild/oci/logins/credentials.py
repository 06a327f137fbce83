"""Finds the user's Docker or Podman login for a registry in configuration files and credential helpers.

The module reads these places in this order:

1. the environment variable ``DOCKER_AUTH_CONFIG``, which contains the JSON text itself, as CI systems set it
2. the file that ``REGISTRY_AUTH_FILE`` names; if this variable is set, the files below are not read
3. Docker's ``config.json``
4. the ``auth.json`` files that Podman, Buildah and Skopeo write

Source: docs.docker.com "docker login", github.com/docker/docker-credential-helpers, containers-auth.json(5).
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_condabuild.files import home_folder
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.logins.credential_helper import Helper, HelperProblem, Say

DOCKER_HUB = "docker.io"
HUB_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_IDENTITY = "<token>"


@dataclass(frozen=True)
class Credentials:
    """A login for one registry: a user name and password, or an identity token (OAuth2 refresh token).

    The truth value is False if there is no login. `problem` then says why a login could not be read, in one clause
    without secrets, and `repair` what the user does about it, in one sentence. Both are empty if no login is stored.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    problem: str = ""
    repair: str = field(default="", compare=False)

    def __bool__(self) -> bool:
        return bool(self.identity_token or self.username or self.password)


ANONYMOUS = Credentials()


def find(
    host: str, repository: str = "", environ: Mapping[str, str] | None = None, say: Say | None = None
) -> Credentials:
    """Returns the login that is stored for a registry, or anonymous credentials.

    The function never raises an error, because many repositories need no login. `Credentials.problem` says why a login
    could not be read.

    Args:
        host: the registry as in an image reference, with its port; ``docker.io`` for Docker Hub.
        repository: the repository. A login that Podman stored for ``host/namespace`` is preferred for the repositories
            in this namespace.
        environ: the environment variables; None for those of the process.
        say: tells the user that a credential helper is waited for.
    """
    environ = os.environ if environ is None else environ
    none = ANONYMOUS
    for place, config in _configs(environ):
        if isinstance(config, str):
            none = none if none.problem else Credentials(problem=config, repair=repair_of(place))
            continue
        login = _from_helper(config, host, place, environ, say)
        if not login:
            none = none if none.problem else login
            login = _from_auths(config, host, repository, place)
        if login:
            return login
        none = none if none.problem else login
    return none


def repair_of(place: str) -> str:
    """Returns what the user does about a configuration that cannot be read."""
    if place == "DOCKER_AUTH_CONFIG":
        return "Correct or unset the variable DOCKER_AUTH_CONFIG."
    return f"Repair {place}, or remove it: it keeps your logins as a JSON object."


def repair_helper(place: str) -> str:
    """Returns what the user does about a credential helper that a configuration names and that does not work."""
    return f"Repair the credential helper, or remove it from {place} (credsStore or credHelpers)."


def hosts(environ: Mapping[str, str] | None = None) -> list[str]:
    """Returns the registries that the configurations name, sorted. Logins that only a helper knows are left out."""
    environ = os.environ if environ is None else environ
    found: set[str] = set()
    for _, config in _configs(environ):
        if not isinstance(config, str):
            found.update(canonical(key).partition("/")[0] for key in section(config, "auths"))
            found.update(canonical(key).partition("/")[0] for key in section(config, "credHelpers"))
    return sorted(found - {""})


def has_login(reference: Reference, say: Say | None = None) -> bool:
    """Whether a login is stored for the registry of a reference."""
    return bool(find(reference.registry, reference.repository, say=say))


def for_engine(reference: Reference) -> dict[str, str] | None:
    """Returns the login for the registry of a reference as the Engine API expects it in ``X-Registry-Auth``.

    Returns None if no login is stored.

    Source: docs.docker.com/reference/api/engine, "Authentication".
    """
    login = find(reference.registry, reference.repository)
    if not login:
        return None
    server = {"serveraddress": HUB_KEY if reference.registry == DOCKER_HUB else reference.registry}
    if login.identity_token:
        return {"identitytoken": login.identity_token, **server}
    return {"username": login.username, "password": login.password, **server}


def _configs(environ: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, Any] | str]]:
    """Yields the place and the content of each configuration. The content is an error text if it cannot be read."""
    if text := environ.get("DOCKER_AUTH_CONFIG"):
        yield "DOCKER_AUTH_CONFIG", _parse(text, "DOCKER_AUTH_CONFIG")
    for path in files(environ):
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError):
            yield str(path), f"{path} cannot be read"
            continue
        yield str(path), _parse(text, str(path))


def files(environ: Mapping[str, str]) -> list[Path]:
    """Returns the configuration files in the order in which they are read. A login is kept in the first."""
    if chosen := environ.get("REGISTRY_AUTH_FILE"):
        return [Path(chosen)]
    home = home_folder(environ)
    files = [Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"]
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        files.append(Path(runtime) / "containers" / "auth.json")
    files.append(Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json")
    return files


def _parse(text: str, place: str) -> Mapping[str, Any] | str:
    try:
        config = json.loads(text) if text.strip() else {}  # Docker takes an empty file for an empty object, too
    except ValueError:
        config = None
    return config if isinstance(config, dict) else f"{place} is not a JSON object"


def section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Returns a member of a configuration that is an object, or an empty object."""
    value = config.get(name)
    return value if isinstance(value, dict) else {}


def canonical(key: str) -> str:
    """Returns a key of ``auths`` as ``host`` or ``host/namespace``. An old-style URL stands for its whole host."""
    scheme, separator, rest = key.partition("://")
    name = rest if separator and scheme in ("http", "https") else key
    host, _, path = name.partition("/")
    host = host.lower()
    path = path.strip("/")
    if separator or path in ("v1", "v2"):
        path = ""
    host = DOCKER_HUB if host in _HUB_NAMES else host
    return f"{host}/{path}" if path else host


def _from_auths(config: Mapping[str, Any], host: str, repository: str, place: str) -> Credentials:
    entries = {canonical(key): entry for key, entry in section(config, "auths").items()}
    parts = [canonical(host), *(part for part in repository.split("/") if part)]
    for end in range(len(parts), 0, -1):
        entry = entries.get("/".join(parts[:end]))
        if isinstance(entry, dict) and entry:
            return _decode(entry, host, place)
    return ANONYMOUS


def _decode(entry: Mapping[str, Any], host: str, place: str) -> Credentials:
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if auth := entry.get("auth"):
        try:
            # Spaces and line breaks, as base64(1) and YAML insert them, are no part of the login. Docker ignores them.
            decoded = base64.b64decode("".join(str(auth).split()), validate=True).decode()
        except ValueError:
            return Credentials(problem=f"the login for {host} in {place} cannot be decoded")
        username, colon, password = decoded.partition(":")
        if not colon:
            return Credentials(problem=f"the login for {host} in {place} cannot be decoded")
    return Credentials(username, password.strip("\0"), str(entry.get("identitytoken") or ""))


def helper_of(config: Mapping[str, Any], host: str, environ: Mapping[str, str]) -> Helper | None:
    """Returns the credential helper that a configuration has for a host, or for all hosts."""
    hub = canonical(host) == DOCKER_HUB
    helpers = section(config, "credHelpers")
    names = (HUB_KEY, *sorted(_HUB_NAMES)) if hub else (host,)
    name = next((helpers[key] for key in names if key in helpers), None) or config.get("credsStore")
    return Helper(name if isinstance(name, str) else "", HUB_KEY if hub else host, environ) if name else None


def _from_helper(
    config: Mapping[str, Any], host: str, place: str, environ: Mapping[str, str], say: Say | None
) -> Credentials:
    helper = helper_of(config, host, environ)
    if helper is None:
        return ANONYMOUS
    try:
        answer = json.loads(helper.run("get", helper.server, say))
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except HelperProblem as problem:
        return ANONYMOUS if problem.missing else Credentials(problem=str(problem), repair=repair_helper(place))
    except (ValueError, KeyError, TypeError):
        return Credentials(
            problem=f"the credential helper {helper.program} gave an answer that is not valid",
            repair=repair_helper(place),
        )
    if username == _IDENTITY:
        return Credentials(identity_token=secret)
    return Credentials(username, secret)
