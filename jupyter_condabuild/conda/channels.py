"""The URLs of packages and their channels, without credentials."""

from __future__ import annotations

import posixpath
import re

from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.secrets import scrub_url

ALIAS = "https://conda.anaconda.org"
_DEFAULTS = {"defaults": "https://repo.anaconda.com/pkgs/main", "pkgs/main": "https://repo.anaconda.com/pkgs/main"}


def package_url(record: PrefixRecord) -> str:
    """Returns the URL of the package archive.

    If the record contains no URL, the result is composed of the channel, the subdir and the file name.
    """
    url = scrub_url(record.url)
    if re.match(r"[a-z][a-z0-9+.-]*://", url, re.IGNORECASE):
        return url
    channel = scrub_url(record.channel).strip("/")
    if not channel or channel.startswith("<"):  # conda before 4.6 writes <unknown> for a package from a file
        channel = "file:///unknown"
    elif "://" not in channel:
        channel = _DEFAULTS.get(channel, f"{ALIAS}/{channel}")
    return f"{channel}/{record.subdir}/{record.fn}"


def channel_url(record: PrefixRecord) -> str:
    """Returns the URL of the channel that contains the package archive."""
    return posixpath.dirname(posixpath.dirname(package_url(record)))
