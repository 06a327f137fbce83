"""The files of a package at a package index, and the metadata of wheels there, of which only parts are read.

Source: packaging.python.org/specifications/simple-repository-api (PEP 691, PEP 658 and PEP 714).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit
from zipfile import ZipFile

from jupyter_condabuild.conda.logins import open_url
from jupyter_condabuild.conda.packages import PYPI, PYPI_SIMPLE, canonical_name
from jupyter_condabuild.conda.remote_file import RemoteFile
from jupyter_condabuild.conda.secrets import scrub_url

MOST_BYTES = 64 << 20
"""The largest size in bytes of an answer, and of a file in a wheel, that is read."""

_REQUEST_SECONDS = 10
_SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class IndexFile:
    """A file of an index: a wheel, or a source distribution if it has no tags.

    `version` is a `packaging.version.Version`, and `tags` are of `packaging.tags.Tag`. `has_metadata` says whether the
    index gives the METADATA of the wheel alone, and `metadata_sha256` is the hash of the METADATA; empty if unknown.
    `size` is the size in bytes; 0 if the index does not tell it (PEP 700).
    """

    filename: str
    version: Any
    url: str
    sha256: str
    tags: frozenset[Any] = frozenset()
    has_metadata: bool = False
    metadata_sha256: str = ""
    is_yanked: bool = False
    size: int = 0


def files_of(name: str, index: str) -> Iterator[IndexFile]:
    """Yields the files of a package that have a hash; none if the index does not answer in JSON.

    Args:
        name: the normalized name of the package. Files of other packages are left out.
        index: the URL of the index, or `PYPI`.
    """
    page = f"{(PYPI_SIMPLE if index == PYPI else index).rstrip('/')}/{name}/"
    try:
        entries = json.loads(get(page, {"Accept": _SIMPLE_JSON}))["files"]
    except Exception:  # noqa: BLE001  json raises several types for what a hostile index sends
        return
    for entry in entries if isinstance(entries, list) else ():
        try:
            file, of = _file(entry, page)
        except (ValueError, KeyError, TypeError, AttributeError):  # also of a name, a version or a URL
            continue
        if of == name and _SHA256.fullmatch(file.sha256) and urlsplit(file.url).scheme in ("https", "http"):
            yield file


def _file(entry: Mapping[str, Any], page: str) -> tuple[IndexFile, str]:
    """Returns a file and the name of its package. Raises ValueError, KeyError, TypeError or AttributeError."""
    from packaging.utils import parse_sdist_filename, parse_wheel_filename

    filename, url = str(entry["filename"]), scrub_url(urljoin(page, "" + entry["url"]))
    sha256, is_yanked = str(entry["hashes"]["sha256"]).lower(), bool(entry.get("yanked"))
    size = entry.get("size")
    size = size if isinstance(size, int) and size > 0 else 0
    if not filename.endswith(".whl"):
        name, version = parse_sdist_filename(filename)
        return IndexFile(filename, version, url, sha256, is_yanked=is_yanked, size=size), canonical_name(name)
    name, version, _, tags = parse_wheel_filename(filename)
    said = entry.get("core-metadata", entry.get("dist-info-metadata"))
    known = str(said.get("sha256") or "").lower() if isinstance(said, dict) else ""
    return IndexFile(filename, version, url, sha256, tags, bool(said), known, is_yanked, size), canonical_name(name)


def metadata_of(file: IndexFile) -> bytes:
    """Returns the METADATA of a wheel. Raises OSError, ValueError and, for what is no wheel, the errors of zipfile."""
    return get(f"{file.url}.metadata") if file.has_metadata else dist_info_file(file, "METADATA")


def dist_info_file(file: IndexFile, name: str) -> bytes:
    """Returns a file in the ``.dist-info`` folder of a wheel. Raises the errors of `metadata_of`.

    Only the end of the wheel is read, and the places that its end names.
    """
    with ZipFile(RemoteFile(file.url, _REQUEST_SECONDS)) as wheel:
        (path,) = (path for path in wheel.namelist() if re.fullmatch(rf"[^/]+\.dist-info/{re.escape(name)}", path))
        if wheel.getinfo(path).file_size > MOST_BYTES:
            raise ValueError(f"the {name} is too large")
        return wheel.read(path)


def get(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Returns what an index has at a URL. Raises OSError, or ValueError if it is too large."""
    with open_url(url, _REQUEST_SECONDS, headers=headers) as response:
        data = response.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError("the answer is too large")
    return data
