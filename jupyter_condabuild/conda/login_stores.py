"""The stores in which the tools of this user keep logins of channels: conda's settings, rattler's, mamba's, and netrc.

Source: docs.conda.io "Using non-standard certificates and channels"; rattler_networking::authentication_storage;
libmamba's authentication_info.
"""

from __future__ import annotations

import json
import netrc
import os
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from jupyter_condabuild.conda.clients import condarc_files
from jupyter_condabuild.conda.logins import PLACEHOLDER, Logins, expanded, variables
from jupyter_condabuild.conda.secrets import scrub_url
from jupyter_condabuild.files import home_folder

_SCHEMES = ("https", "http")


def read_logins(environ: Mapping[str, str] = os.environ) -> Logins:
    """Returns the logins of this user: of conda's settings, of rattler's and mamba's stores, and of netrc.

    Files that cannot be read count as empty. Logins in the keyring of the desktop are not found.
    """
    home = home_folder(environ)
    with_login: dict[str, str] = {}
    found: dict[str, str] = {}
    for file in condarc_files(environ):
        for channel, login in _condarc_channels(file, environ):
            found.setdefault(channel, str(file))
            if login:
                with_login.setdefault(channel, login)
    channels = tuple(found)
    of_rattler = Path(environ.get("RATTLER_AUTH_FILE") or home / ".rattler/credentials.json")
    store = _json(of_rattler)
    with_token = {host: login for host, login in store.items() if isinstance(login, dict) and "CondaToken" in login}
    tokens = {host: str(login["CondaToken"]) for host, login in with_token.items()}
    found |= {host: str(of_rattler) for host in store if host not in found}
    of_mamba = home / ".mamba/auth/authentication.json"
    for name, login in _json(of_mamba).items():
        if host := urlsplit(f"//{name}").hostname or "":
            found.setdefault(host, str(of_mamba))
            if _member(login, "type") == "CondaToken":
                tokens.setdefault(host, _member(login, "token"))
            elif basic := _basic(login):
                with_login |= {f"{scheme}://{name}".rstrip("/"): f"{scheme}://{basic}@{name}" for scheme in _SCHEMES}
    of_netrc = Path(environ.get("NETRC") or home / ".netrc")
    with suppress(OSError, netrc.NetrcParseError):
        for host in netrc.netrc(of_netrc).hosts:
            found.setdefault(host, str(of_netrc))
    hosts = frozenset(found) - frozenset(channels) - {"", "default"}
    return Logins(channels, hosts, tokens, with_login, found)


def _member(login: Any, name: str) -> str:
    return str(login.get(name) or "") if isinstance(login, dict) else ""


def _basic(login: Any) -> str:
    """Returns ``user:password`` of a login in mamba's store, percent-encoded; empty if the login is of another kind."""
    try:
        password = b64decode(_member(login, "password"), validate=True).decode()
    except ValueError:
        return ""
    user = _member(login, "user")
    return f"{quote(user, safe='')}:{quote(password, safe='')}" if user and password else ""


def _condarc_channels(file: Path, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields the URLs of channels that a .condarc names with a login: without and with the login.

    The second is empty if the file does not have the login itself. conda gives variables their values.
    """
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
            is_known = not PLACEHOLDER.search(item) and all(name in environ for name in variables(item))
            yield clean, expanded(item, environ) if is_known else ""
    for item in value.get("channel_settings") or () if isinstance(value, dict) else ():
        if isinstance(item, dict) and item.get("auth") and "://" in str(item.get("channel")):
            yield scrub_url(str(item["channel"])).rstrip("*"), ""


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
