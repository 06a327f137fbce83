"""A pip package as a line of a requirements file. A comment contains what such a line cannot express."""

from __future__ import annotations

import re

from jupyter_condabuild.conda.formats import pip_sources
from jupyter_condabuild.conda.packages import PYPI, PipPackage, canonical_name
from jupyter_condabuild.conda.secrets import scrub_url

_PINNED = re.compile(
    r"(?P<name>[\w.-]+) *={2,3} *(?P<version>[^\s;#]+)(?: +--hash=sha256:(?P<sha256>[0-9a-f]{64}))?", re.ASCII
)
_SHA256 = re.compile(r"sha256=[0-9a-f]{64}")
_DIRECT = re.compile(r"(?P<name>[\w.-]+) +@ +(?P<url>[^\s#]+)(?:#(?P<fragment>\S*))?", re.ASCII)


def dump(package: PipPackage, *, hashes: bool = True) -> str:
    """Returns ``name==version`` or ``name @ url``. A comment names an index other than PyPI, or says ``editable``."""
    digest = package.sha256 if hashes else ""
    if package.url and not package.index:
        fragment = f"{'&' if '#' in package.url else '#'}sha256={digest}" if digest else ""
        return f"{package.name} @ {package.url}{fragment}" + ("  # editable" if package.editable else "")
    line = f"{package.name}=={package.version}" + (f" --hash=sha256:{digest}" if digest else "")
    return line if package.index in ("", PYPI) else f"{line}  # from {package.index}"


def load(line: str) -> PipPackage | None:
    """Returns the package of a line in the form of `dump`; None for any other line."""
    text, _, comment = line.partition("  # ")
    if match := _DIRECT.fullmatch(text.strip()):
        members = (match["fragment"] or "").split("&")
        digest = next((member for member in members if _SHA256.fullmatch(member)), "")
        fragment = "&".join(member for member in members if member != digest)
        return PipPackage(
            canonical_name(match["name"]),
            "",
            url=pip_sources.of_location(match["url"] + (f"#{fragment}" if fragment else "")),
            sha256=digest.removeprefix("sha256="),
            editable=comment.strip() == "editable",
        )
    if match := _PINNED.fullmatch(text.strip()):
        index = scrub_url(comment.removeprefix("from ").strip()) if comment.startswith("from ") else PYPI
        return PipPackage(canonical_name(match["name"]), match["version"], index=index, sha256=match["sha256"] or "")
    return None
