"""Keeps and removes the user's logins for registries, in the files and credential helpers of Docker and Podman.

Source: docs.docker.com "docker login", containers-auth.json(5).
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_condabuild.errors import LoginNotKept
from jupyter_condabuild.files import write_whole
from jupyter_condabuild.oci.logins.credential_helper import HelperProblem, Say
from jupyter_condabuild.oci.logins.credentials import (
    DOCKER_HUB,
    HUB_KEY,
    Credentials,
    canonical,
    files,
    find,
    helper_of,
    repair_helper,
    repair_of,
    section,
)


def keep(host: str, login: Credentials, environ: Mapping[str, str] = os.environ, say: Say | None = None) -> str:
    """Keeps a login with a user name and a password, in the place of an earlier login for the registry.

    As `docker login` does, the login goes to the credential helper that is configured for the registry. Without a
    helper, it goes to the configuration file, which only the user may read.

    Args:
        host: the registry as in an image reference, with its port; ``docker.io`` for Docker Hub.
        say: tells the user that a credential helper is waited for.

    Returns the place: a file, or a credential helper.

    Raises LoginNotKept if the place cannot be written, or if another place has a login that is used first.
    """
    path = files(environ)[0]
    config = _read(path)
    key = HUB_KEY if canonical(host) == DOCKER_HUB else host
    helper = helper_of(config, host, environ)
    if helper:
        stored = {"ServerURL": helper.server, "Username": login.username, "Secret": login.password}
        try:
            helper.run("store", json.dumps(stored), say)
        except HelperProblem as problem:
            raise LoginNotKept(f"The login for {host} cannot be kept: {problem}.", repair_helper(str(path))) from None
        entry = {}
    else:
        entry = {"auth": base64.b64encode(f"{login.username}:{login.password}".encode()).decode()}
    others = {name: value for name, value in section(config, "auths").items() if canonical(name) != canonical(host)}
    _write(path, {**config, "auths": {**others, key: entry}})
    place = helper.program if helper else str(path)
    if (used := find(host, environ=environ, say=say)) != login:
        if used.problem:
            raise LoginNotKept(f"The login for {host} was given to {place}, but {used.problem}.", used.repair)
        if "DOCKER_AUTH_CONFIG" in environ:
            hint = "Change the login in DOCKER_AUTH_CONFIG, or unset this variable."
            raise LoginNotKept(f"The login for {host} is kept in {place}, but another login is used first.", hint)
        raise LoginNotKept(
            f"The login for {host} was given to {place}, but {place} does not give the same login back.",
            repair_helper(str(path)) if helper else "",
        )
    return place


def remove(host: str, environ: Mapping[str, str] = os.environ, say: Say | None = None) -> list[str]:
    """Removes the logins for a registry from all files and credential helpers. Returns the places that had one.

    Raises LoginNotKept if a place cannot be written.
    """
    places = []
    for path in files(environ):
        config = _read(path)
        if helper := helper_of(config, host, environ):
            try:
                helper.run("get", helper.server, say)
                helper.run("erase", helper.server, say)
                places.append(helper.program)
            except HelperProblem as problem:
                if not problem.missing:
                    raise LoginNotKept(
                        f"The login for {host} cannot be removed: {problem}.", repair_helper(str(path))
                    ) from None
        auths = section(config, "auths")
        others = {name: value for name, value in auths.items() if canonical(name) != canonical(host)}
        if len(others) < len(auths):
            if any(value for name, value in auths.items() if name not in others):
                places.append(str(path))
            _write(path, {**config, "auths": others})
    return places


def _read(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file; an empty one if there is no file. Raises LoginNotKept."""
    try:
        text = path.read_bytes().strip()
        config = json.loads(text) if text else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict):
        raise LoginNotKept(f"{path} is not a readable JSON object, so it is not changed.", repair_of(str(path)))
    return config


def _write(path: Path, config: Mapping[str, Any]) -> None:
    """Writes a file that only the user may read. If it is a link, as with dotfiles in git, its target is written."""
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LoginNotKept(f"The folder {target.parent} cannot be made: {error.strerror}.") from None
    write_whole(target, json.dumps(config, indent="\t") + "\n", "keeping the login", mode=0o600)
