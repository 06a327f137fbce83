"""Finds the wheels that pip installed at their package indexes: pip records neither their URLs nor their hashes."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as OutOfTime
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from zipfile import ZipFile

from jupyter_condabuild.conda.logins import open_url
from jupyter_condabuild.conda.packages import PYPI, PYPI_SIMPLE, PipPackage, canonical_name
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.pip_metadata import text_of
from jupyter_condabuild.conda.remote_file import RemoteFile
from jupyter_condabuild.conda.secrets import scrub_url
from jupyter_condabuild.files import read_regular

SECONDS = 30.0
"""The time in seconds after which the search ends."""

REQUEST_SECONDS = 10
_CONCURRENT = 8
MOST_BYTES = 64 << 20
SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
_MOVED = re.compile(r"[^/]+\.data/")
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def find_wheels(environment: Environment, seconds: float = SECONDS) -> dict[PipPackage, PipPackage]:
    """Asks package indexes for the wheels of the pip packages whose hash is not known.

    A wheel is the installed one if its name, version and tags are those of the installed files, and if it has the same
    METADATA, or the same files if the index does not tell the metadata. Of a wheel, only parts are read. The result
    lacks the packages for which no wheel or several wheels are found: pip built them from an sdist, or the index needs
    a login or does not answer in JSON.

    Args:
        seconds: the time after which the search ends.

    Returns, for each found package, the package with the URL and the sha256 of its wheel.

    Source: packaging.python.org/specifications/simple-repository-api (PEP 691, PEP 658 and PEP 714).
    """
    wanted = {
        distribution.package: environment.prefix / distribution.dist_info
        for distribution in environment.pip
        if distribution.source == "index" and distribution.package.index and not distribution.package.sha256
    }
    found: dict[PipPackage, PipPackage] = {}
    executor = ThreadPoolExecutor(_CONCURRENT)
    futures = [executor.submit(_find, package, folder) for package, folder in wanted.items()]
    try:
        for future in as_completed(futures, seconds):
            if wheel := future.result():
                found[replace(wheel, url="", sha256="")] = wheel
    except OutOfTime:
        pass
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
    return found


def _find(package: PipPackage, folder: Path) -> PipPackage | None:
    """Returns the package with the URL and the hash of its wheel; None if it is not found."""
    tags = _tags_of(text_of(folder / "WHEEL"))
    if not tags:
        return None
    index = PYPI_SIMPLE if package.index == PYPI else package.index
    page = f"{index.rstrip('/')}/{package.name}/"
    try:
        answer = json.loads(get(page, {"Accept": SIMPLE_JSON}))
        wheels = [
            replace(package, url=url, sha256=sha256)
            for file, url, sha256 in _wheels(answer, page, package, tags)
            if _is_installed(file, url, folder)
        ]
    except Exception:  # noqa: BLE001  json, csv and zipfile raise many types for what a hostile index sends
        return None
    return wheels[0] if len(wheels) == 1 else None


def _wheels(
    answer: Any, page: str, package: PipPackage, tags: frozenset[object]
) -> Iterator[tuple[Mapping[str, Any], str, str]]:
    """Yields the wheels of a version with these tags: the entry of the index, the URL and the hash."""
    from packaging.utils import parse_wheel_filename
    from packaging.version import Version

    files = answer.get("files") if isinstance(answer, dict) else None
    for file in files if isinstance(files, list) else ():
        try:
            name, version, _, found = parse_wheel_filename(str(file["filename"]))
            url, sha256 = urljoin(page, "" + file["url"]), str(file["hashes"]["sha256"]).lower()
            same = (canonical_name(name), version, found) == (package.name, Version(package.version), tags)
            is_web = urlsplit(url).scheme in ("https", "http")
        except (ValueError, KeyError, TypeError, AttributeError):  # also of a name, a version or a URL
            continue
        if same and _SHA256.fullmatch(sha256) and is_web:
            yield file, scrub_url(url), sha256


def _is_installed(file: Mapping[str, Any], url: str, folder: Path) -> bool:
    """Whether a wheel at an index is the one whose metadata are in a folder. Raises OSError and other errors."""
    said = file.get("core-metadata", file.get("dist-info-metadata"))
    if not said:
        return _rows(_record_in(url)) <= _rows(read_regular(folder / "RECORD", MOST_BYTES, follow=True))
    metadata = read_regular(folder / "METADATA", MOST_BYTES, follow=True)
    if isinstance(said, dict) and said.get("sha256"):
        return str(said["sha256"]).lower() == hashlib.sha256(metadata).hexdigest()
    return get(f"{url}.metadata") == metadata


def _rows(record: bytes) -> set[tuple[str, str]]:
    """Returns the paths and the hashes in a RECORD, without the files that an installer moves or rewrites.

    An installer adds rows, and it moves the files in the ``.data`` folder of a wheel.
    """
    rows = csv.reader(record.decode("utf-8", "replace").splitlines())
    return {(row[0], row[1]) for row in rows if len(row) > 1 and row[1] and not _MOVED.match(row[0])}


def _record_in(url: str) -> bytes:
    """Returns the RECORD of a wheel at an index. Reads the end of the wheel, and the places that its end names."""
    with ZipFile(RemoteFile(url, REQUEST_SECONDS)) as wheel:
        (name,) = (name for name in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/RECORD", name))
        if wheel.getinfo(name).file_size > MOST_BYTES:
            raise ValueError("the RECORD is too large")
        return wheel.read(name)


def _tags_of(wheel: str) -> frozenset[object]:
    """Returns the tags in the text of a WHEEL file; empty if there are none."""
    from packaging.tags import parse_tag

    try:
        lines = re.findall(r"^Tag:[ \t]*(\S+)", wheel, re.MULTILINE | re.IGNORECASE)
        return frozenset(tag for line in lines for tag in parse_tag(line))
    except ValueError:
        return frozenset()


def get(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Returns what an index has at a URL. Raises OSError, or ValueError if it is too large."""
    with open_url(url, REQUEST_SECONDS, headers=headers) as response:
        data = response.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError("the answer is too large")
    return data
