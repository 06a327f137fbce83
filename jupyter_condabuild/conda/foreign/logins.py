"""The logins in the URLs of a lock file. Variables get their values, and each login that is used is named.

conda-lock and mamba write ``https://$USER:$PASSWORD@host`` and ``/t/$TOKEN/`` in place of the login itself; pip has
the same form. A lock file of somebody else could so send any variable to any server. So a server gets the values only
if the user names the server.

Source: conda-lock's conda_lock.models.channel.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.logins import PLACEHOLDER, Logins, expanded, variables
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.events import Log, Report, Warning
from jupyter_condabuild.text import listed

_PORTS = {"https": 443, "http": 80}


def login_urls(
    lockfile: Lockfile,
    logins: Logins,
    report: Report,
    trusted: Collection[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Returns the URLs with which packages are fetched, by dist, if the lock file has a login for them.

    Says whose login each host gets, and which pip packages lose theirs. The URLs may contain secrets.

    Args:
        trusted: the servers that may have the values of variables: ``HOST`` for the usual port of http or https, or
            ``HOST:PORT``. Another port of the same machine may be the server of another person.

    Raises LockfileError for a server that is not trusted, and for a variable that is not set, if the user has no other
    login for the channel.
    """
    urls: dict[str, str] = {}
    used: dict[str, Log | Warning] = {}
    for package in lockfile.conda:
        host, place = _server(package.url), logins.place(package.url)
        is_trusted = not _names(package.url).isdisjoint(map(str.lower, trusted))
        written = lockfile.choices.urls.get(package.url, "")
        names = variables(written)
        missing = [name for name in names if not is_trusted or not environ.get(name)]
        if missing and not place and not is_trusted:
            raise LockfileError(
                f"The lock file asks for the value of {_variables(names)} and sends it to {host}.",
                f"If {host} is the server of your channel, add --channel-login {host}. Or give your login of {host} to "
                "conda, rattler or ~/.netrc.",
            )
        if missing and not place:
            raise LockfileError(
                f"The lock file names {_variables(missing)} for the login of {host}, but no such variable is set.",
                f"Set it: export {missing[0]}=…, or give the login of {host} to conda, rattler or ~/.netrc.",
            )
        if written and not missing:
            urls[package.dist] = expanded(written, environ)
        if written and not missing and not PLACEHOLDER.search(written):
            used.setdefault(host, _of_variables(host, names) if names else _in_clear(host))
        elif place:
            used.setdefault(host, Log(f"The login of {host} is that in {place}."))
    for event in used.values():
        report(event)
    if lockfile.choices.pip_logins:
        report(_left_out(lockfile.choices.pip_logins))
    return urls


def _server(url: str) -> str:
    """Returns the server of a URL: the host, and its port if that is not the usual one of the scheme."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2].lower().removesuffix(f":{_PORTS.get(parts.scheme)}")


def _names(url: str) -> set[str]:
    """Returns the names of the server of a URL: with its port, and without if that is the usual one of the scheme."""
    server = _server(url)
    has_port = re.search(r":[0-9]*$", server)
    return {server} if has_port else {server, f"{server}:{_PORTS.get(urlsplit(url).scheme)}"}


def _variables(names: Iterable[str]) -> str:
    return " and ".join(f"${name}" for name in names)


def _of_variables(host: str, names: Iterable[str]) -> Log:
    return Log(f"The login of {host} is that of the lock file, with the value of {_variables(names)}.")


def _in_clear(host: str) -> Warning:
    return Warning(
        "login-in-lockfile",
        f"The lock file contains a login of {host} in clear. The packages are fetched with it; the image has no login.",
        "Write variables in its place, as https://$USER:$PASSWORD@host or /t/$TOKEN/: everybody who can read the lock "
        "file can use the login.",
    )


def _left_out(names: Sequence[str]) -> Warning:
    return Warning(
        "pip-login-left-out",
        f"The lock file has a login in the URL of pip packages, which the build does not give to pip: "
        f"{listed(sorted(names))}.",
        "The engine's builder would keep it in the image. Build from an environment that has these packages.",
    )
