"""The licences of packages, as the packages state them: in their records, in their archives, and in pip's metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.clients import LostHosts, make_client
from jupyter_condabuild.conda.fetch import url_path
from jupyter_condabuild.conda.package_cache import Cached
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage, License
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.secrets import scrub

FOLDER = "info/licenses/"
"""The folder of a package's licence files in its archive (conda-build)."""

LONGEST_NAME = 1000
LONGEST_TEXT = 64 << 10
MOST_TEXTS = 20
"""The limits of what is read from a package: characters of a licence's name, bytes of a licence file, and files."""

_INDEX = "info/index.json"
_CONCURRENT = 16
_WHOLE_ARCHIVE = 8 << 20
"""The maximum size in bytes of an archive that is downloaded completely if the channel does not send parts of it."""

_CLASSIFIER = "License :: "


def licenses(
    packages: Sequence[CondaPackage],
    sources: PackageSources,
    environment: Environment | None,
    needs_texts: Callable[[str], bool],
) -> dict[str, License]:
    """Returns the licence of each package, by dist.

    The name comes from the record of the environment or of the package cache, otherwise from the archive: then only the
    part with the metadata of a ``.conda`` archive is transferred. A package that cannot be read has no name.

    Args:
        environment: the environment, if the packages come from one.
        needs_texts: whether the licence files of a package with this name are read, too.
    """
    stated = {record.dist: _name(record.raw) for record in environment.records} if environment else {}
    found: dict[str, License] = {}
    archives: list[tuple[CondaPackage, Cached | None]] = []
    for package in packages:
        cached = sources.find(package)
        name = stated.get(package.dist, "")
        if not name and cached and cached.extracted:
            name = _name(_object(cached.path / "info/repodata_record.json")) or _name(_object(cached.path / _INDEX))
        if cached and cached.extracted:
            found[package.dist] = License(name, _text_in(cached.path) if needs_texts(name) else "")
        elif name and not needs_texts(name):
            found[package.dist] = License(name)
        else:
            archives.append((package, cached))
    if archives:
        import asyncio

        in_archives = asyncio.run(_read_all(archives, sources, needs_texts))
        for (package, _), license in zip(archives, in_archives, strict=True):
            found[package.dist] = License(stated.get(package.dist, "") or license.name, license.text)
    return found


def pip_license(prefix: Path, dist_info: str) -> License:
    """Returns the licence in the metadata of a distribution that pip installed.

    Args:
        dist_info: the folder of the metadata, relative to the prefix.

    Source: https://packaging.python.org/specifications/core-metadata/ (License-Expression, License, Classifier).
    """
    for name in ("METADATA", "PKG-INFO"):
        try:
            with open(prefix / dist_info / name, "rb") as file:
                text = file.read(LONGEST_TEXT).decode("utf-8", "replace")
        except OSError:
            continue
        headers = HeaderParser().parsestr(text.partition("\n\n")[0])
        name = headers.get("License-Expression", "") or headers.get("License", "")
        if not name or len(name.splitlines()) > 1:  # some projects put the whole text into the member License
            names = [str(value).rpartition(" :: ")[2] for value in headers.get_all("Classifier", ())]
            values = headers.get_all("Classifier", ())
            names = [one for one, value in zip(names, values, strict=True) if str(value).startswith(_CLASSIFIER)]
            name = " AND ".join(names) or name
        return License(_words(name))
    return License()


def _name(record: Mapping[str, Any]) -> str:
    value = record.get("license")
    return _words(value) if isinstance(value, str) else ""


def _words(text: str) -> str:
    """Returns a name on one line, without credentials and characters that cannot be encoded."""
    name = " ".join(scrub(text[:LONGEST_NAME]).split())
    return "" if name.lower() in ("none", "unknown") else name.encode("utf-8", "replace").decode()


def _text_in(folder: Path) -> str:
    """Returns the text of the licence files of an extracted package. Links are not followed."""
    root = folder / FOLDER
    paths = sorted(Path(parent, name) for parent, _, names in os.walk(root) for name in names)
    texts = []
    for path in [path for path in paths if path.is_file() and not path.is_symlink()][:MOST_TEXTS]:
        try:
            with path.open("rb") as file:
                texts.append((path.relative_to(root).as_posix(), file.read(LONGEST_TEXT)))
        except OSError:
            continue
    return _joined(texts)


def _joined(files: Iterable[tuple[str, bytes]]) -> str:
    """Returns one text of several files: each with its name. Characters that cannot be encoded are replaced."""
    texts = [f"{name}\n\n{scrub(content[:LONGEST_TEXT].decode('utf-8', 'replace'))}" for name, content in files]
    return "\n\n".join(texts).encode("utf-8", "replace").decode()


def _object(path: Path) -> dict[str, Any]:
    try:
        return _parsed(path.read_bytes())
    except OSError:
        return {}


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


async def _read_all(
    packages: Sequence[tuple[CondaPackage, Cached | None]], sources: PackageSources, needs_texts: Callable[[str], bool]
) -> list[License]:
    import asyncio

    from rattler.package_streaming import PackageArchive

    client = make_client((sources.url(package) for package, _ in packages), retries=1, seconds=20)
    limit = asyncio.Semaphore(_CONCURRENT)
    lost = LostHosts()

    async def read(package: CondaPackage, cached: Cached | None) -> License:
        url = sources.url(package)
        async with limit:
            if not cached and lost.failed(url):
                return License()
            try:
                if cached or url.startswith("file:"):
                    archive = await PackageArchive.from_path(cached.path if cached else url_path(url))
                else:
                    archive = await PackageArchive.from_url(client, url, max_spool_size=_WHOLE_ARCHIVE)
                name = _name(_parsed(await archive.read_file(_INDEX) or b""))
                if not needs_texts(name):
                    return License(name)
                paths = sorted(path for path in await archive.list_files("info") if path.startswith(FOLDER))
                texts = await archive.read_files(paths[:MOST_TEXTS])
                if not cached:
                    lost.note(url, "")
            except Exception as error:  # noqa: BLE001  rattler raises many types; such a package has no licence
                lost.note(url, str(error))
                return License()
        return License(name, _joined((path.removeprefix(FOLDER), texts[path] or b"") for path in sorted(texts)))

    return await asyncio.gather(*(read(package, cached) for package, cached in packages))
