"""The URLs of packages and their channels, without credentials."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.secrets import scrub_url
from jupyter_condabuild.proxies import is_this_machine

ALIAS = "https://conda.anaconda.org"

UNKNOWN = "file:///unknown"
"""The channel of a package whose record names none. No program can install the package from there."""

_NO_URL = re.compile(r"[\x00-\x20\x7f\u0085\u2028\u2029\ud800-\udfff]")
_ANACONDA = "https://repo.anaconda.com"
_UNKNOWN = "<unknown>"
"""conda writes this name for a package from a file (conda.base.constants.UNKNOWN_CHANNEL). It may be in a URL."""


def package_url(record: PrefixRecord) -> str:
    """Returns the URL of the package archive.

    If the record contains no URL, the result is composed of the channel, the subdir and the file name.
    """
    url = scrub_url(record.url).partition("#")[0]  # a URL of an explicit file has the hash behind it
    if re.match(r"[a-z][a-z0-9+.-]*://", url, re.IGNORECASE) and _UNKNOWN not in url:
        return quoted(url)
    return quoted(f"{channel_of(scrub_url(record.channel))}/{record.subdir}/{record.fn}")


def quoted(url: str) -> str:
    """Returns a URL without the characters that end a URL or a line in a lock file, or that are no characters."""
    return _NO_URL.sub(lambda match: quote(match[0], errors="surrogatepass"), url)


def channel_of(name: str) -> str:
    """Returns the URL of a channel, from its name, its path or its URL."""
    if not name.strip("/") or _UNKNOWN in name:
        return UNKNOWN
    if "://" in name:
        return name
    if name.startswith("/"):
        return Path(name).as_uri()
    name = name.strip("/")
    if name == "defaults":
        name = "pkgs/main"
    return f"{_ANACONDA if name.startswith('pkgs/') else ALIAS}/{name}"


def named_channels(entries: object) -> tuple[str, ...]:
    """Returns the URLs of the channels that a lock file names, in order of priority, from its list of channels."""
    found = entries if isinstance(entries, list) else []
    urls = [entry.get("url") for entry in found if isinstance(entry, dict)]
    return tuple(channel_of(scrub_url(url)).rstrip("/") for url in urls if isinstance(url, str))


def is_local(url: str) -> bool:
    """Whether a URL leads to this machine: to a file, or to a server on this machine. Nobody else can follow it."""
    try:
        parts = urlsplit(url)
        return parts.scheme.lower().rpartition("+")[2] == "file" or is_this_machine(parts.hostname or "")
    except ValueError:
        return False


def channel_url(record: PrefixRecord) -> str:
    """Returns the URL of the channel that contains the package archive."""
    return posixpath.dirname(posixpath.dirname(package_url(record)))
