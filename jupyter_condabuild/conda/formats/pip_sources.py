"""The sources of pip packages in lock files, in the form that pip accepts."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from jupyter_condabuild.conda.secrets import scrub, scrub_url

_VCS = re.compile(r"(?:git|hg|svn|bzr)\+[a-z]+://", re.IGNORECASE)
_ACCEPTED = re.compile(r"https?://|(?:git|hg|svn|bzr)\+(?:https?|ssh|git)://", re.IGNORECASE)
_FILE = re.compile(r"(?:[a-z]+\+)?file:/*", re.IGNORECASE)
_WHEEL = re.compile(r"([^-]+)-([^-]+)-.+\.whl")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE)


def of_location(location: str, name: str) -> str:
    """Returns the URL of a package's source without credentials; of a local path only ``file:`` and the last part.

    uv and pixi write ``git+https://h/a?tag=v1&subdirectory=b#COMMIT`` and ``direct+https://h/a.whl``. pip has
    ``git+https://h/a@COMMIT#subdirectory=b``, and the plain URL.

    Raises ValueError for a text that pip would read as an option. Its text names the package and completes a message.

    Source: pixi's PypiLock (uv_distribution_types::to_url); pip.pypa.io/en/stable/topics/vcs-support.
    """
    url = scrub_url(location).removeprefix("direct+")
    if url.lstrip().startswith("-"):
        raise ValueError(f"the source of the pip package {name[:100]} is {scrub(url[:200])!r}, an option of pip")
    if not re.match(r"[a-z][a-z0-9+.-]*://", url, re.IGNORECASE) or _FILE.match(url):
        path = _FILE.sub("/", url)
        return "file:" + (posixpath.basename(posixpath.normpath(path.partition("#")[0])) or "package")
    return _vcs(url) if _VCS.match(url) else url


def _vcs(url: str) -> str:
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query, keep_blank_values=True))
    uvs = {name: asked.pop(name) for name in ("rev", "tag", "branch", "subdirectory") if name in asked}
    fragment = dict(parse_qsl(parts.fragment)) if "=" in parts.fragment else {}
    if not uvs and (fragment or not parts.fragment):
        return url
    commit = "" if fragment else parts.fragment
    revision = commit or uvs.get("rev") or uvs.get("tag") or uvs.get("branch")
    subdirectory = uvs.get("subdirectory") or fragment.get("subdirectory")
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in asked.items())
    return urlunsplit(
        parts._replace(
            path=f"{parts.path}@{revision}" if revision else parts.path,
            query=query,
            fragment=f"subdirectory={subdirectory}" if subdirectory else "",
        )
    )


def wheel_names(url: str) -> dict[str, str]:
    """Returns the name and the version in the file name of a wheel; empty if the URL is not that of a wheel.

    Lock files of conda 26 list the wheels that it installed among its own packages.
    """
    match = _WHEEL.fullmatch(posixpath.basename(urlsplit(url).path))
    return {"name": match[1], "version": unquote(match[2])} if match else {}


def is_vcs(url: str) -> bool:
    """Whether a source is a repository of a version control system."""
    return bool(_VCS.match(url))


def is_pinned(url: str) -> bool:
    """Whether the URL of a repository names a commit, not a branch or a tag, which can move."""
    return bool(_COMMIT.fullmatch(urlsplit(url).path.rpartition("@")[2]))


def is_accepted(url: str) -> bool:
    """Whether pip can install from a URL."""
    return bool(_ACCEPTED.match(url))
