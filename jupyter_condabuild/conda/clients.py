"""The rattler clients that download from channels, with the proxies and the certificates of the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jupyter_condabuild.certificates import openssl_variables
from jupyter_condabuild.errors import PackageNotFound
from jupyter_condabuild.proxies import Proxies

if TYPE_CHECKING:
    from rattler.networking import Client

_HERE = ("localhost", "127.0.0.0/8", "::1")


def make_client(urls: Iterable[str], *, retries: int, seconds: int) -> Client:
    """Makes a client for downloads.

    rattler reads the same variables, but it does not know ports and ``*`` in ``NO_PROXY``, and it uses a proxy for this
    machine. So it gets the proxies, and by name the hosts of `urls` that are reached without one. It follows a redirect
    to another host by its own reading of ``NO_PROXY``.

    rattler trusts the certificates of the system, or of ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``. It gets those of
    ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE``, which conda and curl know, by these variables of the process.

    Args:
        urls: what the client will download.
        retries: the number of repetitions of a request after a temporary failure.
        seconds: the longest time of a request.

    Raises PackageNotFound if the proxy for one of `urls` cannot be used.
    """
    from rattler.networking import Client

    os.environ.update(openssl_variables())
    proxies = Proxies.read()
    if not proxies.by_scheme:
        return Client.default_client(max_retries=retries, timeout=seconds)
    from rattler import Config

    direct = dict.fromkeys([*_HERE, *(entry.name for entry in proxies.direct if entry.port is None)])
    for url in urls:
        proxy, host = proxies.find_for(url), urlsplit(url).hostname
        if proxy and not proxy.is_valid:
            raise PackageNotFound(
                f"Could not connect to {host}: the proxy of {proxy.variable} cannot be used.",
                f"Write {proxy.variable} as http://HOST:PORT, or name the host in NO_PROXY.",
            )
        if host and not proxy:
            direct[host] = None
    usable = {scheme: proxy.url for scheme, proxy in proxies.by_scheme.items() if proxy.is_valid}
    lines = [f"{scheme} = {json.dumps(url)}" for scheme, url in usable.items()]
    lines += [f"non-proxy-hosts = {json.dumps(list(direct))}"]
    config = Config.from_toml("\n".join(["[proxy-config]", *lines]))
    return Client.from_config(config, max_retries=retries, timeout=seconds)
