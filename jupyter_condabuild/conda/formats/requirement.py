"""A pip package as a line of a requirements file. A comment contains what such a line cannot express."""

from __future__ import annotations

import re

from jupyter_condabuild.conda.formats import pip_sources
from jupyter_condabuild.conda.packages import PYPI, PipPackage, canonical_name
from jupyter_condabuild.conda.secrets import scrub_url

_PINNED = re.compile(
    r"(?P<name>\w[\w.-]*) *={2,3} *(?P<version>[^\s;#]+)(?: +--hash=sha256:(?P<sha256>[0-9a-f]{64}))?", re.ASCII
)
_SHA256 = re.compile(r"sha256=[0-9a-f]{64}")
_DIRECT = re.compile(r"(?P<name>\w[\w.-]*) +@ +(?P<url>[^\s#]+)(?:#(?P<fragment>\S*))?", re.ASCII)


def dump(package: PipPackage, *, hashes: bool = True, details: bool = False) -> str:
    """Returns ``name==version`` or ``name @ url``, and a comment with an index other than PyPI or with ``editable``.

    Args:
        hashes: whether the line has the hash.
        details: whether the comment also has the version of ``name @ url`` and the URL of ``name==version``.
    """
    digest = package.sha256 if hashes else ""
    notes = []
    if package.url and not package.index:
        fragment = f"{'&' if '#' in package.url else '#'}sha256={digest}" if digest else ""
        line = f"{package.name} @ {package.url}{fragment}"
        notes += ["editable"] * package.editable + [f"version {package.version}"] * bool(details and package.version)
    else:
        line = f"{package.name}=={package.version}" + (f" --hash=sha256:{digest}" if digest else "")
        notes += [f"from {package.index}"] * (package.index not in ("", PYPI))
        notes += [f"file {package.url}"] * bool(details and package.url)
    return f"{line}  # {', '.join(notes)}" if notes else line


def load(line: str) -> PipPackage | None:
    """Returns the package of a line in the form of `dump`; None for any other line. Raises ValueError for an option."""
    text, _, comment = line.partition("  # ")
    notes = dict(note.strip().partition(" ")[::2] for note in comment.split(", "))
    if match := _DIRECT.fullmatch(text.strip()):
        members = (match["fragment"] or "").split("&")
        digest = next((member for member in members if _SHA256.fullmatch(member)), "")
        fragment = "&".join(member for member in members if member != digest)
        return PipPackage(
            canonical_name(match["name"]),
            notes.get("version", ""),
            url=pip_sources.of_location(match["url"] + (f"#{fragment}" if fragment else ""), match["name"]),
            sha256=digest.removeprefix("sha256="),
            editable="editable" in notes,
        )
    if match := _PINNED.fullmatch(text.strip()):
        return PipPackage(
            canonical_name(match["name"]),
            match["version"],
            url=pip_sources.of_location(notes["file"], match["name"]) if notes.get("file") else "",
            index=scrub_url(notes.get("from", "")) or PYPI,
            sha256=match["sha256"] or "",
        )
    return None
