"""The rattler clients that download from channels, with the proxies and the certificates of the environment.

conda's settings `ssl_verify` and `proxy_servers` count for channels as the variables that mean the same.

Source: docs.conda.io "Using conda behind a proxy" and "Using non-standard certificates".
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jupyter_condabuild.certificates import LOCK, given_to_openssl
from jupyter_condabuild.errors import PackageNotFound
from jupyter_condabuild.files import home_folder
from jupyter_condabuild.proxies import Proxies

if TYPE_CHECKING:
    from rattler.networking import Client

_SETTINGS = re.compile(r"^(ssl_verify|proxy_servers|envvars_force_uppercase)\s*:", re.MULTILINE)
_NO_PROXY = "http://unusable-proxy.invalid"
"""Takes the place of a proxy whose address is not valid: no host has this name (RFC 6761)."""

NO_CONNECTION = re.compile("certificate|error sending request|request failed after|urlopen error", re.I)
"""The errors of rattler and of urllib that mean that no connection can be made."""

_HERE = ("localhost", "127.0.0.0/8", "::1")


def condarc_files(environ: Mapping[str, str]) -> list[Path]:
    """Returns the places of this user's settings of conda and mamba. The first one that has a setting decides."""
    home = home_folder(environ)
    places = (".condarc", ".conda/.condarc", ".config/conda/.condarc", ".config/conda/condarc", ".mambarc")
    files = [home / place for place in places]
    files += [Path(environ[name]) for name in ("CONDARC", "MAMBARC") if environ.get(name)]
    roots = ("CONDA_PREFIX", "CONDA_ROOT", "MAMBA_ROOT_PREFIX")
    return files + [Path(environ[name]) / ".condarc" for name in roots if environ.get(name)]


def variables_in_capitals(environ: Mapping[str, str]) -> bool:
    """Whether conda sets the variables of environments with names in capital letters (`envvars_force_uppercase`)."""
    found = environ.get("CONDA_ENVVARS_FORCE_UPPERCASE")
    for file in () if found else condarc_files(environ):
        if (value := _settings(file).get("envvars_force_uppercase")) is not None:
            found = str(value)
            break
    return (found or "true").strip().lower() not in ("false", "no", "off", "0")


def channel_environment() -> dict[str, str]:
    """Returns the environment variables for requests to channels.

    They have the file of conda's setting `ssl_verify`, and the proxies of `proxy_servers`, where no variable is set. A
    setting that turns the checking of certificates off does not count.
    """
    found: dict[str, str] = {}
    for file in condarc_files(os.environ):
        settings = _settings(file)
        verify, proxies = settings.get("ssl_verify"), settings.get("proxy_servers")
        if isinstance(verify, str) and os.path.dirname(verify):
            found.setdefault("REQUESTS_CA_BUNDLE", os.path.expanduser(verify))
        for scheme in ("http", "https"):
            if isinstance(proxies, dict) and isinstance(proxies.get(scheme), str):
                found.setdefault(f"{scheme}_proxy", proxies[scheme])
    with LOCK:
        given = {name: value for name, value in os.environ.items() if value}
    unset = {name: value for name, value in found.items() if not {name, name.upper()} & given.keys()}
    return {**given, **unset}


def _settings(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return {}
    if not _SETTINGS.search(text):
        return {}
    import yaml  # takes 20 ms, and most users have no such setting

    try:
        value = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def make_client(urls: Iterable[str], *, retries: int, seconds: int) -> Client:
    """Makes a client for downloads.

    rattler reads the same variables, but it does not know ports and ``*`` in ``NO_PROXY``, and it uses a proxy for this
    machine. So it gets the proxies, and by name the hosts of `urls` that are reached without one. It follows a redirect
    to another host by its own reading of ``NO_PROXY``.

    rattler trusts the certificates of the system, or of ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``. It gets those of
    ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE``, which conda and curl know, by these variables of the process, set
    only while the client is made.

    Args:
        urls: what the client will download.
        retries: the number of repetitions of a request after a temporary failure.
        seconds: the longest time of a request.

    Raises PackageNotFound if the proxy for one of `urls` cannot be used.
    """
    from rattler.networking import Client

    environ = channel_environment()
    proxies = Proxies.read(environ)
    if not proxies.by_scheme:
        with given_to_openssl(environ):
            return Client.default_client(max_retries=retries, timeout=seconds)
    from rattler import Config

    direct = dict.fromkeys([*_HERE, *(entry.name for entry in proxies.direct if entry.port is None)])
    for url in urls:
        proxy, host = proxies.find_for(url), urlsplit(url).hostname
        if proxy and not proxy.is_http:
            problem = "speaks SOCKS, which downloads from channels cannot use" if proxy.is_socks else "cannot be used"
            raise PackageNotFound(
                f"Could not connect to {host}: the proxy of {proxy.variable} {problem}.",
                f"Write {proxy.variable} as http://HOST:PORT, or name the host in NO_PROXY.",
            )
        if host and not proxy:
            direct[host] = None
    # Without a proxy in its configuration, rattler would read the unusable variable itself, also for this machine.
    known = {scheme: proxy.url if proxy.is_valid else _NO_PROXY for scheme, proxy in proxies.by_scheme.items()}
    lines = [f"{scheme} = {json.dumps(url)}" for scheme, url in known.items()]
    lines += [f"non-proxy-hosts = {json.dumps(list(direct))}"]
    config = Config.from_toml("\n".join(["[proxy-config]", *lines]))
    with given_to_openssl(environ):
        return Client.from_config(config, max_retries=retries, timeout=seconds)


class LostHosts:
    """The hosts to which no connection can be made. A lock file may name thousands of packages of one."""

    MOST = 8
    """The number of failed connections, one after the other, after which a host is not asked for more."""

    def __init__(self) -> None:
        self._failed: Counter[str] = Counter()

    def failed(self, url: str) -> int:
        """Returns the number of failed connections to the host of a URL, if the host is not to be asked; else 0."""
        count = self._failed[self.name(url)]
        return count if count >= self.MOST else 0

    def note(self, url: str, error: str) -> None:
        """Takes note of a request: of its error, or of an empty text."""
        self._failed[self.name(url)] = self._failed[self.name(url)] + 1 if NO_CONNECTION.search(error) else 0

    @staticmethod
    def name(url: str) -> str:
        """Returns the host of a URL, with its port; empty for a URL that is not valid."""
        try:
            return urlsplit(url).netloc.rpartition("@")[2]
        except ValueError:
            return ""
