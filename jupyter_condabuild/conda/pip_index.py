"""Finds the wheels that pip installed at their package indexes: pip records neither their URLs nor their hashes."""

from __future__ import annotations

import csv
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as OutOfTime
from dataclasses import replace
from pathlib import Path

from jupyter_condabuild.conda.index_files import MOST_BYTES, IndexFile, dist_info_file, files_of, metadata_of
from jupyter_condabuild.conda.packages import PipPackage
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.pip_metadata import text_of
from jupyter_condabuild.files import read_regular

SECONDS = 30.0
"""The time in seconds after which the search ends."""

_CONCURRENT = 8
_MOVED = re.compile(r"[^/]+\.data/")


def find_wheels(environment: Environment, seconds: float = SECONDS) -> dict[PipPackage, PipPackage]:
    """Asks package indexes for the wheels of the pip packages whose hash is not known.

    A wheel is the installed one if its name, version and tags are those of the installed files, and if it has the same
    METADATA, or the same files if the index does not tell the metadata. Of a wheel, only parts are read. The result
    lacks the packages for which no wheel or several wheels are found: pip built them from an sdist, or the index needs
    a login or does not answer in JSON.

    Args:
        seconds: the time after which the search ends.

    Returns, for each found package, the package with the URL and the sha256 of its wheel.
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
    from packaging.version import Version

    tags = _tags_of(text_of(folder / "WHEEL"))
    if not tags:
        return None
    try:
        version = Version(package.version)
        wheels = [
            replace(package, url=file.url, sha256=file.sha256)
            for file in files_of(package.name, package.index)
            if (file.version, file.tags) == (version, tags) and _is_installed(file, folder)
        ]
    except Exception:  # noqa: BLE001  csv and zipfile raise many types for what a hostile index sends
        return None
    return wheels[0] if len(wheels) == 1 else None


def _is_installed(file: IndexFile, folder: Path) -> bool:
    """Whether a wheel at an index is the one whose metadata are in a folder. Raises OSError and other errors."""
    if not file.has_metadata:
        installed = read_regular(folder / "RECORD", MOST_BYTES, follow=True)
        return _rows(dist_info_file(file, "RECORD")) <= _rows(installed)
    metadata = read_regular(folder / "METADATA", MOST_BYTES, follow=True)
    if file.metadata_sha256:
        return file.metadata_sha256 == hashlib.sha256(metadata).hexdigest()
    return metadata_of(file) == metadata


def _rows(record: bytes) -> set[tuple[str, str]]:
    """Returns the paths and the hashes in a RECORD, without the files that an installer moves or rewrites.

    An installer adds rows, and it moves the files in the ``.data`` folder of a wheel.
    """
    rows = csv.reader(record.decode("utf-8", "replace").splitlines())
    return {(row[0], row[1]) for row in rows if len(row) > 1 and row[1] and not _MOVED.match(row[0])}


def _tags_of(wheel: str) -> frozenset[object]:
    """Returns the tags in the text of a WHEEL file; empty if there are none."""
    from packaging.tags import parse_tag

    try:
        lines = re.findall(r"^Tag:[ \t]*(\S+)", wheel, re.MULTILINE | re.IGNORECASE)
        return frozenset(tag for line in lines for tag in parse_tag(line))
    except ValueError:
        return frozenset()
